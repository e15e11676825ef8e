"""Elementary functions for loops that numba compiles: in float32 ones that it can vectorize."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from defectpool.batching.compilation import OPTIONS

LOG2_E, LN2 = 1 / math.log(2), math.log(2)
# Beyond it 1 + 2^-x is 1, and the exponent of a float32 nearly overflows.
MOST = 120.0


def _polynomial(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    degree: int,
    low: float,
    high: float,
) -> tuple[np.float32, ...]:
    """Coefficients of nearly the best polynomial of a function, from the constant on."""
    found = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    return tuple(np.float32(value) for value in found.convert(kind=np.polynomial.Polynomial).coef)


# 2^r; relative error 3e-9
E0, E1, E2, E3, E4, E5, E6 = _polynomial(np.exp2, 6, -0.5, 0.5)
# log2(1 + t) / t; relative error 4e-8
L0, L1, L2, L3, L4, L5, L6, L7, L8 = _polynomial(lambda t: np.log1p(t) / t * LOG2_E, 8, 1e-9, 1.0)
# Adding it to a float32 below 2**22 in size rounds to a whole number, which the last bits hold.
ROUND = np.float32(1.5 * 2**23)


@intrinsic
def _bits(context: Any, value: Any) -> Any:
    """Bits of a float32 as an int32."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _float(context: Any, value: Any) -> Any:
    """Float32 with the bits of an int32."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def exp2(x):  # type: ignore[no-untyped-def]
    """2^x in the precision of the argument; of one of at most `MOST` in size."""
    raise NotImplementedError


@overload(exp2, inline="always")
def _exp2(x):  # type: ignore[no-untyped-def]
    if x == types.float64:
        return lambda x: 2.0**x

    def single(x):  # type: ignore[no-untyped-def]
        t = x + ROUND
        r = x - (t - ROUND)
        # Estrin's scheme: a processor computes the pairs side by side
        square = r * r
        high = E6 * square + (E5 * r + E4)
        p = (high * square + (E3 * r + E2)) * square + (E1 * r + E0)
        power = np.int32(_bits(t) << np.int32(23))  # type: ignore[call-arg]
        return _float(np.int32(power + _bits(p)))

    return single


def log2_1p(t):  # type: ignore[no-untyped-def]
    """Binary logarithm of 1 + t for t in [0, 1], in the precision of the argument."""
    raise NotImplementedError


@overload(log2_1p, inline="always")
def _log2_1p(t):  # type: ignore[no-untyped-def]
    if t == types.float64:
        return lambda t: math.log1p(t) * LOG2_E

    def single(t):  # type: ignore[no-untyped-def]
        square = t * t
        fourth = square * square
        low = (L3 * t + L2) * square + (L1 * t + L0)
        high = L8 * fourth + ((L7 * t + L6) * square + (L5 * t + L4))
        return (high * fourth + low) * t

    return single


@njit(inline="always", **OPTIONS)
def within(x: Any, low: Any, high: Any) -> Any:
    """Clip x; what is not a number stays so, as in a comparison that is false."""
    below = low if low > x else x
    return high if high < below else below
