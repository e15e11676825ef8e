"""Interstitial sites of a slab, from its geometry alone.

The distance from a point to the nearest atom has its maxima, saddles and minima where the point
lies inside the convex hull of the atoms nearest to it (Edelsbrunner, "Surface reconstruction by
wrapping finite sets in space", 2003; Giesen and John, "The flow complex", Comput. Geom. 39, 178
(2008)). These are the interstitial sites:

- void: a maximum, a cage of four or more atoms, as in other Voronoi-based searches;
- hollow: the middle of a ring of three or more atoms in a plane (the in-plane voids of graphene and
  h-BN are of this kind);
- bridge: halfway between two atoms.

Since the site lies inside the hull of its nearest atoms, it is never outside the layer, and there is
nothing to be cut off in the vacuum. All three are circumcentres of Delaunay simplices
(tetrahedra, triangles, edges) whose circumsphere is empty and which contain their circumcentre.

Adatom sites are the same construction in the plane for the atoms that are visible from above (or
below): top (above an atom), bridge (above the middle of two), hollow (above the middle of three or
more), at the height where the spheres of the sums of covalent radii touch, as in the adsorption
sites of Davidsson et al., npj 2D Mater. Appl. 7, 26 (2023).
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

from defectpool.structures.supercell import reduced
from defectpool.structures.symmetry import (
    LayerSymmetry,
    in_plane_shift,
    site_symmetry,
)

Array = NDArray[np.float64]

KINDS = ("bridge", "hollow", "void")  # by the dimension of the hull of the nearest atoms
MERGE = 0.5  # Å; of two sites as near as this the one with less room is left out
EMPTY = 1e-4  # Å; how far an atom may reach into a sphere that counts as empty
INSIDE = 1e-6  # how far outside its simplex, in barycentric coordinates, a circumcentre may lie


@dataclass(frozen=True)
class Interstitial:
    """A symmetry-inequivalent interstitial site for one species.

    Attributes
    ----------
    species
        What would sit there.
    kind
        void, hollow, bridge, adatom-top, adatom-bridge or adatom-hollow.
    positions
        The equivalent sites in Å, [multiplicity, 3]; the representative first.
    free_radius
        Distance in Å to the nearest covalent sphere of the host.
    site_symmetry
        Point group of the site (Hermann-Mauguin).
    """

    species: str
    kind: str
    positions: Array
    free_radius: float
    site_symmetry: str


def find_interstitials(
    atoms: Atoms,
    symmetry: LayerSymmetry,
    species: Sequence[str],
    kinds: Sequence[str],
    min_separation: float,
    tolerance: float,
) -> Iterator[Interstitial]:
    """Inequivalent interstitial sites of a slab, species by species, roomiest kinds first.

    Parameters
    ----------
    atoms
        The host: vacuum along c, (True, True, False).
    symmetry
        Its layer symmetry.
    species
        Species that are put in.
    kinds
        Any of void, hollow, bridge, adatom.
    min_separation
        Smallest distance to any atom of the host, as a share of the sum of covalent radii
        (Cordero et al., Dalton Trans. 2832 (2008)).
    tolerance
        Sites nearer to each other than this, in Å, are one; equal under symmetry within twice this.
    """
    slab = _Slab(atoms)
    inside = list(_orbits(slab, symmetry, *_layer_sites(slab, tolerance), 2 * tolerance))
    for name in species:
        radius = covalent_radii[atomic_numbers[name]]
        sites = [site for site in inside if site[0] in kinds]
        if "adatom" in kinds:
            above = _adatom_sites(slab, radius, tolerance)
            sites += _orbits(slab, symmetry, *above, 2 * tolerance)
        for kind, positions, group in sites:
            distances, radii = slab.surroundings(positions[0], radius)
            if np.any(distances < min_separation * (radii + radius) - EMPTY):
                continue
            yield Interstitial(name, kind, positions, float((distances - radii).min()), group)


class _Slab:
    """Atoms of a slab with all images that matter to points of the home cell."""

    def __init__(self, atoms: Atoms) -> None:
        self.cell = atoms.cell.array
        self.inverse = np.linalg.inv(self.cell)
        self.plane = reduced(self.cell[:2])
        positions = atoms.positions
        heights = positions[:, 2]
        # nothing in the layer is farther from an atom: half the diagonal of the reduced cell in the
        # plane, and half the thickness above or below
        lengths = np.linalg.norm(self.plane, axis=1)
        self.reach = float(np.hypot(lengths.sum(), np.ptp(heights)) / 2 + 0.5)
        self.home = np.array([self.plane[0], self.plane[1], self.cell[2]])
        self.home_inverse = np.linalg.inv(self.home)
        self.points, self.index = self._patch(positions, self.reach)
        self.atoms = positions
        self.radii = covalent_radii[atoms.numbers]
        self.tree = cKDTree(self.points)

    def _patch(self, positions: Array, reach: float) -> tuple[Array, NDArray[np.int64]]:
        """All images within `reach` of the home cell, and which atom each is."""
        scaled = positions @ self.home_inverse
        scaled[:, :2] -= np.floor(scaled[:, :2])
        area = abs(np.linalg.det(self.plane[:, :2]))
        margin = reach * np.linalg.norm(self.plane, axis=1)[::-1] / area
        first, second = (np.arange(-np.ceil(m), np.ceil(m) + 1) for m in margin)
        shifts = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
        images = scaled[:, None, :2] + shifts[None]
        near = np.all((images >= -margin) & (images <= 1 + margin), axis=2)
        index, shift = np.nonzero(near)
        found = np.column_stack([images[index, shift], scaled[index, 2]])
        return found @ self.home, index

    def at_home(self, points: Array) -> NDArray[np.bool_]:
        """Which points lie in the home cell, its edges included."""
        scaled = points @ self.home_inverse
        return np.all((scaled[:, :2] > -INSIDE) & (scaled[:, :2] < 1 + INSIDE), axis=1)

    def to_host(self, points: Array) -> Array:
        """Fractional coordinates in the host's cell, with a and b in [0, 1)."""
        scaled = points @ self.inverse
        scaled[:, :2] -= np.floor(scaled[:, :2] + 1e-9)
        return scaled

    def surroundings(self, point: Array, radius: float) -> tuple[Array, Array]:
        """Distances from a point to all atoms that may be too near, and their covalent radii."""
        scaled = (point - self.atoms) @ self.home_inverse
        scaled = in_plane_shift(scaled)
        shifts = np.array([(i, j, 0) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float)
        images = (scaled[:, None] + shifts[None]) @ self.home
        return np.linalg.norm(images, axis=2).min(axis=1), self.radii


def critical_points(points: Array, guards: Array) -> tuple[Array, Array]:
    """Saddles and maxima of the distance to the nearest of the points, far from their outer edge.

    Parameters
    ----------
    points
        Points in two or three dimensions, [points, dimension].
    guards
        More points, far outside, that keep the triangulation from being flat.

    Returns
    -------
    tuple of arrays
        Circumcentres of all simplices that contain their own, [found, dimension], and their
        circumradii. Whether the sphere is empty has still to be asked.
    """
    simplices = np.sort(Delaunay(np.vstack([points, guards])).simplices, axis=1)
    centres, radii = [], []
    for size in range(2, points.shape[1] + 2):
        faces = np.vstack([simplices[:, c] for c in combinations(range(simplices.shape[1]), size)])
        faces = np.unique(faces[faces[:, -1] < len(points)], axis=0)
        corner = points[faces[:, 0]]
        edges = points[faces[:, 1:]] - corner[:, None]
        gram = edges @ edges.transpose(0, 2, 1)
        lengths = np.einsum("fii->fi", gram)
        sound = np.linalg.det(gram) > 1e-9 * lengths.prod(axis=1)
        weights = np.linalg.solve(gram[sound], lengths[sound][..., None] / 2)[..., 0]
        inside = np.all(weights >= -INSIDE, axis=1) & (weights.sum(axis=1) <= 1 + INSIDE)
        to_centre = np.einsum("fi,fid->fd", weights[inside], edges[sound][inside])
        centres.append(corner[sound][inside] + to_centre)
        radii.append(np.linalg.norm(to_centre, axis=1))
    return np.vstack(centres), np.concatenate(radii)


def _layer_sites(slab: _Slab, tolerance: float) -> tuple[Array, Array, list[str]]:
    """Voids, hollows and bridges of the home cell: fractional positions, room in Å, kinds."""
    points = slab.points
    middle = points.mean(axis=0)
    far = 3 * slab.reach + np.ptp(points[:, 2]) + 10
    guards = middle + np.array([[0, 0, far], [0, 0, -far]])
    centres, radii = critical_points(points, guards)
    home = slab.at_home(centres)
    centres, radii = centres[home], radii[home]
    empty = slab.tree.query(centres)[0] >= radii - EMPTY
    scaled, room = _merged(slab, centres[empty], radii[empty], tolerance)
    kinds = []
    for point in scaled @ slab.cell:
        kinds.append(KINDS[_dimension(slab, point, tolerance) - 1])
    return scaled, room, kinds


def _dimension(slab: _Slab, point: Array, tolerance: float) -> int:
    """Dimension of the hull of the atoms nearest to a point: 1, 2 or 3."""
    scaled = point @ slab.home_inverse
    scaled[:2] -= np.floor(scaled[:2])
    point = scaled @ slab.home
    nearest = slab.tree.query(point)[0]
    contacts = slab.points[slab.tree.query_ball_point(point, nearest + tolerance)]
    spread = np.linalg.svd(contacts - point, compute_uv=False) / np.sqrt(len(contacts))
    return max(1, int((spread > tolerance).sum()))


def _merged(slab: _Slab, points: Array, room: Array, tolerance: float) -> tuple[Array, Array]:
    """One of each cluster within the tolerance; then only the roomiest within `MERGE`."""
    scaled = slab.to_host(points)
    distance = _distances(slab, scaled)
    _, cluster = connected_components(coo_array(distance <= tolerance))
    firsts = np.array(
        [max(np.flatnonzero(cluster == c), key=lambda i: room[i]) for c in range(cluster.max() + 1)]
    )
    scaled, room, distance = scaled[firsts], room[firsts], distance[np.ix_(firsts, firsts)]
    roomier = room[None, :] > room[:, None] + tolerance / 2
    kept = ~np.any((distance < MERGE) & roomier, axis=1)
    return scaled[kept], room[kept]


def _distances(slab: _Slab, scaled: Array) -> Array:
    """Distances in Å between points (fractional), to the nearest image in the plane."""
    difference = (scaled[:, None] - scaled[None]) @ slab.cell @ slab.home_inverse
    return np.linalg.norm(in_plane_shift(difference) @ slab.home, axis=2)


def _orbits(
    slab: _Slab,
    symmetry: LayerSymmetry,
    scaled: Array,
    room: Array,
    kinds: list[str],
    tolerance: float,
) -> Iterator[tuple[str, Array, str]]:
    """Sites grouped by symmetry, as kind, positions [multiplicity, 3] and site symmetry."""
    if not len(scaled):
        return
    images = np.einsum("oij,pj->poi", symmetry.rotations, scaled) + symmetry.translations
    difference = (images[:, :, None] - scaled[None, None]) @ slab.cell @ slab.home_inverse
    same = np.linalg.norm(in_plane_shift(difference) @ slab.home, axis=3).min(axis=1) <= tolerance
    _, orbit = connected_components(coo_array(same), directed=False)
    found = []
    for number in range(orbit.max() + 1):
        members = np.flatnonzero(orbit == number)
        order = np.lexsort(np.round(scaled[members].T[::-1], 6))
        positions = scaled[members[order]]
        kind = max((kinds[i] for i in members), key=_rank)
        group = site_symmetry(symmetry, positions[0], slab.cell, tolerance)
        key = (-_rank(kind), -round(float(room[members].max()), 3), *np.round(positions[0], 6))
        found.append((key, kind, positions @ slab.cell, group))
    for _, kind, positions, group in sorted(found, key=lambda site: site[0]):
        yield kind, positions, group


def _rank(kind: str) -> int:
    order = ("adatom-top", "adatom-bridge", "adatom-hollow", *KINDS)
    return order.index(kind)


def _adatom_sites(slab: _Slab, radius: float, tolerance: float) -> tuple[Array, Array, list[str]]:
    """Sites for an adatom of a covalent radius (Å) on both faces of the layer."""
    scaled: list[Array] = []
    room: list[Array] = []
    kinds: list[str] = []
    for side in (1, -1):
        contact = slab.radii[slab.index] + radius
        plane = slab.points[:, :2]

        def height(point: Array, side: int = side, contact: Array = contact) -> float:
            gap = contact**2 - ((slab.points[:, :2] - point) ** 2).sum(axis=1)
            touching = gap > 0
            return float(np.max(side * slab.points[touching, 2] + np.sqrt(gap[touching])))

        visible = np.array(
            [height(p[:2]) <= side * p[2] + c + EMPTY for p, c in zip(slab.points, contact)]
        )
        surface = plane[visible]
        tree = cKDTree(surface)
        far = 10 * (np.ptp(surface, axis=0).max() + 10)
        guards = surface.mean(axis=0) + far * np.array([[1, 0.1], [-0.9, 1], [-0.8, -1.1]])
        centres, radii = critical_points(surface, guards)
        empty = tree.query(centres)[0] >= radii - EMPTY
        centres = np.vstack([surface, centres[empty]])
        radii = np.concatenate([np.zeros(len(surface)), radii[empty]])
        flat = np.column_stack([centres, np.full(len(centres), slab.atoms[0, 2])])
        home = slab.at_home(flat)
        sites, space = _merged(slab, flat[home], radii[home], tolerance)
        places = sites @ slab.cell
        for place, own in zip(places, space):
            if own < tolerance:
                kinds.append("adatom-top")
                continue
            near = surface[tree.query_ball_point(place[:2], own + tolerance)] - place[:2]
            spread = np.linalg.svd(near, compute_uv=False) / np.sqrt(max(len(near), 1))
            flatness = int((spread > tolerance).sum())
            kinds.append("adatom-hollow" if flatness == 2 else "adatom-bridge")
        for place in places:
            place[2] = side * height(place[:2])
        scaled.append(places @ slab.inverse)
        room.append(space)
    return np.vstack(scaled), np.concatenate(room), kinds
