"""Compiled sums over pairs of neighbors for gated convolutions, which write no message to memory.

A message to site i from its neighbor j is z = a (t_i + s_j + sum_g u_g w_g) + b: what i projects
to as a target, what j projects to as a source, and what the Gaussians of their distance project to,
scaled and shifted by a batch normalization or a bias. Of these Gaussians only the nearest few
differ from 0 in the precision of the network, and they are neighbors in their table. So a message
needs a few additions and stays in the cache, and going back it is computed again. The message from
i to j has the same distance: both are made together.

Gates read messages in units of ln 2, so that exponentials have the base 2, which a processor
computes faster. numba compiles the loops for the processor at hand. They release Python's global
lock, so blocks of crystals run in threads; a block writes to no row of another. Sums over all
sites are collected in each block and added in the order of the blocks, whatever the number of
threads.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit

from defectpool.batching.compilation import OPTIONS, compiled
from defectpool.network.elementary import LN2, LOG2_E, MOST, exp2, log2_1p, within

# Gaussians that are summed together in the innermost loop.
TOGETHER = 8


@njit(inline="always", **OPTIONS)
def messages(
    z: Any, here: Any, there: Any, scale: Any, shift: Any, u: Any, rows: Any, both: Any
) -> None:
    """Write both messages between two sites to z: first the one that `here` receives."""
    for part in range(len(u) // TOGETHER):
        u0, u1, u2, u3 = u[8 * part], u[8 * part + 1], u[8 * part + 2], u[8 * part + 3]
        u4, u5, u6, u7 = u[8 * part + 4], u[8 * part + 5], u[8 * part + 6], u[8 * part + 7]
        g = rows[8 * part * both : (8 * part + 8) * both]
        for f in range(both):
            before = z[f] if part else z.dtype.type(0)
            z[f] = (
                before + u0 * g[f] + u1 * g[both + f] + u2 * g[2 * both + f]
                + u3 * g[3 * both + f] + u4 * g[4 * both + f] + u5 * g[5 * both + f]
                + u6 * g[6 * both + f] + u7 * g[7 * both + f]
            )  # fmt: skip
    for f in range(both):
        shared = z[f]
        z[f] = scale[f] * (shared + (here[f] + there[both + f])) + shift[f]
        z[both + f] = scale[f] * (shared + (there[f] + here[both + f])) + shift[f]


@njit(inline="always", **OPTIONS)
def spread(z: Any, here: Any, there: Any, u: Any, rows: Any, both: Any) -> None:
    """Add z to the rows that it is a sum of: `messages` transposed, without scale and shift."""
    for f in range(both):
        first, second = z[f], z[both + f]
        here[f] += first
        here[both + f] += second
        there[f] += second
        there[both + f] += first
        z[f] = first + second
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


@njit(inline="always", **OPTIONS)
def exponentials(z: Any, out: Any, width: Any) -> None:
    """Write 2^-x and 2^-|y| of both messages, x and y the halves of each."""
    most = z.dtype.type(MOST)
    for begin in (0, 2 * width):
        x, y = z[begin : begin + width], z[begin + width : begin + 2 * width]
        of_x, of_y = out[begin : begin + width], out[begin + width : begin + 2 * width]
        for f in range(width):
            of_x[f] = exp2(within(-x[f], -most, most))
            of_y[f] = exp2(-within(abs(y[f]), -most, most))


@njit(inline="always", **OPTIONS)
def products(
    first: Any, last: Any, sums: Any, table: Any, center: Any, out: Any, both: Any
) -> None:
    """Add sums at sites times what these project to, less the center."""
    for i in range(first, last):
        one = sums[2 * i * both : 2 * (i + 1) * both]
        row = table[2 * i * both : 2 * (i + 1) * both]
        for f in range(both):
            out[f] += one[f] * (row[f] - center[f]) + one[both + f] * row[both + f]


@cache
def kernels(width: int) -> SimpleNamespace:
    """Compiled loops over sites of `width` features and messages of twice as many numbers.

    The width is a constant in them, without which a compiler cannot tell their arrays apart and
    does not vectorize.

    Arguments that they share: the block of sites [first, last), pairs of site i in
    `offset[i]:offset[i + 1]`, `other` site and `distance` of each pair, weights of its two messages
    (`weight`), first Gaussian and values of each distance (`near`, `value`), and, all of them flat,
    projected sites (`table`: t_i, s_i), Gaussians, scale and shift.
    """
    both = 2 * width

    @compiled
    def gate(
        first: Any, last: Any, offset: Any, other: Any, distance: Any, weight: Any, near: Any,
        value: Any, table: Any, gaussians: Any, scale: Any, shift: Any, out: Any,
    ) -> None:  # fmt: skip
        """Sum weight * sigmoid * softplus of the halves of the messages at each site."""
        number = table.dtype.type
        one, zero, ln2 = number(1), number(0), number(LN2)
        z, e = np.empty(2 * both, table.dtype), np.empty(2 * both, table.dtype)
        span = value.shape[1] * both
        out[first:last] = 0
        for i in range(first, last):
            here = table[2 * i * both : 2 * (i + 1) * both]
            for pair in range(offset[i], offset[i + 1]):
                j, d = other[pair], distance[pair]
                there = table[2 * j * both : 2 * (j + 1) * both]
                g = near[d] * both
                rows = gaussians[g : g + span]
                messages(z, here, there, scale, shift, value[d], rows, both)
                exponentials(z, e, width)
                for side in range(2):
                    w = weight[pair, side] * ln2
                    total = out[i] if side == 0 else out[j]
                    y, down = z[side * both + width :], e[side * both :]
                    low = e[side * both + width :]
                    for f in range(width):
                        softplus = (zero if zero > y[f] else y[f]) + log2_1p(low[f])
                        total[f] += w * softplus / (one + down[f])

    @compiled
    def gate_gradient(
        first: Any, last: Any, offset: Any, other: Any, distance: Any, weight: Any, near: Any,
        value: Any, table: Any, gaussians: Any, scale: Any, shift: Any, center: Any, gradient: Any,
        out: Any, d_gaussians: Any, d_shift: Any, d_scale: Any,
    ) -> None:  # fmt: skip
        """Gradient of `gate` with respect to messages, added up at what they are sums of.

        In natural units, and without the scale. That of the scale lacks what Gaussians add, and is
        that of messages less the center.
        """
        number = table.dtype.type
        one, zero, ln2 = number(1), number(0), number(LN2)
        z, e = np.empty(2 * both, table.dtype), np.empty(2 * both, table.dtype)
        span = value.shape[1] * both
        out[2 * first * both : 2 * last * both] = 0
        for i in range(first, last):
            here = table[2 * i * both : 2 * (i + 1) * both]
            d_here = out[2 * i * both : 2 * (i + 1) * both]
            for pair in range(offset[i], offset[i + 1]):
                j, d = other[pair], distance[pair]
                there = table[2 * j * both : 2 * (j + 1) * both]
                g = near[d] * both
                rows = gaussians[g : g + span]
                messages(z, here, there, scale, shift, value[d], rows, both)
                exponentials(z, e, width)
                for side in range(2):
                    w = weight[pair, side]
                    own = gradient[i] if side == 0 else gradient[j]
                    x, y = z[side * both :], z[side * both + width :]
                    down, low = e[side * both :], e[side * both + width :]
                    for f in range(width):
                        # one division for 1 / (1 + down) and 1 / (1 + low)
                        a, b = one + down[f], one + low[f]
                        inverse = one / (a * b)
                        sigmoid = b * inverse
                        softplus = ((zero if zero > y[f] else y[f]) + log2_1p(low[f])) * ln2
                        slope = (low[f] if zero > y[f] else one) * (a * inverse)
                        received = w * own[f] * sigmoid
                        x[f] = received * softplus * (down[f] * sigmoid)
                        y[f] = received * slope
                d_there = out[2 * j * both : 2 * (j + 1) * both]
                spread(z, d_here, d_there, value[d], d_gaussians[g : g + span], both)
        for i in range(first, last):
            for f in range(both):
                d_shift[f] += out[2 * i * both + f]
        products(first, last, out, table, center, d_scale, both)

    @compiled
    def neighbor_sums(
        first: Any, last: Any, offset: Any, other: Any, share: Any, site_share: Any, table: Any,
        center: Any, out: Any, squares: Any,
    ) -> None:  # fmt: skip
        """Add, at each site, the shares of its messages times what sites project to in them.

        Of messages to it, then of those from it, both less the center. Then add the products of
        these sums and what sites project to.
        """
        for i in range(first, last):
            here = table[2 * i * both : 2 * (i + 1) * both]
            to, back = site_share[i, 0], site_share[i, 1]
            of_here = out[2 * i * both : 2 * (i + 1) * both]
            for f in range(both):
                of_here[f] += to * (here[f] - center[f])
                of_here[both + f] += back * (here[both + f] - center[f])
        for i in range(first, last):
            here = table[2 * i * both : 2 * (i + 1) * both]
            of_here = out[2 * i * both : 2 * (i + 1) * both]
            for pair in range(offset[i], offset[i + 1]):
                j, to, back = other[pair], share[pair, 0], share[pair, 1]
                there = table[2 * j * both : 2 * (j + 1) * both]
                of_there = out[2 * j * both : 2 * (j + 1) * both]
                for f in range(both):
                    of_here[f] += to * there[both + f]
                    of_here[both + f] += back * there[f]
                for f in range(both):
                    of_there[f] += back * here[both + f]
                    of_there[both + f] += to * here[f]
        products(first, last, out, table, center, squares, both)

    @compiled
    def table_gradient(
        first: Any, last: Any, d: Any, q: Any, share: Any, scale: Any, total: Any, slope: Any
    ) -> None:  # fmt: skip
        """Write scale * (d - share * total - slope * q) to d: the gradient through the norm."""
        for i in range(first, last):
            for side in range(2):
                part = share[i, side]
                row = (2 * i + side) * both
                for f in range(both):
                    d[row + f] = scale[f] * (d[row + f] - part * total[f] - slope[f] * q[row + f])

    @compiled
    def gated(first: Any, last: Any, z: Any, scale: Any, shift: Any, out: Any) -> None:
        """Write sigmoid * softplus of the halves of scale * z + shift, and to z the derivatives.

        They are those of messages that are made already, with respect to scale * z + shift.
        """
        number = z.dtype.type
        one, zero, most = number(1), number(0), number(MOST)
        ln2, log2_e = number(LN2), number(LOG2_E)
        for m in range(first, last):
            for f in range(width):
                x = (scale[f] * z[m, f] + shift[f]) * log2_e
                y = (scale[width + f] * z[m, width + f] + shift[width + f]) * log2_e
                down = exp2(within(-x, -most, most))
                low = exp2(-within(abs(y), -most, most))
                a, b = one + down, one + low
                inverse = one / (a * b)
                sigmoid = b * inverse
                gate = sigmoid * (((zero if zero > y else y) + log2_1p(low)) * ln2)
                out[m, f] = gate
                z[m, f] = gate * (down * sigmoid)
                z[m, width + f] = sigmoid * ((low if zero > y else one) * (a * inverse))

    @compiled
    def gated_gradient(first: Any, last: Any, slopes: Any, gradient: Any, out: Any) -> None:
        """Write the derivatives of `gated` times the gradient of what it wrote."""
        for m in range(first, last):
            for f in range(width):
                out[m, f] = slopes[m, f] * gradient[m, f]
                out[m, width + f] = slopes[m, width + f] * gradient[m, f]

    @compiled
    def update(first: Any, last: Any, x: Any, y: Any, scale: Any, shift: Any, out: Any) -> None:
        """Softplus of x + scale * y + shift."""
        number = x.dtype.type
        zero, most, ln2, log2_e = number(0), number(MOST), number(LN2), number(LOG2_E)
        for i in range(first, last):
            for f in range(width):
                v = x[i, f] + scale[f] * y[i, f] + shift[f]
                low = exp2(-within(abs(v) * log2_e, -most, most))
                out[i, f] = (zero if zero > v else v) + log2_1p(low) * ln2

    @compiled
    def update_gradient(
        first: Any, last: Any, out: Any, y: Any, gradient: Any, d: Any, sums: Any
    ) -> None:
        """Gradient of `update` with respect to x, and its sums over sites, plain and times y."""
        number = y.dtype.type
        one, most, log2_e = number(1), number(MOST), number(LOG2_E)
        for i in range(first, last):
            for f in range(width):
                # the derivative of a softplus is 1 - exp(-softplus)
                own = gradient[i, f] * (one - exp2(-within(out[i, f] * log2_e, -most, most)))
                d[i, f] = own
                sums[f] += own
                sums[width + f] += own * y[i, f]

    @compiled
    def norm_gradient(
        first: Any, last: Any, d: Any, y: Any, share: Any, scale: Any, mean: Any, slope: Any,
        out: Any,
    ) -> None:  # fmt: skip
        """Write scale * d - share * (mean + slope * y): the gradient of a batch normalization."""
        for i in range(first, last):
            for f in range(width):
                out[i, f] = scale[f] * d[i, f] - share[i] * (mean[f] + slope[f] * y[i, f])

    return SimpleNamespace(
        gate=gate,
        gate_gradient=gate_gradient,
        gated=gated,
        gated_gradient=gated_gradient,
        neighbor_sums=neighbor_sums,
        table_gradient=table_gradient,
        update=update,
        update_gradient=update_gradient,
        norm_gradient=norm_gradient,
    )
