"""Compiled sums over neighbors for gated convolutions, which never write a message to memory.

A message is the sum of three rows of a table, z = t[2 i] + t[2 j + 1] + sum_g u_g t[2 n + g]: what
the site i and its neighbor j project to, and what the Gaussians of their distance project to. Of
these Gaussians only the nearest few differ from 0 in the precision of the table, and they are
neighbors in it. So a message needs a few additions and stays in the cache, and going back it is
computed again.

numba compiles the loops for the processor at hand. They release Python's global lock, so blocks of
sites run in threads; a block writes to no row of another. Sums over all sites are collected in each
block and added in the order of the blocks, whatever the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

# Contraction to fused multiply-add changes the last bit; nothing is added in another order.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
}

# Gaussians that are summed together in the innermost loop.
TOGETHER = 8

# Minimax polynomial of log(1 + t) / t on [0, 1], from the constant on; relative error 2e-8.
LOG1P = tuple(
    np.float32(value)
    for value in np.polynomial.Chebyshev.interpolate(
        lambda t: np.log1p(t) / t, 9, domain=[1e-9, 1.0]
    )
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
L0, L1, L2, L3, L4, L5, L6, L7, L8, L9 = LOG1P
# Adding it to a float32 below 2**22 in size rounds to a whole number, which the last bits hold.
ROUND = np.float32(1.5 * 2**23)
LOG2_E = np.float32(1.0 / math.log(2.0))
# ln 2 in two parts: products with the first are exact
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(math.log(2.0) - 0.693359375)
# exp(r) = 1 + r + r^2 (1/2 + ...) on [-ln 2 / 2, ln 2 / 2], as in Cephes' expf
E0, E1, E2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
E3, E4, E5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)


# Beyond it a sigmoid is 0 or 1, and the exponential of a float32 nearly overflows.
MOST = 80.0


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


def exp(x):  # type: ignore[no-untyped-def]
    """Exponential in the precision of the argument; of a float32 below 87 in size."""
    raise NotImplementedError


@overload(exp, inline="always")
def _exp(x):  # type: ignore[no-untyped-def]
    if x == types.float64:
        return lambda x: math.exp(x)

    def single(x):  # type: ignore[no-untyped-def]
        t = x * LOG2_E + ROUND
        n = t - ROUND
        r = x - n * LN2_HIGH - n * LN2_LOW
        # Estrin's scheme: a processor computes the pairs side by side
        square = r * r
        high = (E0 * r + E1) * square + (E2 * r + E3)
        p = (high * square + (E4 * r + E5)) * square + (r + np.float32(1.0))
        power = np.int32(_bits(t) << np.int32(23))  # type: ignore[call-arg]
        return _float(np.int32(power + _bits(p)))

    return single


def log1p(t):  # type: ignore[no-untyped-def]
    """Logarithm of 1 + t for t in [0, 1], in the precision of the argument."""
    raise NotImplementedError


@overload(log1p, inline="always")
def _log1p(t):  # type: ignore[no-untyped-def]
    if t == types.float64:
        return lambda t: math.log1p(t)

    def single(t):  # type: ignore[no-untyped-def]
        square = t * t
        fourth = square * square
        low = (L3 * t + L2) * square + (L1 * t + L0)
        middle = (L7 * t + L6) * square + (L5 * t + L4)
        return ((L9 * t + L8) * (fourth * fourth) + (middle * fourth + low)) * t

    return single


@njit(inline="always", **OPTIONS)
def within(x: Any, low: Any, high: Any) -> Any:
    """Clip x; what is not a number stays so, as in a comparison that is false."""
    below = low if low > x else x
    return high if high < below else below


@njit(inline="always", **OPTIONS)
def message(z: Any, target: Any, source: Any, u: Any, rows: Any, both: Any) -> None:
    """Write the message to z."""
    for part in range(len(u) // TOGETHER):
        u0, u1, u2, u3 = u[8 * part], u[8 * part + 1], u[8 * part + 2], u[8 * part + 3]
        u4, u5, u6, u7 = u[8 * part + 4], u[8 * part + 5], u[8 * part + 6], u[8 * part + 7]
        g = rows[8 * part * both : (8 * part + 8) * both]
        for f in range(both):
            before = target[f] + source[f] if part == 0 else z[f]
            z[f] = (
                before + u0 * g[f] + u1 * g[both + f] + u2 * g[2 * both + f]
                + u3 * g[3 * both + f] + u4 * g[4 * both + f] + u5 * g[5 * both + f]
                + u6 * g[6 * both + f] + u7 * g[7 * both + f]
            )  # fmt: skip


@njit(inline="always", **OPTIONS)
def spread(z: Any, target: Any, source: Any, u: Any, rows: Any, both: Any) -> None:
    """Add z to the rows that it is a sum of: the transpose of `message`."""
    for f in range(both):
        target[f] += z[f]
        source[f] += z[f]
    for part in range(len(u) // TOGETHER):
        u0, u1, u2, u3 = u[8 * part], u[8 * part + 1], u[8 * part + 2], u[8 * part + 3]
        u4, u5, u6, u7 = u[8 * part + 4], u[8 * part + 5], u[8 * part + 6], u[8 * part + 7]
        g = rows[8 * part * both : (8 * part + 8) * both]
        for f in range(both):
            g[f] += u0 * z[f]
            g[both + f] += u1 * z[f]
            g[2 * both + f] += u2 * z[f]
            g[3 * both + f] += u3 * z[f]
            g[4 * both + f] += u4 * z[f]
            g[5 * both + f] += u5 * z[f]
            g[6 * both + f] += u6 * z[f]
            g[7 * both + f] += u7 * z[f]


def compiled(function: Callable[..., None]) -> Any:
    """Compile a function at its first call, and keep that for later processes where possible."""
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # there is no folder that it could be kept in
        return njit(**OPTIONS)(function)


@cache
def kernels(width: int) -> SimpleNamespace:
    """Compiled loops for rows of `2 * width` numbers: `moments`, `gate` and `gate_gradient`.

    The width is a constant in them, without which a compiler cannot tell their arrays apart and
    does not vectorize.

    Arguments that they share: the block of sites [first, last), neighbors of site i in
    `offset[i]:offset[i + 1]`, `source` and `distance` of each neighbor, first Gaussian and values
    of each distance (`near`, `value`), and the table, flat, with the row of the first Gaussian.
    """
    both = 2 * width

    @compiled
    def moments(
        first: Any, last: Any, offset: Any, source: Any, distance: Any, near: Any, value: Any,
        table: Any, begin: Any, share: Any, out: Any, gaussians: Any,
    ) -> None:  # fmt: skip
        """Add share * z of each neighbor to the rows of `out` that z is a sum of."""
        z = np.empty(both, table.dtype)
        span = value.shape[1] * both
        for i in range(first, last):
            target = table[2 * i * both : (2 * i + 1) * both]
            sum_target = out[2 * i * both : (2 * i + 1) * both]
            for e in range(offset[i], offset[i + 1]):
                j, u = (2 * source[e] + 1) * both, value[distance[e]]
                g = near[distance[e]] * both
                rows = table[begin * both + g : begin * both + g + span]
                message(z, target, table[j : j + both], u, rows, both)
                for f in range(both):
                    z[f] *= share[e]
                spread(z, sum_target, out[j : j + both], u, gaussians[g : g + span], both)

    @compiled
    def gate(
        first: Any, last: Any, offset: Any, source: Any, distance: Any, near: Any, value: Any,
        table: Any, begin: Any, weight: Any, scale: Any, shift: Any, out: Any,
    ) -> None:  # fmt: skip
        """Sum weight * sigmoid * softplus of the halves of scale * z + shift at each site."""
        number = table.dtype.type
        one, zero, most = number(1), number(0), number(MOST)
        high_scale, high_shift = scale[width:], shift[width:]
        z, total = np.empty(both, table.dtype), np.empty(width, table.dtype)
        span = value.shape[1] * both
        for i in range(first, last):
            target = table[2 * i * both : (2 * i + 1) * both]
            total[:] = 0
            for e in range(offset[i], offset[i + 1]):
                j, g = (2 * source[e] + 1) * both, (begin + near[distance[e]]) * both
                message(
                    z, target, table[j : j + both], value[distance[e]], table[g : g + span], both
                )
                for f in range(width):
                    x, y = scale[f] * z[f] + shift[f], high_scale[f] * z[width + f] + high_shift[f]
                    sigmoid = one / (one + exp(within(-x, -most, most)))
                    softplus = (zero if zero > y else y) + log1p(exp(-within(abs(y), zero, most)))
                    total[f] += weight[e] * sigmoid * softplus
            for f in range(width):
                out[i, f] = total[f]

    @compiled
    def gate_gradient(
        first: Any, last: Any, offset: Any, source: Any, distance: Any, near: Any, value: Any,
        table: Any, begin: Any, weight: Any, scale: Any, shift: Any, gradient: Any, out: Any,
        gaussians: Any,
    ) -> None:  # fmt: skip
        """Add the gradient of `gate` with respect to scale * z to the rows of `out`."""
        number = table.dtype.type
        one, zero, most = number(1), number(0), number(MOST)
        high_scale, high_shift = scale[width:], shift[width:]
        z = np.empty(both, table.dtype)
        span = value.shape[1] * both
        for i in range(first, last):
            target = table[2 * i * both : (2 * i + 1) * both]
            sum_target = out[2 * i * both : (2 * i + 1) * both]
            d = gradient[i]
            for e in range(offset[i], offset[i + 1]):
                j, u = (2 * source[e] + 1) * both, value[distance[e]]
                g = near[distance[e]] * both
                rows = table[begin * both + g : begin * both + g + span]
                message(z, target, table[j : j + both], u, rows, both)
                for f in range(width):
                    x, y = scale[f] * z[f] + shift[f], high_scale[f] * z[width + f] + high_shift[f]
                    down, low = exp(within(-x, -most, most)), exp(-within(abs(y), zero, most))
                    sigmoid = one / (one + down)
                    softplus = (zero if zero > y else y) + log1p(low)
                    slope = (low if zero > y else one) / (one + low)
                    own = weight[e] * d[f] * sigmoid
                    z[f] = own * softplus * (down * sigmoid)
                    z[width + f] = own * slope
                spread(z, sum_target, out[j : j + both], u, gaussians[g : g + span], both)

    return SimpleNamespace(moments=moments, gate=gate, gate_gradient=gate_gradient)
