"""Displacement models: the model of springs against algebra and molecular dynamics; mixtures."""

import gzip
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, mx2
from ase.io import read
from ase.neighborlist import neighbor_list
from ase.units import kB
from structure_examples import textbook

from defectpool.config import Config, StructuresSettings, load
from defectpool.errors import DefectpoolError
from defectpool.structures.build import build_structures
from defectpool.structures.springs import force_constants, springs, thermal_displacements
from defectpool.structures.structure_files import read_structures, write_structures

HOSTS = textbook()


def monolayer(size: int, a: float = 3.3765) -> Atoms:
    atoms = mx2("MoSe2", "2H", a=a, thickness=3.37, vacuum=8).repeat((size, size, 1))
    atoms.pbc = (True, True, False)
    return atoms


def slow_force_constants(atoms: Atoms) -> np.ndarray:
    """Force constants, spring by spring."""
    first, second, stiffness = springs(atoms)
    matrix = np.zeros((len(atoms), 3, len(atoms), 3))
    for i, j, k in zip(first, second, stiffness, strict=True):
        matrix[i, :, i] += k
        matrix[j, :, j] += k
        matrix[i, :, j] -= k
        matrix[j, :, i] -= k
    return matrix.reshape(3 * len(atoms), -1)


def settings(*models, **values) -> StructuresSettings:
    return StructuresSettings(displacements=list(models), **values)


@pytest.mark.parametrize("atoms", [monolayer(2), bulk("NaCl", "rocksalt", 5.64, cubic=True)])
def test_force_constants_spring_by_spring(atoms):
    matrix = force_constants(len(atoms), *springs(atoms)).toarray()
    np.testing.assert_allclose(matrix, slow_force_constants(atoms), atol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    moduli = np.linalg.eigvalsh(matrix)
    assert np.allclose(moduli[:3], 0, atol=1e-10)
    assert moduli[3] > 0.01  # eV/Å²: no soft mode but translations


def test_every_mode_has_its_share_of_energy():
    atoms = monolayer(2)
    moduli, modes = np.linalg.eigh(slow_force_constants(atoms))
    moves = np.array([thermal_displacements(atoms, 300, seed) for seed in range(400)])
    amplitudes = moves.reshape(len(moves), -1) @ modes
    assert np.abs(amplitudes[:, :3]).max() < 1e-4
    energies = 0.5 * moduli[3:] * (amplitudes[:, 3:] ** 2).mean(axis=0)
    # of modes with equal moduli the mean: which ones those are differs between machines
    _, equal, alike = np.unique(moduli[3:].round(6), return_inverse=True, return_counts=True)
    errors = np.bincount(equal, energies) / alike / (kB * 300 / 2) - 1
    assert np.all(np.abs(errors) < 0.3 / np.sqrt(alike))
    assert energies.mean() == pytest.approx(kB * 300 / 2, rel=0.02)
    correlations = np.corrcoef(amplitudes[:, 3:].T) - np.eye(len(moduli) - 3)
    assert np.abs(correlations).max() < 0.25


def test_displacements_grow_with_the_root_of_the_temperature():
    cold, warm = (thermal_displacements(monolayer(3), t, 1) for t in (100, 400))
    np.testing.assert_allclose(warm, 2 * cold, atol=2e-6)


@pytest.mark.parametrize("distance", [1.3, 30.0])
def test_atoms_that_no_spring_holds_stay(distance):
    atoms = Atoms("H2", positions=[[0, 0, 0], [distance, 0, 0]], cell=[60, 60, 60], pbc=True)
    moves = thermal_displacements(atoms, 300, 0)
    assert np.isfinite(moves).all()
    assert (distance < 2) or not moves.any()


def bond_spreads(positions: np.ndarray, rest: Atoms) -> dict[str, float]:
    """Standard deviations in Å of the bonds to the nearest Mo and Se, over frames [frames, ...]."""
    found = {}
    i, j, shifts = neighbor_list("ijS", rest, 3.7)
    symbols = np.array(rest.get_chemical_symbols())
    for one, other in (("Mo", "Se"), ("Mo", "Mo"), ("Se", "Se")):
        m = (symbols[i] == one) & (symbols[j] == other)
        vectors = positions[:, j[m]] - positions[:, i[m]] + shifts[m] @ rest.cell.array
        found[f"{one}-{other}"] = float(np.linalg.norm(vectors, axis=2).std())
    return found


def test_bonds_spread_as_in_molecular_dynamics(shared_data):
    path = shared_data / "real" / "mose2_molecular_dynamics.xyz.gz"
    if not path.is_file():
        pytest.skip(f"no molecular dynamics at {path}")
    with gzip.open(path, "rt") as file:
        frames = read(file, index=":54", format="extxyz")
    rest = frames[0]  # the ideal cell
    assert all(json.loads(frame.info["defects"]) == [] for frame in frames)
    measured = bond_spreads(np.array([frame.positions for frame in frames[1:]]), rest)
    moves = np.array([thermal_displacements(rest, 300, seed) for seed in range(10)])
    ours = bond_spreads(rest.positions + moves, rest)
    for bond, expected in {"Mo-Se": 0.050, "Mo-Mo": 0.078, "Se-Se": 0.096}.items():
        assert measured[bond] == pytest.approx(expected, rel=0.05)
        assert ours[bond] == pytest.approx(expected, rel=0.2)
    for deviation in moves.std(axis=(0, 1)):
        assert 0.07 <= deviation <= 0.10


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("static", "static 0.02 Å"),
        ({"model": "static", "sigma": 0.005}, "static 0.005 Å"),
        ("thermal", "thermal 300 K"),
        ({"model": "thermal", "temperature": 77.5}, "thermal 77.5 K"),
    ],
)
@pytest.mark.parametrize("defect", ["vacancy", "interstitial"])
def test_both_structures_are_displaced_each_in_its_own_way(tmp_path, model, name, defect):
    ideal, _ = build_structures(HOSTS, defect, "3x3", settings("none"))
    moved, _ = build_structures(HOSTS, defect, "3x3", settings(model))
    assert [one.structure for one in ideal] == [one.structure for one in moved]
    kept = len(ideal[1].atoms) - 1
    moves = [a.atoms.positions - b.atoms.positions for a, b in zip(moved, ideal, strict=True)]
    assert all(0.001 < np.std(each) < 0.5 for each in moves)
    assert not np.allclose(moves[0][:kept], moves[1][:kept], atol=1e-3)
    assert {one.displacements for one in moved} == {name}
    for a, b in zip(moved, ideal, strict=True):
        np.testing.assert_array_equal(a.position, b.position)
    write_structures(tmp_path / "000.xyz.gz", moved)
    again = list(read_structures(tmp_path / "000.xyz.gz"))
    assert [one.displacements for one in again] == [one.displacements for one in moved]
    np.testing.assert_array_equal(again[0].atoms.positions, moved[0].atoms.positions)


