"""Slow and plain twins of what `defectpool.graphs` does with arrays, and crystals to try it on."""

import itertools
import math
from collections import Counter

import numpy as np
from ase import Atoms
from ase.build import bulk, graphene, mx2

from defectpool.graphs.crystal_graph import PHASE, Crystal
from defectpool.graphs.neighbors import TIE_TOLERANCE

MASK = 2**64 - 1


def crystal(atoms: Atoms, pbc: tuple[int, int, int] | None = None) -> Crystal:
    return Crystal(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=np.array(atoms.pbc if pbc is None else pbc, dtype=np.int64),
    )


def layer(atoms: Atoms, vacuum: float = 16.0) -> Atoms:
    atoms = atoms.copy()
    atoms.center(vacuum=vacuum / 2, axis=2)
    atoms.pbc = (True, True, False)
    return atoms


def rectangle() -> Atoms:
    """A rectangular layer of four species, with nothing but the identity as a symmetry."""
    atoms = Atoms(
        "GeSeSnS",
        positions=[(0.1, 0.2, 0.0), (2.3, 0.3, 0.9), (2.1, 2.2, 0.2), (0.3, 2.0, 1.3)],
        cell=(4.4, 4.1, 0),
        pbc=(True, True, False),
    )
    return layer(atoms)


def layers() -> dict[str, Atoms]:
    slab = bulk("NaCl", "rocksalt", a=5.6, cubic=True)[:4]
    return {
        "MoS2": layer(mx2("MoS2", "2H", a=3.18, thickness=3.13)),
        "TiS2": layer(mx2("TiS2", "1T", a=3.41, thickness=2.83)),
        "graphene": layer(graphene()),
        "NaCl": layer(slab),
        "GeSeSnS": rectangle(),
        "chain": Atoms("Li", cell=(3.0, 30, 30), pbc=(True, True, False), positions=[(0, 15, 15)]),
        "far": Atoms("He", cell=(9.0, 9.0, 20.0), pbc=(True, True, False)),
    }


def vacancy(atoms: Atoms, size: int, site: int = -1) -> Atoms:
    atoms = atoms.repeat((size, size, 1))
    del atoms[site]
    return atoms


# --------------------------------------------------------------------------- neighbors


def slow_neighbors(c: Crystal, radius: float) -> list[list[tuple[float, int, tuple[float, ...]]]]:
    """(distance, source, displacement) of all neighbors of each site, image by image."""
    reach = []
    volume = abs(np.linalg.det(c.cell))
    spread = np.ptp(c.positions @ np.linalg.inv(c.cell), axis=0)
    for axis in range(3):
        other = np.cross(c.cell[(axis + 1) % 3], c.cell[(axis + 2) % 3])
        height = volume / np.linalg.norm(other)
        reach.append(int(c.pbc[axis]) * math.ceil(radius / height + spread[axis] + 1))
    found: list[list[tuple[float, int, tuple[float, ...]]]] = [[] for _ in c.numbers]
    for image in itertools.product(*(range(-n, n + 1) for n in reach)):
        move = np.array(image) @ c.cell
        for source, end in enumerate(c.positions + move):
            for target, start in enumerate(c.positions):
                vector = end - start
                distance = math.sqrt(sum(x * x for x in vector))
                if distance <= radius and (distance > 1e-8 or source != target):
                    found[target].append((distance, source, tuple(vector)))
    return found


def slow_bin(distance: float, tolerance: float) -> int:
    return math.floor(distance / tolerance + PHASE)


