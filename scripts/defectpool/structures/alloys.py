"""Random alloys: two species share the sites of one species of a host."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from defectpool.config import StructuresSettings
from defectpool.runtime.hashing import seed
from defectpool.structures.point_defects import substituents


@dataclass(frozen=True)
class Alloy:
    """The species of a host whose sites are shared, and the species that shares them."""

    species: str
    partner: str


def alloy_of(host: str, atoms: Atoms, settings: StructuresSettings) -> Alloy | None:
    """Alloy that a host becomes, sampled by its id; None for most, and where no species fits."""
    chosen = settings.alloy
    random = np.random.default_rng(seed(settings.seed, "alloy", host))
    if random.random() >= chosen.hosts:
        return None
    present = sorted({chemical_symbols[z] for z in atoms.numbers.tolist()})
    options = [
        Alloy(species, partner)
        for species in present
        for partner in substituents(species, chosen.species)
        if partner not in present
    ]
    return options[random.integers(len(options))] if options else None


def alloyed(
    numbers: NDArray[np.int64],
    alloy: Alloy,
    defect_sites: NDArray[np.int64],
    pair: str,
    settings: StructuresSettings,
) -> tuple[NDArray[np.int64], str]:
    """Give the partner a share of the sites of a supercell, at random.

    The sites of defects keep the species of the host, so that their names hold.

    Returns
    -------
    tuple
        The atomic numbers, and the composition of the shared sites: "Mo0.7W0.3".
    """
    random = np.random.default_rng(seed(settings.seed, "alloy", pair))
    fraction = settings.alloy.fraction
    fraction = random.uniform(*fraction) if isinstance(fraction, tuple) else fraction
    shared = np.flatnonzero(numbers == atomic_numbers[alloy.species])
    free = np.setdiff1d(shared, defect_sites)
    number = min(round(fraction * len(shared)), len(free))
    mixed = numbers.copy()
    mixed[random.choice(free, number, replace=False)] = atomic_numbers[alloy.partner]
    part = number / len(shared)
    return mixed, f"{alloy.species}{1 - part:.3g}{alloy.partner}{part:.3g}"
