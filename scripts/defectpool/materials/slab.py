"""Monolayers: recognized by their bonds, and brought to one standard setting.

The layer is found from its bonds, not from the cell: two atoms are bonded where they are closer
than 1.4 times the sum of their covalent radii (Cordero et al., Dalton Trans. 2008, 2832). The
translations that the bonds connect span the periodic directions, as in Larsen et al., Phys. Rev.
Materials 3, 034003 (2019). The layers of C2DB hold together at 1.35 or below, and layers that van
der Waals forces bind are at 1.6 and above (MoS2 bilayer 1.65, graphite 2.2).
"""

from dataclasses import dataclass
from math import gcd

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from defectpool.materials.host import BadStructure
from defectpool.materials.plane_lattice import reduced

BOND = 1.4
CLASH = 0.5
MIN_GAP = 5.0  # Å between layers; the widest van der Waals gaps are about 4 Å
MIN_SPACING = 0.5  # Å between lattice planes
MAX_LENGTH = 1000.0  # Å
MAX_ATOMS = 2000  # atoms; a supercell of more is beyond what graphs are built for
MAX_DENSITY = 1.0  # atoms in Å³; diamond has 0.18
MAX_ELEMENT = 100  # CGCNN's features end at fermium
SYMPREC = 0.1  # Å; C2DB's own tolerance

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def standardize(atoms: Atoms, vacuum: float) -> Atoms:
    """Bring a monolayer to the standard setting.

    Parameters
    ----------
    atoms
        A layer in any setting: vacuum along any direction, periodic or not along it, in one piece
        or cut by the border of the cell.
    vacuum
        Least distance in Å between the outermost atoms of the layer and those of its image.

    Returns
    -------
    ase.Atoms
        a along x, b in the plane xy, c along z, right-handed; atoms inside the cell in the plane,
        centered along c; pbc (True, True, False). The layer is turned, never mirrored. The cell's
        own a, b and c stay as long as they are where they span the layer and leave the vacuum.

    Raises
    ------
    BadStructure
        With one of the reasons empty, not_finite, unknown_element, partial_occupancy, zero_volume,
        too_large, too_close, molecule, chain, bulk, two_slabs, loose_parts.
    """
    check_atoms(atoms)
    verdict: BadStructure | None = None
    for cell, spacing in _readings(atoms):
        try:
            layer = _find_layer(atoms.numbers, atoms.positions, cell)
        except BadStructure as error:
            verdict = verdict or error
        else:
            height = layer.spacing if spacing is None else spacing
            return _stand(atoms.numbers, layer, height, vacuum)
    assert verdict is not None
    raise verdict


def layer_group(atoms: Atoms) -> tuple[int, str, int]:
    """Layer group of a slab in the standard setting, by spglib at 0.1 Å.

    Returns
    -------
    number, symbol, atoms
        Number (1 to 80), Hermann-Mauguin symbol and atoms in the primitive cell; (0, "", atoms in
        the cell) where spglib finds none.
    """
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(wrap=False), atoms.numbers)
    found = spglib.get_layergroup(cell, aperiodic_dir=2, symprec=SYMPREC)
    if found is None:
        return 0, "", len(atoms)
    return int(found.number), str(found.international), len(set(found.mapping_to_primitive))


def check_atoms(atoms: Atoms) -> None:
    """Check that filters and the search for a layer can be applied to a structure.

    Raises
    ------
    BadStructure
        With one of the reasons empty, not_finite, unknown_element, partial_occupancy, too_large.
    """
    if len(atoms) == 0:
        raise BadStructure("empty", "no atoms")
    if len(atoms) > MAX_ATOMS:
        raise BadStructure("too_large", f"{len(atoms)} atoms, more than {MAX_ATOMS}")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise BadStructure("not_finite", "a coordinate or a cell vector is not a finite number")
    strange = [z for z in atoms.numbers.tolist() if not 1 <= z <= MAX_ELEMENT]
    if strange:
        names = sorted({chemical_symbols[z] if 0 <= z < 119 else str(z) for z in strange})
        raise BadStructure("unknown_element", f"no features for {', '.join(names)}")
    _check_occupancy(atoms.info.get("occupancy"))
    if max(np.ptp(atoms.positions, axis=0).max(), np.abs(atoms.cell.array).max()) > MAX_LENGTH:
        raise BadStructure("too_large", f"larger than {MAX_LENGTH:g} Å")


