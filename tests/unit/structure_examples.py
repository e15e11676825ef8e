"""Hosts for the tests of structures: textbook layers, and C2DB's where it is available."""

import numpy as np
from ase import Atoms
from ase.build import graphene, mx2
from ase.db import connect

from defectpool.materials.host import Host


def textbook() -> list[Host]:
    """Layers of known symmetry, built by ASE or from two numbers."""
    honeycomb = graphene(formula="BN", a=2.51, vacuum=7.5)
    square = Atoms(
        "SnO",
        scaled_positions=[(0, 0, 0.5), (0.5, 0.5, 0.5)],
        cell=np.diag([3.8, 3.8, 16.0]),
        pbc=(True, True, False),
    )
    layers = {
        "graphene": graphene(a=2.46, vacuum=7.5),
        "BN": honeycomb,
        "MoS2-2H": mx2("MoS2", kind="2H", a=3.18, thickness=3.13, vacuum=7.5),
        "PtSe2-1T": mx2("PtSe2", kind="1T", a=3.75, thickness=2.6, vacuum=7.5),
        "square": square,
        "one-atom": Atoms("Po", cell=[3.3, 3.3, 15.0], positions=[(0, 0, 7.5)]),
    }
    return [host(name, atoms) for name, atoms in layers.items()]


def host(name: str, atoms: Atoms) -> Host:
    slab = atoms.copy()
    slab.pbc = (True, True, False)
    slab.wrap()
    return Host(name, slab, slab.get_chemical_formula(empirical=True), "test")


def sample(database, count: int, seed: int = 0) -> list[Host]:
    """Return a random sample of hosts of C2DB."""
    with connect(database) as rows:
        ids = np.random.default_rng(seed).permutation(rows.count())[:count] + 1
        found = [rows.get(id=int(i)) for i in ids]
    return [host(row.uid, row.toatoms()) for row in found]
