"""Loops that numba compiles for the processor at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

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
