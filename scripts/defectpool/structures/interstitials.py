"""Interstitial sites of a slab, from its geometry alone.

The distance from a point to the nearest atom has its maxima and saddles where the point lies inside
the convex hull of the atoms nearest to it (Edelsbrunner, "Surface reconstruction by wrapping finite
sets in space", 2003; Giesen and John, Comput. Geom. 39, 178 (2008)). These are the sites:

- void: a maximum, a cage of four or more atoms, as in other Voronoi-based searches;
- hollow: the middle of a ring of three or more atoms in one plane (the in-plane voids of graphene
  and h-BN, for instance);
- bridge: halfway between two atoms.

Since such a site lies inside the hull of its nearest atoms, it is never outside the layer, and
nothing has to be cut off in the vacuum. All three are circumcenters of Delaunay simplices
(tetrahedra, triangles, edges) that have an empty circumsphere and contain their circumcenter.

Adatom sites are the same construction in the plane for the atoms that are visible from above (or
below): top (above an atom), bridge (above the middle of two), hollow (above the middle of three or
more), at the height where the spheres of the sums of covalent radii touch. Interstitial and
adsorption sites of monolayers: Davidsson et al., npj 2D Mater. Appl. 7, 26 (2023).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, cKDTree

from defectpool.materials.plane_lattice import reduced
from defectpool.structures.symmetry import (
    LayerSymmetry,
    images,
    in_plane_shift,
    point_group,
)

Array = NDArray[np.float64]

SITE_TYPES = ("bridge", "hollow", "void")  # by the dimension of the hull of the nearest atoms
ADATOMS = ("adatom-top", "adatom-bridge", "adatom-hollow")
MERGE = 0.5  # Å; of two sites nearer than this, the one with less room is left out
EMPTY = 1e-4  # Å; how far an atom may reach into a sphere that counts as empty
SAME = 0.01  # Å; equal under the symmetry, which is exact in the idealized slab
INSIDE = 1e-6  # how far outside its simplex, in barycentric coordinates, a circumcenter may lie


@dataclass(frozen=True)
class Interstitial:
    """A symmetry-inequivalent interstitial site for one species.

    Attributes
    ----------
    species
        Species of the interstitial.
    site_type
        void, hollow, bridge, adatom-top, adatom-bridge or adatom-hollow.
    positions
        The equivalent sites in Å, [multiplicity, 3].
    free_radius
        Distance in Å from the site to the nearest covalent sphere of the host.
    site_symmetry
        Point group of the site (Hermann-Mauguin).
    """

    species: str
    site_type: str
    positions: Array
    free_radius: float
    site_symmetry: str


def find_interstitials(
    symmetry: LayerSymmetry,
    species: Sequence[str],
    site_types: Sequence[str],
    min_separation: float,
    tolerance: float,
) -> Iterator[Interstitial]:
    """Inequivalent interstitial sites of a slab, species by species: voids, hollows, bridges.

    Parameters
    ----------
    symmetry
        Layer symmetry of the host. The search is done in the idealized slab.
    species
        Species that are put in.
    site_types
        Any of void, hollow, bridge, adatom.
    min_separation
        Smallest distance to any atom of the host, as a share of the sum of covalent radii
        (Cordero et al., Dalton Trans. 2008, 2832).
    tolerance
        Sites as near to each other as this, in Å, are one, and atoms that are no farther than this
        behind the nearest ones count among them.

    Yields
    ------
    Interstitial
        With positions in the idealized slab.
    """
    slab = _Slab(symmetry.ideal)
    layer = _inequivalent(slab, symmetry, *_layer_sites(slab, tolerance))
    for name in species:
        radius = float(covalent_radii[atomic_numbers[name]])
        sites = [site for site in layer if site[0] in site_types]
        if "adatom" in site_types:
            adatoms = _adatom_sites(slab, radius, tolerance)
            sites += _inequivalent(slab, symmetry, *adatoms)
        if not sites:
            continue
        distances = slab.distances_to_atoms(np.array([positions[0] for _, positions, _ in sites]))
        wide = np.all(distances >= min_separation * (slab.radii + radius) - EMPTY, axis=1)
        free = (distances - slab.radii).min(axis=1)
        for i in np.flatnonzero(wide):
            site_type, positions, group = sites[i]
            yield Interstitial(name, site_type, positions, float(free[i]), group)


class _Slab:
    """A slab with all images of its atoms that are near the home cell."""

    def __init__(self, atoms: Atoms) -> None:
        self.cell = atoms.cell.array
        self.inverse = np.linalg.inv(self.cell)
        self.atoms = atoms.positions
        self.radii = covalent_radii[atoms.numbers]
        plane = reduced(self.cell[:2])
        self.home = np.array([plane[0], plane[1], self.cell[2]])
        self.home_inverse = np.linalg.inv(self.home)
        self.around = np.array([(i, j, 0) for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ self.home
        # no point of the layer is farther from an atom: half the diagonal of the reduced cell in
        # the plane, and half the thickness above or below
        lengths = np.linalg.norm(plane, axis=1)
        self.reach = float(np.hypot(lengths.sum(), np.ptp(self.atoms[:, 2])) / 2 + 0.5)
        self.points, self.index = self._patch(self.reach * lengths[::-1])
        self.scaled = self.points @ self.home_inverse
        self.tree = cKDTree(self.points)

    def _patch(self, margin: Array) -> tuple[Array, NDArray[np.int64]]:
        """All images within `reach` of the home cell, and which atom each is."""
        scaled = self.atoms @ self.home_inverse
        scaled[:, :2] -= np.floor(scaled[:, :2])
        margin = margin / np.linalg.norm(np.cross(self.home[0], self.home[1]))
        first, second = (np.arange(-np.ceil(m), np.ceil(m) + 1) for m in margin)
        shifts = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
        copies = scaled[:, None, :2] + shifts
        index, shift = np.nonzero(np.all((copies >= -margin) & (copies <= 1 + margin), axis=2))
        found = np.column_stack([copies[index, shift], scaled[index, 2]])
        return found @ self.home, index

    def at_home(self, points: Array) -> NDArray[np.bool_]:
        """Whether points lie in the home cell, its edges included."""
        scaled = (points @ self.home_inverse)[:, :2]
        return np.all((scaled > -INSIDE) & (scaled < 1 + INSIDE), axis=1)

    def brought_home(self, points: Array) -> Array:
        """Move points into the home cell by translations of the lattice."""
        scaled = points @ self.home_inverse
        scaled[..., :2] -= np.floor(scaled[..., :2] + 1e-9)
        return scaled @ self.home

    def shortest(self, difference: Array) -> Array:
        """Shortest of the periodic images of vectors [..., 3].

        Exact for vectors shorter than half the shortest lattice vector.
        """
        return in_plane_shift(difference @ self.home_inverse) @ self.home

    def pairs(
        self, points: Array, cutoff: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Points of the home cell nearer to each other, or to an image, than a cutoff in Å.

        Returns both indices and the vector from the first to the second; every point is a pair
        with itself, too.
        """
        copies = (points[:, None] + self.around).reshape(-1, 3)
        found = cKDTree(points).sparse_distance_matrix(
            cKDTree(copies), cutoff, output_type="ndarray"
        )
        return found["i"], found["j"] // len(self.around), copies[found["j"]] - points[found["i"]]

    def distances_to_atoms(self, points: Array) -> Array:
        """Distances in Å from points to the nearest image of each atom, [points, atoms]."""
        rows = max(1, 200_000 // len(self.atoms))  # at a time, to limit memory
        blocks = []
        for start in range(0, len(points), rows):
            nearest = self.shortest(points[start : start + rows, None] - self.atoms)
            images_of_nearest = nearest[:, :, None] + self.around
            blocks.append(np.linalg.norm(images_of_nearest, axis=3).min(axis=2))
        return np.vstack(blocks)


def critical_points(
    points: Array, guards: Array, scaled: Array | None = None
) -> tuple[Array, Array]:
    """Circumcenters of all Delaunay simplices that contain their own.

    They are the saddles and maxima of the distance to the nearest point where the circumsphere is
    empty, which the caller checks.

    Parameters
    ----------
    points
        Points in two or three dimensions, [points, dimension].
    guards
        More points, far outside, that keep the triangulation from being flat.
    scaled
        In-plane fractional coordinates [points, 2 or more]: with them, only simplices that reach
        into the home cell are looked at.

    Returns
    -------
    tuple of arrays
        Circumcenters [found, dimension] and circumradii [found]; equal ones are not yet merged.
    """
    simplices = np.sort(Delaunay(np.vstack([points, guards])).simplices, axis=1)
    simplices = simplices.astype(np.int64)
    if scaled is not None:
        padded = np.vstack([scaled[:, :2], np.zeros((len(guards), 2))])[simplices]
        padded[simplices >= len(points)] = np.nan
        low, high = np.fmin.reduce(padded, axis=1), np.fmax.reduce(padded, axis=1)
        simplices = simplices[np.all((low <= 1 + INSIDE) & (high >= -INSIDE), axis=1)]
    centers, radii = [], []
    total = len(points) + len(guards)
    for size in range(2, points.shape[1] + 2):
        faces = np.vstack([simplices[:, c] for c in combinations(range(simplices.shape[1]), size)])
        faces = faces[faces[:, -1] < len(points)]
        keys = faces[:, 0]
        for column in faces.T[1:]:
            keys = keys * total + column
        faces = faces[np.unique(keys, return_index=True)[1]]
        corner = points[faces[:, 0]]
        edges = points[faces[:, 1:]] - corner[:, None]
        gram = edges @ edges.transpose(0, 2, 1)
        lengths = np.einsum("fii->fi", gram)
        sound = np.linalg.det(gram) > 1e-9 * lengths.prod(axis=1)
        corner, edges, gram, lengths = corner[sound], edges[sound], gram[sound], lengths[sound]
        weights = np.linalg.solve(gram, lengths[..., None] / 2)[..., 0]
        inside = np.all(weights >= -INSIDE, axis=1) & (weights.sum(axis=1) <= 1 + INSIDE)
        to_center = np.einsum("fi,fid->fd", weights[inside], edges[inside])
        centers.append(corner[inside] + to_center)
        radii.append(np.linalg.norm(to_center, axis=1))
    return np.vstack(centers), np.concatenate(radii)


def _layer_sites(slab: _Slab, tolerance: float) -> tuple[Array, Array, NDArray[np.int64]]:
    """Voids, hollows and bridges of the home cell: positions, room in Å, ranks in `SITE_TYPES`."""
    far = 3 * slab.reach + np.ptp(slab.points[:, 2]) + 10
    guards = slab.points.mean(axis=0) + np.array([[0, 0, far], [0, 0, -far]])
    centers, radii = critical_points(slab.points, guards, slab.scaled)
    home = slab.at_home(centers)
    centers, radii = centers[home], radii[home]
    empty = slab.tree.query(centers)[0] >= radii - EMPTY
    points, room = _merged(slab, centers[empty], radii[empty], tolerance)
    return points, room, _dimensions(slab.tree, points, room, tolerance) - 1


def _dimensions(tree: cKDTree, points: Array, room: Array, tolerance: float) -> NDArray[np.int64]:
    """Dimension of the hull of the atoms nearest to each point, 1 at least."""
    contacts = tree.query_ball_point(points, room + tolerance)
    counts = np.array([len(found) for found in contacts])
    owner = np.repeat(np.arange(len(points)), counts)
    vectors = tree.data[np.concatenate(contacts).astype(np.int64)] - points[owner]
    spread = np.zeros((len(points), points.shape[1], points.shape[1]))
    np.add.at(spread, owner, vectors[:, :, None] * vectors[:, None, :])
    flat = np.linalg.eigvalsh(spread / counts[:, None, None]) > tolerance**2
    return np.maximum(flat.sum(axis=1), 1)


def _merged(slab: _Slab, points: Array, room: Array, tolerance: float) -> tuple[Array, Array]:
    """One site for each cluster, the widest; then drop sites with a wider one within `MERGE`."""
    points = slab.brought_home(points)
    count = len(points)
    i, j, vectors = slab.pairs(points, max(MERGE, tolerance))
    distances = np.linalg.norm(vectors, axis=1)
    near = distances <= tolerance
    links = coo_array((near[near], (i[near], j[near])), shape=(count, count))
    number, cluster = connected_components(links, directed=False)
    best = np.zeros(number)
    np.maximum.at(best, cluster, room)
    # The mean of the widest points of a cluster does not depend on the order of the atoms. Each
    # point has the same weight, however many simplices gave it.
    widest = room >= best[cluster] - EMPTY
    repeats = np.bincount(i[distances <= SAME], minlength=count)
    counted = (cluster[i] == cluster[j]) & widest[j]
    i, j, vectors = i[counted], j[counted], vectors[counted]
    weights = 1 / repeats[j]
    total = np.bincount(i, weights, count)
    moves = np.column_stack([np.bincount(i, weights * v, count) for v in vectors.T])
    chosen = np.flatnonzero(widest)
    chosen = chosen[np.unique(cluster[chosen], return_index=True)[1]]
    points = slab.brought_home(points[chosen] + moves[chosen] / total[chosen, None])
    i, j, _ = slab.pairs(points, MERGE)
    kept = np.ones(len(points), dtype=bool)
    kept[i[best[j] > best[i] + tolerance / 2]] = False
    return points[kept], best[kept]


def _inequivalent(
    slab: _Slab,
    symmetry: LayerSymmetry,
    points: Array,
    room: Array,
    ranks: NDArray[np.int64],
) -> list[tuple[str, Array, str]]:
    """One site of each orbit, moved onto its symmetry elements: type, orbit in Å, site symmetry."""
    names = (*SITE_TYPES, *ADATOMS)
    order = np.lexsort([*np.round(points, 4).T[::-1], -np.round(room, 3), -ranks])
    copies = images(symmetry, points @ slab.inverse) @ slab.cell
    shifts = slab.shortest(copies - points[:, None])
    fixed = np.linalg.norm(shifts, axis=2) <= SAME
    points = points + np.einsum("po,pod->pd", fixed / fixed.sum(axis=1)[:, None], shifts)
    copies = slab.brought_home(images(symmetry, points @ slab.inverse) @ slab.cell)
    earlier = np.tri(len(symmetry.rotations), k=-1, dtype=bool)
    seen = np.zeros(len(points), dtype=bool)
    found = []
    for i in order:
        if seen[i]:
            continue
        apart = np.linalg.norm(slab.shortest(copies[i][:, None] - copies[i]), axis=2) > SAME
        orbit = copies[i][np.all(apart | ~earlier, axis=1)]
        to_orbit = slab.shortest(points[:, None] - orbit)
        seen |= np.linalg.norm(to_orbit, axis=2).min(axis=1) <= SAME
        orbit = orbit[np.lexsort(np.round(orbit, 4).T[::-1])]
        found.append((names[ranks[i]], orbit, point_group(symmetry.rotations[fixed[i]])))
    return found


def _adatom_sites(
    slab: _Slab, radius: float, tolerance: float
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Sites for an adatom of a covalent radius in Å on both faces: positions, room, ranks."""
    reach = slab.radii[slab.index] + radius
    sites, rooms, ranks = [], [], []
    for side in (1, -1):
        heights = _heights(slab.points[:, :2], slab.points, reach, side)
        surface = slab.points[heights <= side * slab.points[:, 2] + reach + EMPTY, :2]
        far = 10 * (np.ptp(surface, axis=0).max() + 10)
        guards = surface.mean(axis=0) + far * np.array([[1, 0.1], [-0.9, 1], [-0.8, -1.1]])
        centers, radii = critical_points(surface, guards)
        tree = cKDTree(surface)
        empty = tree.query(centers)[0] >= radii - EMPTY
        between = _flat_merged(slab, centers[empty], radii[empty], tolerance)
        on_top = _flat_merged(slab, surface, np.zeros(len(surface)), tolerance)
        dimension = _dimensions(tree, between[0][:, :2], between[1], tolerance)
        points, room = (np.concatenate(both) for both in zip(on_top, between, strict=True))
        rank = np.concatenate([np.zeros(len(on_top[0]), dtype=np.int64), dimension])
        points[:, 2] = side * _heights(points[:, :2], slab.points, reach, side)
        held = np.isfinite(points[:, 2])  # the sphere falls through a pore that is wider than it
        sites.append(points[held])
        rooms.append(room[held])
        ranks.append(rank[held])
    return np.vstack(sites), np.concatenate(rooms), len(SITE_TYPES) + np.concatenate(ranks)


def _flat_merged(slab: _Slab, flat: Array, room: Array, tolerance: float) -> tuple[Array, Array]:
    points = np.column_stack([flat, np.zeros(len(flat))])
    home = slab.at_home(points)
    return _merged(slab, points[home], room[home], tolerance)


def _heights(flat: Array, points: Array, reach: Array, side: int) -> Array:
    """Heights [n] at which a sphere from above (side 1) or below (-1) touches the atoms."""
    rows = max(1, 1_000_000 // len(points))  # at a time, to limit memory
    blocks = []
    for start in range(0, len(flat), rows):
        apart = flat[start : start + rows, None] - points[:, :2]
        square = reach**2 - (apart**2).sum(axis=2)
        touch = side * points[:, 2] + np.sqrt(np.maximum(square, 0))
        blocks.append(np.where(square > 0, touch, -np.inf).max(axis=1))
    return np.concatenate(blocks)
