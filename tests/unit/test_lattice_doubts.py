"""Undecided structures: each has its reason, and none is called pristine."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from lattice_examples import displaced, hosts, molybdenite, supercell

from defectpool.lattice import analyze


def reason(atoms: Atoms) -> str:
    finding = analyze(atoms)
    assert finding.verdict == "undecided"
    assert finding.defects == () and finding.complexes == ()
    return finding.reason


def test_a_primitive_cell_of_two_nearly_like_halves_is_not_called_defective() -> None:
    assert analyze(hosts()["WTe2"][0]).verdict != "defective"


@pytest.mark.parametrize("name", sorted(set(hosts()) - {"WTe2"}))
def test_nothing_repeats_in_a_primitive_cell(name) -> None:
    assert "repeats" in reason(hosts()[name][0])


@pytest.mark.parametrize("seed", range(3))
def test_an_amorphous_cell(seed) -> None:
    places = np.random.default_rng(seed).uniform(0, 12, (90, 3))
    atoms = Atoms("Si30O60", positions=places, cell=[12] * 3, pbc=True)
    assert "amorphous" in reason(atoms)


@pytest.mark.parametrize("name", ["C6H6", "C60", "CH3CH2OH"])
def test_a_molecule_with_and_without_a_box(name) -> None:
    atoms = molecule(name, vacuum=6)
    assert "molecule" in reason(atoms)
    atoms.pbc = True
    assert "molecule" in reason(atoms)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_disordered_alloy(share) -> None:
    atoms = displaced(molybdenite() * (6, 6, 1), 0.03)
    metal = np.flatnonzero(atoms.numbers == 42)
    chosen = np.random.default_rng(0).permutation(metal)[: int(share * len(metal))]
    atoms.numbers[chosen] = 74
    assert "disordered alloy" in reason(atoms)
    copper = displaced(bulk("Cu", "fcc", 3.8) * (4, 4, 4), 0.05)
    copper.numbers[np.random.default_rng(1).permutation(64)[:32]] = 79
    assert reason(copper)


def test_two_hosts_side_by_side() -> None:
    atoms = displaced(molybdenite() * (7, 7, 1), 0.03)
    metal = np.flatnonzero(atoms.numbers == 42)
    order = metal[np.argsort(atoms.get_distances(metal[0], metal, mic=True))]
    atoms.numbers[order[:19]] = 74
    assert "two hosts" in reason(atoms)


def test_near_melting_is_never_pristine() -> None:
    atoms = displaced(molybdenite() * (5, 5, 1), 0.3)
    assert "melting" in reason(atoms)
    for noise in (0.4, 0.6, 0.8):
        assert reason(displaced(molybdenite() * (5, 5, 1), noise))


def test_broken_input_is_a_reason_and_no_error() -> None:
    atoms = supercell("NaCl")
    atoms.positions[0, 0] = np.nan
    assert "finite" in reason(atoms)
    assert "no atoms" in reason(Atoms(cell=[3, 3, 3], pbc=True))
    assert "no length" in reason(Atoms("H", pbc=True))


def test_a_wrong_pristine_verdict_needs_more_than_half_of_a_cell_spoiled() -> None:
    rng = np.random.default_rng(0)
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        atoms = displaced(molybdenite() * (5, 5, 1), 0.05)
        rows = rng.permutation(len(atoms))[: int(share * len(atoms))]
        del atoms[rows]
        assert analyze(atoms).verdict != "pristine"