@dataclass(frozen=True)
class _Layer:
    """A layer: in-plane vectors a, b [3], atoms in one piece [sites, 3], distance to the next."""

    a: Floats
    b: Floats
    positions: Floats
    spacing: float


def _check_occupancy(occupancy: object) -> None:
    """Refuse sites that are shared or partly empty, as ASE's CIF reader notes them."""
    if not isinstance(occupancy, dict):
        return
    for site in occupancy.values():
        try:
            shares = {str(symbol): float(share) for symbol, share in site.items()}
        except (AttributeError, TypeError, ValueError):
            raise BadStructure("unreadable", "an occupancy is not a number") from None
        if len(shares) != 1 or not abs(sum(shares.values()) - 1) < 1e-3:
            what = ", ".join(f"{symbol} {share:g}" for symbol, share in sorted(shares.items()))
            raise BadStructure("partial_occupancy", f"a site is shared or partly empty: {what}")


def _readings(atoms: Atoms) -> list[tuple[Floats, float | None]]:
    """Cells [3, 3] in which the structure may be read, periodic in all three directions.

    A cell with two periodic directions is first read as it says: along the third direction there
    are no images, so that vector is replaced by a long one along the normal, and its own height in
    Å is given beside it. The second reading, and the only one where pbc says anything else, has all
    vectors periodic.
    """
    cell = atoms.cell.array
    lengths = np.linalg.norm(cell, axis=1)
    if (lengths < 1e-3).all():
        raise BadStructure("molecule", "no cell, so nothing is periodic")
    open_ones = [k for k in range(3) if lengths[k] < 1e-3 or not atoms.pbc[k]]
    readings: list[tuple[Floats, float | None]] = []
    if len(open_ones) == 1:
        k = open_ones[0]
        a, b = cell[(k + 1) % 3], cell[(k + 2) % 3]
        normal = _cross(a, b)
        area = np.linalg.norm(normal)
        if area > 1e-3:
            normal /= area
            height = abs(float(cell[k] @ normal))
            image = max(float(np.ptp(atoms.positions @ normal)) + 4 * MIN_GAP, height)
            readings.append((np.roll(np.array([a, b, normal * image]), k + 1, axis=0), height))
    volume = abs(np.linalg.det(cell))
    if volume > 1e-6 and (np.linalg.norm(np.linalg.inv(cell), axis=0) < 1 / MIN_SPACING).all():
        readings.append((cell, None))
    if not readings:
        raise BadStructure("zero_volume", f"the cell vectors span {volume:.3g} Å³")
    return readings


def _find_layer(numbers: Ints, positions: Floats, cell: Floats) -> _Layer:
    from pymatgen.optimization.neighbors import find_points_in_spheres

    volume = abs(np.linalg.det(cell))
    if len(numbers) > MAX_DENSITY * volume:
        raise BadStructure("too_close", f"{len(numbers)} atoms in {volume:.3g} Å³")
    scaled = np.linalg.solve(cell.T, positions.T).T
    scaled -= np.floor(scaled)
    inside = np.ascontiguousarray(scaled @ cell)
    radii = covalent_radii[numbers]
    pairs = find_points_in_spheres(
        all_coords=inside,
        center_coords=inside,
        r=float(2 * BOND * radii.max()),
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(cell),
        tol=1e-8,
    )
    i, j, images, distances = pairs
    images = np.rint(images).astype(np.int64)
    others = (i != j) | images.any(axis=1)
    ratio = distances / (radii[i] + radii[j])
    bonded = others & (ratio < BOND)
    if (others & (ratio < CLASH)).any():
        worst = np.flatnonzero(others)[np.argmin(ratio[others])]
        pair = f"{chemical_symbols[numbers[i[worst]]]}-{chemical_symbols[numbers[j[worst]]]}"
        raise BadStructure("too_close", f"{pair} {distances[worst]:.2f} Å apart")

    parts = _networks(len(numbers), i[bonded], j[bonded], images[bonded])
    ranks = [int(np.linalg.matrix_rank(cycles)) if len(cycles) else 0 for _, _, cycles in parts]
    if max(ranks) == 3:
        raise BadStructure("bulk", "bonds run in three directions")
    if max(ranks) < 2:
        reason = "chain" if max(ranks) else "molecule"
        raise BadStructure(reason, f"{len(parts)} parts, none of them bonded in two directions")
    if len(parts) > 1:
        layers = ranks.count(2)
        if layers > 1:
            raise BadStructure("two_slabs", f"{layers} layers that are not bonded to each other")
        raise BadStructure("loose_parts", f"a layer and {len(parts) - 1} parts not bonded to it")

    _, shifts, cycles = parts[0]
    plane, index = _plane(cycles)
    if index != 1:
        raise BadStructure("two_slabs", f"{index} layers woven through each other")
    a, b = _in_plane_vectors(plane, cell)
    whole = inside + shifts @ cell
    normal = _cross(a, b)
    area = np.linalg.norm(normal)
    spacing = volume / area
    gap = spacing - np.ptp(whole @ normal) / area
    if gap < MIN_GAP:
        raise BadStructure("bulk", f"layers {gap:.1f} Å apart: a layered bulk crystal")
    return _Layer(a, b, whole, float(spacing))


