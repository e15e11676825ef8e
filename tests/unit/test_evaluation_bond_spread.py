"""Spread of bonds: shells, jumps across the cell, trajectories and the harmonic model."""

import numpy as np
import pytest
from ase.build import mx2

from defectpool.errors import DefectpoolError
from defectpool.evaluation.bond_spread import bond_spread, of_trajectories, rest_of
from defectpool.evaluation.real_cells import RealCell
from defectpool.reporting.plots_bonds import bonds
from defectpool.structures.springs import thermal_displacements


def layer():
    atoms = mx2("MoS2", size=(4, 4, 1), vacuum=8)
    atoms.pbc = True
    return atoms


def trajectory(temperature, frames=12):
    found = []
    for number in range(frames):
        atoms = layer()
        atoms.positions += thermal_displacements(atoms, temperature, 1000 + number)
        atoms.wrap()  # atoms at the edge of the cell jump
        found.append(RealCell(atoms, "layer", "0", "MoS2", ()))
    return found


def test_independent_noise_spreads_all_shells_alike():
    rest = layer()
    noise = np.random.default_rng(0).normal(scale=0.02, size=(200, len(rest), 3))
    table = bond_spread(rest, rest.positions + noise)
    np.testing.assert_allclose(table["spread"], 0.02 * np.sqrt(2), rtol=0.05)
    first = table[table["bond"] == "Mo-S"].iloc[0]
    assert first["distance"] == pytest.approx(rest.get_distance(0, 1), abs=1e-6)
    assert set(table["bond"]) == {"Mo-Mo", "Mo-S", "S-S"}


def test_atoms_do_not_jump_across_the_cell():
    frames = [cell.atoms for cell in trajectory(300)]
    rest, positions = rest_of(frames)
    assert np.abs(positions - rest.positions).max() < 0.6


def test_the_model_gives_the_spread_of_its_own_trajectory(tmp_path):
    cells = trajectory(300, 40)
    table = of_trajectories(cells, 300)
    wide = table.pivot_table(index=["bond", "distance"], columns="source", values="spread")
    np.testing.assert_allclose(wide["measured"], wide["model"], rtol=0.15)
    warm = of_trajectories(cells, 1200)
    assert (warm[warm["source"] == "model"]["spread"].to_numpy()
            > 1.6 * wide["model"].to_numpy()).all()  # fmt: skip
    bonds(table, 300, [tmp_path / "bonds.svg"])
    assert "harmonic model, 300 K" in (tmp_path / "bonds.svg").read_text()


def test_a_folder_without_trajectories():
    with pytest.raises(DefectpoolError, match=r"real\.path: no file has 10 frames"):
        of_trajectories(trajectory(300, 3), 300)
