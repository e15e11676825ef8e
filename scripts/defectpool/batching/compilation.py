"""Loops that numba compiles for the processor at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import njit

# LLVM prefers vectors of half the width on processors of Intel with AVX-512, for fear of a lower
# clock; these loops are a quarter faster with whole ones. What the user has set stands.
config: Any = numba.config
if config.CPU_NAME is None and config.CPU_FEATURES is None:
    config.CPU_NAME = llvm.get_host_cpu_name()
    config.CPU_FEATURES = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"

# Contraction to fused multiply-add changes the last bit; nothing is added in another order.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
}


def compiled(function: Callable[..., None]) -> Any:
    """Compile a function at its first call, and keep that for later processes where possible."""
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # there is no folder that it could be kept in
        return njit(**OPTIONS)(function)