def slow_mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def slow_edges(
    c: Crystal, radius: float, max_neighbors: int | None, shells: str, tolerance: float
) -> list[list[tuple[float, int, tuple[float, ...]]]]:
    """The neighbors of each site that its graph has."""
    if max_neighbors is None:
        return slow_neighbors(c, radius)
    complete = []
    lasts = []
    for near in slow_neighbors(c, radius):
        near.sort()
        last = near[max_neighbors - 1][0] if len(near) >= max_neighbors else math.inf
        complete.append([entry for entry in near if entry[0] <= last + TIE_TOLERANCE])
        lasts.append(last)
    if shells == "complete":
        return complete
    colors = [[slow_mix(int(z)) for z in c.numbers]]
    for _ in range(3):
        old = colors[-1]
        colors.append(
            [
                slow_mix(
                    slow_mix(old[site])
                    + sum(slow_mix(old[s] ^ slow_mix(slow_bin(d, tolerance))) for d, s, _ in shell)
                    & MASK
                )
                for site, shell in enumerate(complete)
            ]
        )

    def rank(entry: tuple[float, int, tuple[float, ...]]) -> tuple[int, ...]:
        _, source, vector = entry
        first, second, third = (colors[r][source] for r in (1, 2, 3))
        environment = (int(c.numbers[source]), first >> 46, second >> 45, third >> 45)
        return (*environment, *(math.floor(x / 0.01 + PHASE) for x in vector))

    graph = []
    for shell, last in zip(complete, lasts, strict=True):
        inside = [entry for entry in shell if entry[0] < last - TIE_TOLERANCE]
        tied = [entry for entry in shell if entry[0] >= last - TIE_TOLERANCE]
        graph.append(inside + sorted(tied, key=rank)[: max_neighbors - len(inside)])
    return graph


# --------------------------------------------------------------------------- compression


def slow_refine(colors, edges, rounds):
    """Exact colors by nested tuples; `edges[site]` lists (source, bin)."""
    colors = list(colors)
    for _ in range(rounds):
        colors = [
            (colors[site], tuple(sorted((repr(colors[s]), b) for s, b in edges[site])))
            for site in range(len(colors))
        ]
    return colors


def slow_quotient(colors, edges, rounds):
    """Class of each site, size of each class and Counter of (target, source, bin)."""
    refined = slow_refine(colors, edges, rounds)
    names: dict[object, int] = {}
    first = []
    site_class = []
    for site, color in enumerate(refined):
        if color not in names:
            names[color] = len(names)
            first.append(site)
        site_class.append(names[color])
    merged: Counter[tuple[int, int, int]] = Counter()
    for number, site in enumerate(first):
        for source, bin_ in edges[site]:
            merged[number, site_class[source], bin_] += 1
    return site_class, Counter(site_class), merged


# --------------------------------------------------------------------------- a network


def message_passing(random_seed, numbers, target, source, distance, node_weight, edge_weight, R):
    """A gated network in float64 with batch norm over edges and sites; all sums are weighted."""
    random = np.random.default_rng(random_seed)
    width = 6
    x = random.normal(size=(120, width))[numbers]
    gaussians = np.exp(-((distance[:, None] - np.linspace(0, 8, 9)) ** 2) / 0.5)
    times = edge_weight * node_weight[target]
    outputs = []
    for _ in range(R):
        weights = random.normal(size=(2 * width + 9, 2 * width)) / 3
        z = np.concatenate([x[target], x[source], gaussians], axis=1) @ weights
        mean = np.average(z, axis=0, weights=times)
        variance = np.average((z - mean) ** 2, axis=0, weights=times)
        z = (z - mean) / np.sqrt(variance + 1e-5)
        message = np.log1p(np.exp(z[:, width:])) / (1 + np.exp(-z[:, :width]))
        summed = np.zeros_like(x)
        np.add.at(summed, target, message * edge_weight[:, None])
        mean_x = np.average(summed, axis=0, weights=node_weight)
        variance_x = np.average((summed - mean_x) ** 2, axis=0, weights=node_weight)
        x = np.log1p(np.exp(x + (summed - mean_x) / np.sqrt(variance_x + 1e-5)))
        outputs.append((mean, variance, mean_x, variance_x))
    return x, outputs
