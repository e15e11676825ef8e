"""The host's own lattice, found inside pristine, displaced and defective cells."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice_examples import (
    displaced,
    distance,
    hosts,
    hydroxide,
    molybdenite,
    supercell,
    trihalide,
    without,
)

from defectpool.lattice import analyze, find_host
from defectpool.lattice.basis import Basis
from defectpool.lattice.fit import _compared, _least_bits, fitted
from defectpool.lattice.geometry import crystal
from defectpool.lattice.primitive import Lattice, find_lattices
from defectpool.lattice.superstructure import estimated_bits, index_within, sublattices
from defectpool.lattice.translations import find_translations

NAMES = sorted(hosts())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_a_pristine_supercell_is_pristine_with_the_cell_it_was_made_of(name, noise) -> None:
    atoms = supercell(name, noise)
    finding = analyze(atoms)
    primitive, repeats = hosts()[name]
    assert finding.verdict == "pristine", finding.reason
    if (name, noise) == ("WTe2", 0.1):
        return  # the distortion is lost in the noise: the undistorted lattice is simpler
    assert finding.host.size == np.prod(repeats)
    assert finding.host.formula == find_host(primitive * repeats).formula
    assert sorted(finding.host.numbers) == sorted(primitive.numbers)
    assert finding.host.residual < 1.9 * noise + 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [0.0, 0.07])
def test_a_vacancy_is_found_where_the_atom_was(name, noise) -> None:
    atoms = supercell(name, noise, seed=3)
    row = len(atoms) // 2
    place, symbol = supercell(name).positions[row], atoms.symbols[row]
    finding = analyze(without(atoms, row))
    assert [d.name for d in finding.defects] == [f"v_{symbol}"], finding.reason
    assert distance(atoms, finding.defects[0].position, place) < 0.1 + 2 * noise
    assert finding.defects[0].score > 0.5


def test_a_host_is_a_whole_account_of_the_cell() -> None:
    atoms = without(supercell("MoS2", 0.05), 7)
    host = find_host(atoms)
    assert np.allclose(host.supercell @ host.cell, host.pristine_cell)
    assert np.allclose(host.pristine_cell, atoms.cell.array)
    assert len(host.pristine_numbers) == len(host.numbers) * host.size == len(atoms) + 1
    seated = host.site_of_atom >= 0
    assert np.array_equal(host.atom_of_site[host.site_of_atom[seated]], np.flatnonzero(seated))
    assert np.array_equal(host.site_of_atom, np.arange(len(atoms)))  # the given order
    assert host.atom_of_site[-1] == -1  # vacancies last
    sites = host.pristine_positions[host.site_of_atom]
    assert np.allclose(sites + host.displacements, atoms.positions)
    rms = np.sqrt((host.displacements**2).sum(axis=1).mean())
    assert host.residual == pytest.approx(rms)


def test_the_recovered_supercell_is_the_pristine_one() -> None:
    pristine = supercell("SrTiO3")
    host = find_host(without(displaced(pristine, 0.05), 5))
    recovered = Atoms(
        host.pristine_numbers, host.pristine_positions, cell=host.pristine_cell, pbc=True
    )
    for symbol, place in zip(pristine.symbols, pristine.positions, strict=True):
        near = [
            distance(pristine, place, p)
            for s, p in zip(recovered.symbols, recovered.positions, strict=True)
            if s == symbol
        ]
        assert min(near) < 0.1


@pytest.mark.parametrize(
    ("name", "group"),
    [("MoS2", "p-6m2"), ("NaCl", "Fm-3m"), ("GaAs", "F-43m"), ("GaN", "P6_3mc"), ("Cu", "Fm-3m")],
)
def test_the_host_has_its_symmetry_in_spite_of_a_defect(name, group) -> None:
    host = find_host(without(supercell(name), 3))
    assert host.symmetry() == group
    with pytest.raises(ValueError, match=r"at most 0\.3"):
        host.symmetry(tolerance=0.4)


# --------------------------------------------------------------------- difficult hosts
@pytest.mark.parametrize("repeat", [2, 3, 4])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_a_honeycomb_is_no_triangle_with_a_third_missing(repeat, noise) -> None:
    atoms = displaced(trihalide() * (repeat, repeat, 1), noise)
    host = find_host(atoms)
    assert host.size == repeat**2 and len(host.numbers) == 8
    assert [d.name for d in analyze(without(atoms, 0)).defects] == ["v_Nb"]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_distorted_telluride_is_not_taken_for_the_undistorted_one(noise) -> None:
    host = find_host(supercell("WTe2", noise))
    assert len(host.numbers) == 6 and host.size == 8


def test_oxygen_and_hydrogen_of_one_bond_are_two_sites() -> None:
    atoms = displaced(hydroxide() * (4, 4, 1), 0.1)
    hydrogen, oxygen = (next(a.index for a in atoms if a.symbol == s) for s in "HO")
    assert [d.name for d in analyze(without(atoms, hydrogen)).defects] == ["v_H"]
    assert [d.name for d in analyze(without(atoms, oxygen)).defects] == ["v_O"]


def test_two_repeats_are_enough() -> None:
    for repeats in ((2, 1, 1), (1, 2, 1)):
        atoms = molybdenite() * repeats
        assert analyze(atoms).verdict == "pristine"
        assert find_host(atoms).size == 2
        assert [d.name for d in analyze(without(atoms, 4)).defects] == ["v_S"]


@pytest.mark.parametrize("seed", range(4))
def test_a_fifth_of_the_atoms_may_be_gone_or_exchanged(seed) -> None:
    rng = np.random.default_rng(seed)
    atoms = displaced(molybdenite() * (6, 6, 1), 0.05, seed)
    rows = rng.permutation(len(atoms))[: len(atoms) // 5]
    foreign = rows[: len(rows) // 2]
    atoms.numbers[foreign] = rng.choice([6, 7, 8, 9, 34], len(foreign))
    finding = analyze(without(atoms, *rows[len(rows) // 2 :]))
    assert finding.host.size == 36 and finding.host.formula == "MoS2"
    assert len(finding.defects) == len(rows)


@pytest.mark.parametrize("strain", [0.05, -0.05])
def test_strain_and_shear_strain_the_lattice(strain) -> None:
    atoms = supercell("NaCl")
    deformation = np.eye(3) + strain * np.array([[1, 0.8, 0], [0, -0.5, 0.4], [0, 0, 0.3]])
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    finding = analyze(without(displaced(atoms, 0.05), 10))
    assert finding.host.size == 27 and [d.type for d in finding.defects] == ["vacancy"]


# ------------------------------------------------------------------------- invariances
def answer(atoms: Atoms) -> tuple:
    finding = analyze(atoms)
    size = len(finding.host.numbers) if finding.host else 0
    return finding.verdict, sorted(d.name for d in finding.defects), size


def spoiled(name: str, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    atoms = supercell(name, 0.04, seed)
    gone, changed = rng.permutation(len(atoms))[:2]
    atoms.symbols[changed] = "Ti"
    return without(atoms, int(gone))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 1000))
def test_order_rotation_translation_and_wrapping_change_nothing(name, seed) -> None:
    atoms = spoiled(name, seed)
    rng = np.random.default_rng(seed)
    changed = atoms[rng.permutation(len(atoms))]
    changed.positions += rng.uniform(-9, 9, 3)
    changed.wrap(pbc=changed.pbc)
    changed.rotate(float(rng.uniform(0, 360)), rng.normal(0, 1, 3), rotate_cell=True)
    assert answer(changed) == answer(atoms)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 1000))
def test_another_setting_of_the_cell_changes_nothing(name, seed) -> None:
    atoms = spoiled(name, seed)
    rng = np.random.default_rng(seed)
    change = np.eye(3, dtype=int)
    axes = np.flatnonzero(atoms.pbc)
    for _ in range(3):
        i, j = rng.choice(axes, 2, replace=False)
        change[i] += rng.integers(-2, 3) * change[j]
    other = atoms.copy()
    other.set_cell(change @ atoms.cell.array)
    assert answer(other) == answer(atoms)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(["MoS2", "NaCl", "Mg(OH)2"]), st.integers(0, 1000))
def test_a_repeated_cell_has_its_defects_twice(name, seed) -> None:
    atoms = spoiled(name, seed)
    twice = make_supercell(atoms, np.diag([2, 1, 1]))
    once, more = answer(atoms), answer(twice)
    assert more[0] == once[0] and more[2] == once[2]
    assert more[1] == sorted(once[1] * 2)


def test_a_layer_may_be_periodic_through_its_vacuum() -> None:
    atoms = without(supercell("MoS2", 0.05), 7)
    atoms.pbc = True
    assert answer(atoms)[:2] == ("defective", ["v_S"])
    atoms.positions[:, 2] += 8.0
    atoms.wrap()
    assert answer(atoms)[:2] == ("defective", ["v_S"])
    turned = Atoms(
        atoms.numbers, atoms.positions[:, [2, 0, 1]], cell=np.eye(3)[[2, 0, 1]], pbc=True
    )
    turned.set_cell(atoms.cell.array[[2, 0, 1]][:, [2, 0, 1]])
    assert answer(turned)[:2] == ("defective", ["v_S"])


# ----------------------------------------------------------- fast ways against plain ones
@pytest.mark.parametrize("name", ["WTe2", "MoS2", "NbI3"])
def test_the_estimate_of_a_superstructure_is_near_its_fit(name) -> None:
    canonical = crystal(without(supercell(name, 0.05), 2))
    host = find_host(without(supercell(name, 0.05), 2))
    cell = host.cell
    whole = np.round(canonical.cell @ np.linalg.inv(cell)).astype(np.int64)
    fit = fitted(canonical, Lattice(cell, whole, 1.0))
    for index in sublattices(whole):
        sub = np.round(whole @ np.linalg.inv(index)).astype(np.int64)
        plain = fitted(canonical, Lattice(index @ cell, sub, 1.0)).bits
        assert estimated_bits(canonical, fit, index) == pytest.approx(plain, rel=0.06)


@pytest.mark.parametrize("name", ["MoS2", "GaN", "WTe2"])
def test_a_lattice_that_is_not_fitted_is_longer_than_the_best(name) -> None:
    canonical = crystal(without(supercell(name, 0.05), 2))
    lattices = find_lattices(canonical, find_translations(canonical))
    highest = max(lattice.score for lattice in lattices)
    best = find_host(without(supercell(name, 0.05), 2)).bits
    left_out = [one for one in lattices if _least_bits(canonical, one, highest) > best]
    for lattice in left_out[:: len(left_out) // 10 + 1]:
        assert fitted(canonical, lattice).bits > best


def test_a_lattice_of_nearly_whole_vectors_is_within_none_of_another_size() -> None:
    cube = Lattice(np.eye(3), np.eye(3, dtype=np.int64) * 40, 1.0)
    double = Lattice(np.diag([2.0, 1, 1]), np.diag([20, 40, 40]), 1.0)
    skewed = Lattice(np.array([[1, 0, 0.005], [40, 0, 0], [0, 40, 0]]), np.diag([1, 1, 8]), 1.0)
    assert np.array_equal(index_within(double, cube), np.diag([2, 1, 1]))
    assert index_within(skewed, cube) is None


def test_the_given_cell_is_fitted_as_any_other() -> None:
    canonical = crystal(supercell("MoS2", 0.05))
    whole = Lattice(canonical.cell, np.eye(3, dtype=np.int64), 0.0)
    fast = fitted(canonical, whole)
    plain = _compared(canonical, whole, Basis(canonical.numbers, fast.basis.scaled))
    assert fast.bits == pytest.approx(plain.bits)
    assert np.array_equal(fast.site_of_atom, plain.site_of_atom)
    assert np.allclose(fast.site_positions, plain.site_positions)


def test_the_package_needs_neither_torch_nor_pymatgen_nor_ase() -> None:
    code = (
        "import sys, defectpool.lattice;"
        "print([m for m in ('torch', 'pandas', 'pymatgen', 'ase', 'spglib') if m in sys.modules])"
    )
    path = ":".join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": path},
        check=True,
    )
    assert done.stdout.strip() == "[]"