def _networks(count: int, i: Ints, j: Ints, images: Ints) -> list[tuple[Ints, Ints, Ints]]:
    """Bonded parts: members [m], the cell each is in [m, 3] when unfolded, translations [t, 3]."""
    pairs, first = np.unique(i * count + j, return_index=True)
    bonds: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for pair, bond in zip(pairs.tolist(), first.tolist(), strict=True):
        bonds[pair // count].append((pair % count, bond))
    shifts = np.zeros((count, 3), dtype=np.int64)
    part = np.full(count, -1)
    parts = 0
    for root in range(count):
        if part[root] < 0:
            part[root] = parts
            reached = [root]
            for site in reached:  # grows while it is walked
                for neighbor, bond in bonds[site]:
                    if part[neighbor] < 0:
                        part[neighbor] = parts
                        shifts[neighbor] = shifts[site] + images[bond]
                        reached.append(neighbor)
            parts += 1
    cycles = shifts[i] + images - shifts[j]
    closed = cycles.any(axis=1)
    found = []
    for number in range(parts):
        sites = np.flatnonzero(part == number)
        own = cycles[closed & (part[i] == number)]
        found.append((sites, shifts[sites], np.unique(own, axis=0)))
    return found


def _plane(cycles: Ints) -> tuple[tuple[int, int, int], int]:
    """Miller indices of the lattice plane of the translations, and their index in its lattice."""
    minors = np.cross(cycles[:, None], cycles[None]).reshape(-1, 3)
    content = np.gcd.reduce(minors, axis=1)
    h, k, l = (minors[content > 0][0] // content[content > 0][0]).tolist()  # noqa: E741
    return (h, k, l), int(np.gcd.reduce(content))


def _in_plane_vectors(plane: tuple[int, int, int], cell: Floats) -> tuple[Floats, Floats]:
    """Two vectors [3] in Å that span the lattice plane: the cell's own, or the shortest."""
    if sum(map(abs, plane)) == 1:
        k = int(np.flatnonzero(plane)[0])
        return cell[(k + 1) % 3], cell[(k + 2) % 3]
    h, k, l = plane  # noqa: E741
    g = gcd(h, k)
    p = next(p for p in range(abs(k // g) + 1) if k == 0 or (g - p * h) % k == 0) if k else 1
    q = (g - p * h) // k if k else 0
    if not k:
        p = g // h
    a, b = reduced(np.array([[k // g, -h // g, 0], [l * p, l * q, -g]]) @ cell)
    return a, b


def _stand(numbers: Ints, layer: _Layer, spacing: float, vacuum: float) -> Atoms:
    """Turn the layer into the plane xy, a along x, and center it along c."""
    normal = _cross(layer.a, layer.b)
    normal /= np.linalg.norm(normal)
    x = layer.a / np.linalg.norm(layer.a)
    turn = np.array([x, _cross(normal, x), normal]).T
    a, b = layer.a @ turn, layer.b @ turn
    positions = layer.positions @ turn
    height = positions[:, 2] - (positions[:, 2].max() + positions[:, 2].min()) / 2
    length = max(spacing, float(np.ptp(height)) + vacuum)
    scaled = np.linalg.solve(np.array([a[:2], b[:2]]).T, positions[:, :2].T).T
    scaled -= np.floor(scaled + 1e-9)
    flat = scaled @ np.array([a[:2], b[:2]])
    cell = np.array([[a[0], 0, 0], [b[0], b[1], 0], [0, 0, length]]) + 0.0
    return Atoms(
        numbers,
        np.column_stack([flat, height + length / 2]) + 0.0,
        cell=cell,
        pbc=(True, True, False),
    )


def _cross(a: Floats, b: Floats) -> Floats:
    """Vector product of two vectors; np.cross takes ten times as long for so few numbers."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