def test_static_displacements_have_their_standard_deviation():
    moved, _ = build_structures(
        HOSTS, "vacancy", "12x12", settings({"model": "static", "sigma": 0.03})
    )
    ideal, _ = build_structures(HOSTS, "vacancy", "12x12", settings("none"))
    moves = [a.atoms.positions - b.atoms.positions for a, b in zip(moved, ideal, strict=True)]
    np.testing.assert_allclose(np.vstack(moves).std(axis=0), 0.03, rtol=0.03)


def test_nothing_changes_without_displacements(tmp_path):
    default, none = StructuresSettings(), settings("none")
    assert "displacements" not in default.model_dump(mode="json") | none.model_dump(mode="json")
    assert "displacements" in settings("static").model_dump(mode="json")
    structures, _ = build_structures(HOSTS, "vacancy", "3x3", default)
    write_structures(tmp_path / "000.xyz.gz", structures)
    with gzip.open(tmp_path / "000.xyz.gz", "rt") as file:
        assert "displacements" not in file.read()
    mixed = settings("none", {"model": "thermal", "temperature": 100})
    assert StructuresSettings(**mixed.model_dump(mode="json")) == mixed


def test_a_further_model_changes_only_pairs_that_draw_it():
    chosen = {"choose": "all", "interstitial": ["H", "Li", "Na", "K", "Ag", "Br", "F", "Cl"]}
    few, more = (
        build_structures(HOSTS, "interstitial", "2x2", settings(*models, **chosen))[0]
        for models in (("none", "static"), ("static", "thermal", "none"))
    )
    drawn = [one.displacements for one in more]
    for name in ("none", "static 0.02 Å", "thermal 300 K"):
        assert drawn.count(name) > len(drawn) / 6, name
    for before, after in zip(few, more, strict=True):
        if after.displacements != "thermal 300 K":
            assert before.displacements == after.displacements
            np.testing.assert_array_equal(before.atoms.positions, after.atoms.positions)
    assert drawn[::2] == drawn[1::2]  # both structures of a pair


@pytest.mark.parametrize(
    "models",
    [[], ["warm"], ["none", "none"], [{"model": "static", "sigma": 0}], [{"sigma": 0.1}],
     [{"model": "thermal", "temperature": -1}], [{"model": "thermal", "sigma": 0.1}]],
)  # fmt: skip
def test_models_that_cannot_be_used(models):
    with pytest.raises(DefectpoolError, match=r"structures\.displacements"):
        load({"structures": {"displacements": models}})
    assert Config().structures.displacements == ["none"]
