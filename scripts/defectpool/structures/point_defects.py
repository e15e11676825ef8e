"""Point defects of a host: vacancies, antisites, substitutions and interstitials.

One defect is listed for each set of symmetry-equivalent sites and each species.

Names follow pymatgen: `v_Mo` (vacancy), `S_Mo` (S on a site of Mo: antisite or substitution),
`Ag_i` (interstitial).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from defectpool.config import StructuresSettings
from defectpool.structures.interstitials import find_interstitials
from defectpool.structures.symmetry import LayerSymmetry, site_symmetry

NOBLE = frozenset({2, 10, 18, 36, 54, 86})
UNSTABLE = frozenset({43, 61, *range(84, 119)})  # elements without a stable isotope
UNSTABLE_BUT_MINED = frozenset({90, 92})  # thorium and uranium
# Atomic numbers of the species that rules choose from.
ELEMENTS = tuple(sorted(set(range(1, 93)) - NOBLE - (UNSTABLE - UNSTABLE_BUT_MINED)))


@dataclass(frozen=True)
class PointDefect:
    """A symmetry-inequivalent point defect of a host.

    Attributes
    ----------
    type
        vacancy, antisite, substitution or interstitial.
    name
        pymatgen's name.
    index
        Counts the inequivalent defects of that name in the host.
    species
        Species on the defect site; "" for a vacancy.
    replaced
        Species of the host on that site; "" for an interstitial.
    sites
        Indices of the equivalent sites of the host; empty for an interstitial.
    positions
        Positions of the equivalent sites in the host's cell, in Å, [multiplicity, 3].
    site_symmetry
        Point group (Hermann-Mauguin) of the site in the host.
    site_type
        void, hollow, bridge or adatom-... for an interstitial, else "".
    free_radius
        Distance in Å from an interstitial to the nearest covalent sphere, else NaN.
    """

    type: str
    name: str
    index: int
    species: str
    replaced: str
    sites: tuple[int, ...]
    positions: NDArray[np.float64]
    site_symmetry: str
    site_type: str = ""
    free_radius: float = nan

    @property
    def multiplicity(self) -> int:
        """Number of equivalent sites in the host's cell."""
        return len(self.positions)


class NoDefect(ValueError):  # noqa: N818 - recorded in a table, not a failure
    """The host has no defect of this type; `reason` is the code, the message the explanation."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def point_defects(
    atoms: Atoms, symmetry: LayerSymmetry, defect: str, settings: StructuresSettings
) -> list[PointDefect]:
    """List the inequivalent point defects of one type, ordered by name and index.

    Parameters
    ----------
    atoms
        The host.
    symmetry
        Its layer symmetry.
    defect
        vacancy, antisite, substitution or interstitial.
    settings
        Section `structures` of the config.

    Raises
    ------
    NoDefect
        If there is none: antisites of an elemental host, for instance.
    """
    if defect == "interstitial":
        found = list(_interstitials(atoms, symmetry, settings))
        if not found:
            listed = settings.interstitial
            species = "any species" if isinstance(listed, str) else ", ".join(listed)
            raise NoDefect(
                "no_interstitial_site",
                f"no site is wide enough for {species} (min_separation {settings.min_separation})",
            )
        return found
    found = list(_replacements(atoms, symmetry, defect, settings))
    if not found:
        if defect == "antisite":
            raise NoDefect("elemental", "a host of one element has no antisites")
        raise NoDefect("no_foreign_species", "every substituting species is one of the host's own")
    return sorted(found, key=lambda d: (d.name, d.index))


def _replacements(
    atoms: Atoms, symmetry: LayerSymmetry, defect: str, settings: StructuresSettings
) -> Iterator[PointDefect]:
    """Vacancies, antisites and substitutions: one for each orbit of sites and new species."""
    host_species = sorted({chemical_symbols[z] for z in atoms.numbers.tolist()})
    orbits = [np.flatnonzero(symmetry.orbit == first) for first in np.unique(symmetry.orbit)]
    counts: dict[str, int] = {}
    for orbit in orbits:
        replaced = chemical_symbols[atoms.numbers[orbit[0]]]
        match defect:
            case "vacancy":
                incoming = [""]
            case "antisite":
                incoming = [species for species in host_species if species != replaced]
            case _:
                incoming = [
                    species
                    for species in substituents(replaced, settings.substitution)
                    if species not in host_species
                ]
        group = site_symmetry(symmetry, int(orbit[0]))
        for species in incoming:
            name = f"{species or 'v'}_{replaced}"
            counts[name] = counts.get(name, -1) + 1
            yield PointDefect(
                type=defect,
                name=name,
                index=counts[name],
                species=species,
                replaced=replaced,
                sites=tuple(orbit.tolist()),
                positions=atoms.positions[orbit],
                site_symmetry=group,
            )


def _interstitials(
    atoms: Atoms, symmetry: LayerSymmetry, settings: StructuresSettings
) -> Iterator[PointDefect]:
    to_host = np.linalg.solve(symmetry.ideal.cell.array, atoms.cell.array)
    for species, sites in itertools.groupby(
        find_interstitials(
            symmetry,
            species=sorted(set(interstitial_species(settings.interstitial))),
            site_types=settings.interstitial_sites,
            min_separation=settings.min_separation,
            tolerance=settings.symprec,
        ),
        key=lambda site: site.species,
    ):
        for index, site in enumerate(sites):
            yield PointDefect(
                type="interstitial",
                name=f"{species}_i",
                index=index,
                species=species,
                replaced="",
                sites=(),
                positions=site.positions @ to_host,
                site_symmetry=site.site_symmetry,
                site_type=site.site_type,
                free_radius=site.free_radius,
            )


def substituents(replaced: str, rule: Sequence[str] | str) -> list[str]:
    """Species that may replace a given one.

    Parameters
    ----------
    replaced
        The host's species.
    rule
        A list of species; `neighbors`: the elements to the left, right, above and
        below in the periodic table; `same_group`: all others of its group (pymatgen's groups,
        with the lanthanides and actinides in group 3); `any`. The rules leave out noble gases and
        elements without a stable isotope other than Th and U.

    Returns
    -------
    list of str
        In the order of the list, or of atomic numbers.
    """
    if not isinstance(rule, str):
        return [species for species in rule if species != replaced]
    if rule == "any":
        return [chemical_symbols[z] for z in ELEMENTS if z != atomic_numbers[replaced]]
    from pymatgen.core.periodic_table import Element

    here = Element(replaced)
    found = []
    for z in ELEMENTS:
        if z == here.Z:
            continue
        other = Element.from_Z(z)
        if rule == "same_group":
            if other.group == here.group:
                found.append(other.symbol)
        else:
            beside = abs(z - here.Z) == 1 and other.row == here.row
            above = other.group == here.group and abs(other.row - here.row) == 1
            if beside or (above and not _f_block(z, here)):
                found.append(other.symbol)
    return found


def interstitial_species(rule: Sequence[str] | str) -> Sequence[str]:
    """Interstitial species: a list as it is; `any`: those of the rules for substitution."""
    return [chemical_symbols[z] for z in ELEMENTS] if isinstance(rule, str) else rule


def _f_block(z: int, here: object) -> bool:
    """Whether either element is in the f block, where above and below have no meaning."""
    return any(57 < n <= 71 or 89 < n <= 103 for n in (z, here.Z))  # type: ignore[attr-defined]
