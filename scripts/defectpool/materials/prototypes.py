"""Cells of two-dimensional prototypes from a handful of published parameters.

Every builder takes the symbols of its roles and these named parameters, and returns one layer:

``a``, ``b``
    Lattice constants (Å). Without ``b`` the cell is hexagonal (120°), or square where the
    layer group is tetragonal.
``thickness``
    Distance between the two outermost planes of atoms (Å).
``inner``
    Distance between the pair of planes next to the outermost ones (Å).
``core``
    Distance between the innermost pair of planes (Å), where there are three pairs.
``top``, ``bottom``
    Heights of the upper and of the lower plane above and below the metal (Å; Janus layers).
``u``, ``v``
    Fractional in-plane coordinates (units of ``a`` and ``b``); see the
    docstring of the builder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ase
import numpy as np
from ase.build import graphene, mx2
from ase.geometry import cellpar_to_cell

from defectpool.errors import DefectpoolError

VACUUM = 15.0
"""Empty space between a layer and its periodic image along c (Å)."""

Parameters = Mapping[str, float]
Site = tuple[str, float, float, float]


def _layer(a: float, b: float, gamma: float, sites: Sequence[Site]) -> ase.Atoms:
    """Put atoms at in-plane fractional coordinates and heights (Å) into a cell of unit height."""
    return ase.Atoms(
        [symbol for symbol, *_ in sites],
        cell=cellpar_to_cell([a, b, 1.0, 90.0, 90.0, gamma]),
        scaled_positions=[position for _, *position in sites],
    )


def _hexagonal(p: Parameters, *sites: Site) -> ase.Atoms:
    return _layer(p["a"], p["a"], 120.0, sites)


def _square(p: Parameters, *sites: Site) -> ase.Atoms:
    return _layer(p["a"], p["a"], 90.0, sites)


def _rectangular(p: Parameters, *sites: Site) -> ase.Atoms:
    return _layer(p["a"], p["b"], 90.0, sites)


def _trigonal_prismatic(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX2 with X above X (2H)."""
    return mx2(s[0] + 2 * s[1], "2H", p["a"], p["thickness"])


def _octahedral(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX2 with X staggered (1T)."""
    return mx2(s[0] + 2 * s[1], "1T", p["a"], p["thickness"])


def _janus(phase: str) -> Callable[[Sequence[str], Parameters], ase.Atoms]:
    def build(s: Sequence[str], p: Parameters) -> ase.Atoms:
        atoms = mx2("".join(s), phase, p["a"], 1.0)
        atoms.positions[:, 2] = 0.0, p["top"], -p["bottom"]
        return atoms

    return build


def _mxene(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """M2X: the light X in the middle, M staggered on both sides."""
    return mx2(s[1] + 2 * s[0], "1T", p["a"], p["thickness"])


def _mxene_terminated(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """M2XT2: each T above the M of the other side; ``inner`` is the distance of the M planes."""
    m, x, t = s
    outer, metal = p["thickness"] / 2, p["inner"] / 2
    return _hexagonal(
        p,
        (x, 0, 0, 0),
        (m, 1 / 3, 2 / 3, metal),
        (m, 2 / 3, 1 / 3, -metal),
        (t, 2 / 3, 1 / 3, outer),
        (t, 1 / 3, 2 / 3, -outer),
    )


def _quintuple(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """M2X3: planes X M X M X; ``inner`` is the distance of the M planes."""
    return _mxene_terminated((s[0], s[1], s[1]), p)


def _silicene(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """One element on a buckled honeycomb."""
    return graphene(2 * s[0], p["a"], p["thickness"])


def _boron_nitride(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """Two elements on a flat honeycomb."""
    return graphene("".join(s), p["a"])


def _buckled_binary(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """Two elements on a buckled honeycomb."""
    return graphene("".join(s), p["a"], p["thickness"])


def _graphane(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """Buckled honeycomb of M with X on top of each; ``inner`` is the buckling of M."""
    m, x = s
    outer, buckling = p["thickness"] / 2, p["inner"] / 2
    return _hexagonal(
        p,
        (m, 1 / 3, 2 / 3, buckling),
        (m, 2 / 3, 1 / 3, -buckling),
        (x, 1 / 3, 2 / 3, outer),
        (x, 2 / 3, 1 / 3, -outer),
    )


def _honeycomb_ordered(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """AB3: flat 2x2 honeycomb, A at 1/3 2/3, rings of B at u 2u."""
    minor, major = s
    u = p["u"]
    ring = [(u, 2 * u), (-2 * u, -u), (u, -u), (-u, -2 * u), (2 * u, u), (-u, u)]
    return _hexagonal(
        p,
        (minor, 1 / 3, 2 / 3, 0),
        (minor, 2 / 3, 1 / 3, 0),
        *((major, x, y, 0.0) for x, y in ring),
    )


def _gallium_selenide(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX: planes X M M X with mirror symmetry; ``inner`` is the length of the M-M bond."""
    m, x = s
    outer, bond = p["thickness"] / 2, p["inner"] / 2
    return _hexagonal(
        p,
        (m, 0, 0, bond),
        (m, 0, 0, -bond),
        (x, 1 / 3, 2 / 3, outer),
        (x, 1 / 3, 2 / 3, -outer),
    )


def _zirconium_chloride(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX: planes X M M X stacked A B C A; ``inner`` is the distance of the M planes."""
    m, x = s
    outer, metal = p["thickness"] / 2, p["inner"] / 2
    return _hexagonal(
        p,
        (m, 1 / 3, 2 / 3, metal),
        (m, 2 / 3, 1 / 3, -metal),
        (x, 0, 0, outer),
        (x, 0, 0, -outer),
    )


def _zirconium_nitride_chloride(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MNX: planes X M N N M X; ``inner`` and ``core`` are the distances of M and of N planes."""
    m, n, x = s
    outer, metal, light = p["thickness"] / 2, p["inner"] / 2, p["core"] / 2
    return _hexagonal(
        p,
        (m, 2 / 3, 1 / 3, metal),
        (m, 1 / 3, 2 / 3, -metal),
        (n, 1 / 3, 2 / 3, light),
        (n, 2 / 3, 1 / 3, -light),
        (x, 0, 0, outer),
        (x, 0, 0, -outer),
    )


def _brucite(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """M(OH)2: octahedral MO2 with H on top of each O; ``inner`` is the distance of O planes."""
    m, o, h = s
    outer, oxygen = p["thickness"] / 2, p["inner"] / 2
    return _hexagonal(
        p,
        (m, 0, 0, 0),
        (o, 1 / 3, 2 / 3, oxygen),
        (o, 2 / 3, 1 / 3, -oxygen),
        (h, 1 / 3, 2 / 3, outer),
        (h, 2 / 3, 1 / 3, -outer),
    )


def _trihalide(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX3: honeycomb of M in octahedra of X at u 0 (BiI3, CrI3)."""
    m, x = s
    u, outer = p["u"], p["thickness"] / 2
    above = [(u, 0.0), (0.0, u), (-u, -u)]
    return _hexagonal(
        p,
        (m, 1 / 3, 2 / 3, 0),
        (m, 2 / 3, 1 / 3, 0),
        *((x, i, j, outer) for i, j in above),
        *((x, -i, -j, -outer) for i, j in above),
    )


def _tin_sulfide(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX puckered, a along armchair: ``thickness`` M to M, ``inner`` X to X.

    M and the X next above it differ by 1/2 - u along the armchair direction.
    """
    m, x = s
    u, metal, other = p["u"], p["thickness"] / 2, p["inner"] / 2
    return _rectangular(
        p,
        (m, 0, 0.25, -metal),
        (m, 0.5, 0.75, metal),
        (x, 0.5 - u, 0.25, other),
        (x, -u, 0.75, -other),
    )


def _phosphorene(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """One element puckered, a along armchair; atoms at ±u of the middle of the steep bond."""
    u, z = p["u"], p["thickness"] / 2
    return _rectangular(
        p,
        (s[0], u, 0.25, z),
        (s[0], -u, 0.25, -z),
        (s[0], 0.5 - u, 0.75, z),
        (s[0], 0.5 + u, 0.75, -z),
    )


def _iron_oxychloride(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MOX: ``inner`` and ``core`` are the distances of the M and of the O planes."""
    m, o, x = s
    outer, metal, oxygen = p["thickness"] / 2, p["inner"] / 2, p["core"] / 2
    return _rectangular(
        p,
        (m, 0, 0.5, metal),
        (m, 0.5, 0, -metal),
        (o, 0, 0, -oxygen),
        (o, 0.5, 0.5, oxygen),
        (x, 0, 0, outer),
        (x, 0.5, 0.5, -outer),
    )


def _litharge(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """AX: square net of A, X above and below in turn (FeSe; PbO with A = O)."""
    net, outer = s
    z = p["thickness"] / 2
    return _square(
        p,
        (net, 0, 0, 0),
        (net, 0.5, 0.5, 0),
        (outer, 0, 0.5, z),
        (outer, 0.5, 0, -z),
    )


def _pentagonal(s: Sequence[str], p: Parameters) -> ase.Atoms:
    """MX2 of pentagons: M at 0 0 and 1/2 1/2, X at u v above and -u -v below."""
    m, x = s
    u, v, z = p["u"], p["v"], p["thickness"] / 2
    return _rectangular(
        p,
        (m, 0, 0, 0),
        (m, 0.5, 0.5, 0),
        (x, u, v, z),
        (x, -u, -v, -z),
        (x, 0.5 - u, 0.5 + v, -z),
        (x, 0.5 + u, 0.5 - v, z),
    )


@dataclass(frozen=True)
class Prototype:
    """Rule by which the cell of a prototype follows from its parameters.

    Attributes
    ----------
    roles
        Role of each species, in the order of the builder's arguments.
    parameters
        Names of the parameters that the builder reads.
    layer_group
        Number of the layer group (International Tables, volume E) of the ideal layer.
    layer_group_symbol
        Its symbol, as spglib and C2DB write it.
    sites
        Atoms in the primitive cell.
    builder
        Function of the symbols and the parameters.
    """

    roles: tuple[str, ...]
    parameters: tuple[str, ...]
    layer_group: int
    layer_group_symbol: str
    sites: int
    builder: Callable[[Sequence[str], Parameters], ase.Atoms]


_MX = ("M", "X")
_FLAT = ("a", "thickness")
_NESTED = ("a", "thickness", "inner")

PROTOTYPES: dict[str, Prototype] = {
    "silicene": Prototype(("A",), _FLAT, 72, "p-3m1", 2, _silicene),
    "phosphorene": Prototype(("A",), ("a", "b", "thickness", "u"), 42, "pman", 4, _phosphorene),
    "BN": Prototype(("A", "B"), ("a",), 78, "p-6m2", 2, _boron_nitride),
    "buckled BN": Prototype(("A", "B"), _FLAT, 69, "p3m1", 2, _buckled_binary),
    "BC3": Prototype(("A", "B"), ("a", "u"), 80, "p6/mmm", 8, _honeycomb_ordered),
    "CH": Prototype(_MX, _NESTED, 72, "p-3m1", 4, _graphane),
    "2H MX2": Prototype(_MX, _FLAT, 78, "p-6m2", 3, _trigonal_prismatic),
    "1T MX2": Prototype(_MX, _FLAT, 72, "p-3m1", 3, _octahedral),
    "2H MXY": Prototype(("M", "X", "Y"), ("a", "top", "bottom"), 69, "p3m1", 3, _janus("2H")),
    "1T MXY": Prototype(("M", "X", "Y"), ("a", "top", "bottom"), 69, "p3m1", 3, _janus("1T")),
    "PdSe2": Prototype(_MX, ("a", "b", "thickness", "u", "v"), 17, "p2_1/b11", 6, _pentagonal),
    "GaSe": Prototype(_MX, _NESTED, 78, "p-6m2", 4, _gallium_selenide),
    "SnS": Prototype(_MX, ("a", "b", "thickness", "inner", "u"), 32, "pm2_1n", 4, _tin_sulfide),
    "FeSe": Prototype(("A", "X"), _FLAT, 64, "p4/nmm", 4, _litharge),
    "Bi2Te3": Prototype(_MX, _NESTED, 72, "p-3m1", 5, _quintuple),
    "M2X": Prototype(_MX, _FLAT, 72, "p-3m1", 3, _mxene),
    "M2XT2": Prototype(("M", "X", "T"), _NESTED, 72, "p-3m1", 5, _mxene_terminated),
    "BiI3": Prototype(_MX, ("a", "thickness", "u"), 71, "p-31m", 8, _trihalide),
    "ZrCl": Prototype(_MX, _NESTED, 72, "p-3m1", 4, _zirconium_chloride),
    "ZrNCl": Prototype(
        ("M", "N", "X"), (*_NESTED, "core"), 72, "p-3m1", 6, _zirconium_nitride_chloride
    ),
    "Mg(OH)2": Prototype(("M", "O", "H"), _NESTED, 72, "p-3m1", 5, _brucite),
    "FeOCl": Prototype(
        ("M", "O", "X"), ("a", "b", "thickness", "inner", "core"), 46, "pmmn", 6, _iron_oxychloride
    ),
}
"""The prototypes by name."""


def build(
    prototype: str, species: Sequence[str], parameters: Parameters, vacuum: float = VACUUM
) -> ase.Atoms:
    """Build one monolayer.

    Parameters
    ----------
    prototype
        A key of `PROTOTYPES`.
    species
        Chemical symbols in the order of the prototype's roles.
    parameters
        Lattice and internal parameters, exactly those that the prototype names
        (lengths in Å, in-plane coordinates as fractions).
    vacuum
        Distance between the layer and its image along c (Å).

    Returns
    -------
    ase.Atoms
        The primitive cell: a and b in the plane, c along z, layer in the middle,
        periodic along a and b only.

    Raises
    ------
    DefectpoolError
        If the prototype is unknown, or species or parameters are not those of its rule.
    """
    if prototype not in PROTOTYPES:
        known = ", ".join(PROTOTYPES)
        raise DefectpoolError(f"prototype {prototype!r} is unknown; known ones: {known}")
    rule = PROTOTYPES[prototype]
    if len(species) != len(rule.roles):
        raise DefectpoolError(
            f"prototype {prototype!r} needs {len(rule.roles)} species "
            f"({', '.join(rule.roles)}), not {list(species)}"
        )
    if set(parameters) != set(rule.parameters):
        raise DefectpoolError(
            f"prototype {prototype!r} needs the parameters {', '.join(rule.parameters)}, "
            f"not {', '.join(sorted(parameters))}"
        )
    atoms = rule.builder(species, parameters)
    z = atoms.positions[:, 2]
    cell = np.array(atoms.cell)
    height = float(np.ptp(z)) + vacuum
    cell[2] = 0.0, 0.0, height
    atoms.positions[:, 2] += height / 2 - (z.max() + z.min()) / 2
    atoms.set_cell(cell)
    atoms.pbc = (True, True, False)
    atoms.wrap(eps=1e-9)
    return atoms
