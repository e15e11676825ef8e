"""Point defects and complexes: types, names, places, and that they add up."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice_examples import displaced, distance, exchanged, hosts, supercell, without
from scipy.optimize import linear_sum_assignment

from defectpool.lattice import (
    analyze,
    assignment,
    compare,
    composition_balance,
    find_host,
    score,
)
from defectpool.lattice.assignment import CUTOFF, FOREIGN_CUTOFF, MISMATCH, UNSEATED, assign
from defectpool.lattice.naming import defect_name, reduced_formula


def names(atoms: Atoms) -> list[str]:
    finding = analyze(atoms)
    assert finding.verdict != "undecided", finding.reason
    return sorted(d.name for d in finding.defects)


def only(atoms: Atoms):
    finding = analyze(atoms)
    assert len(finding.defects) == 1, finding
    return finding.defects[0]


def test_names_and_formulas_are_pymatgens() -> None:
    from pymatgen.core import Composition

    for formula in ("MoS2", "CaTiO3", "GaAs", "Mg(OH)2", "Bi2Se3", "HfI3"):
        numbers = [e.Z for e, n in Composition(formula).items() for _ in range(int(n))]
        assert reduced_formula(numbers) == Composition(formula).reduced_formula.replace(
            "Mg(HO)2", "MgH2O2"
        )
    assert defect_name(None, 42) == "v_Mo"
    assert defect_name(16, 42) == "S_Mo"
    assert defect_name(3, None) == "Li_i"


def test_an_antisite_a_substitution_and_where_they_are() -> None:
    atoms = supercell("MoS2", 0.03)
    metal = next(a.index for a in atoms if a.symbol == "Mo")
    antisite = only(exchanged(atoms, S=metal))
    assert (antisite.type, antisite.name, antisite.atoms) == ("antisite", "S_Mo", (metal,))
    substitution = only(exchanged(atoms, W=metal))
    assert (substitution.type, substitution.name) == ("substitution", "W_Mo")
    assert distance(atoms, substitution.position, supercell("MoS2").positions[metal]) < 0.1
    assert substitution.score > 0.9


def test_the_score_falls_where_another_place_is_as_near() -> None:
    atoms = without(exchanged(supercell("BN"), Al=20), 21)
    way = supercell("BN").positions[21] - atoms.positions[20]
    scores = []
    for share in (0.0, 0.2, 0.4):
        moved = atoms.copy()
        moved.positions[20] += share * way
        scores += [d.score for d in analyze(moved).defects if d.type == "substitution"]
    assert len(scores) == 3 and scores[0] > scores[1] > scores[2]
    for kind in ("vacancy", "antisite", "substitution", "interstitial", "adatom"):
        assert score.ambiguity(kind, score.score(kind, 0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("height", [0.0, 0.5, 1.0, 1.6])
def test_a_foreign_atom_that_left_its_site_is_still_a_substitution(height) -> None:
    atoms = exchanged(supercell("BN", 0.02), S=21)
    atoms.positions[21, 2] += height
    defect = only(atoms)
    assert defect.type == "substitution" and defect.name.startswith("S_")
    assert defect.distance_moved == pytest.approx(height, abs=0.1)


def test_an_interstitial_and_an_adatom() -> None:
    bulk_atoms = supercell("NaCl", 0.02)
    cell = hosts()["NaCl"][0].cell.array
    place = bulk_atoms.positions[4] + (cell.sum(axis=0)) / 4
    defect = only(bulk_atoms + Atoms("Li", [place]))
    assert (defect.type, defect.name, defect.site) == ("interstitial", "Li_i", -1)
    assert defect.atoms == (len(bulk_atoms),)
    atoms = supercell("MoS2", 0.02)
    metal = next(a.index for a in atoms if a.symbol == "Mo")
    above = atoms.positions[metal] + [0, 0, 3.6]
    for pbc in ((True, True, False), True):
        slab = atoms + Atoms("Li", [above])
        slab.pbc = pbc
        assert (only(slab).type, only(slab).name) == ("adatom", "Li_i")


def test_the_nearest_atoms_of_a_vacancy_are_its_shell() -> None:
    atoms = supercell("NaCl", 0.02)
    defect = only(without(atoms, 20))
    assert len(defect.atoms) == 6
    kept = without(atoms, 20)
    for row in defect.atoms:
        assert distance(kept, kept.positions[row], defect.position) < 3.0


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(hosts())), st.integers(0, 10_000))
def test_sites_minus_vacancies_plus_interstitials_are_the_atoms(name, seed) -> None:
    rng = np.random.default_rng(seed)
    atoms = supercell(name, float(rng.uniform(0, 0.1)), seed)
    rows = rng.permutation(len(atoms))[: rng.integers(0, 4)].tolist()
    for row in rows[:2]:
        atoms.numbers[row] = rng.choice([3, 6, 8, 16, 53])
    atoms = without(atoms, *rows[2:])
    for _ in range(rng.integers(0, 3)):
        atoms += Atoms("Li", [rng.uniform(0, 1, 3) @ atoms.cell.array])
    host = find_host(atoms)
    defects = compare(atoms, host)
    assert set(composition_balance(defects, atoms, host).values()) == {0}
    types = [d.type for d in defects]
    extra = types.count("interstitial") + types.count("adatom")
    assert len(host.pristine_numbers) - types.count("vacancy") + extra == len(atoms)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_assignment_is_that_of_a_dense_matrix(seed) -> None:
    rng = np.random.default_rng(seed)
    pristine = supercell("SrTiO3")
    atoms = displaced(pristine, 0.25, seed)
    atoms.numbers[rng.permutation(len(atoms))[:4]] = 53
    atoms = without(atoms, *rng.permutation(len(atoms))[:3].tolist())
    cell, pbc = pristine.cell.array, pristine.pbc
    found, _ = assign(
        atoms.numbers, atoms.positions, pristine.numbers, pristine.positions, cell, pbc
    )
    offset = atoms.positions[:, None, :] - pristine.positions[None, :, :]
    scaled = offset @ np.linalg.inv(cell)
    squared = (((scaled - np.round(scaled)) @ cell) ** 2).sum(axis=2)
    cost = squared + MISMATCH * (atoms.numbers[:, None] != pristine.numbers[None, :])
    reach = np.where(np.isin(atoms.numbers, pristine.numbers), CUTOFF, FOREIGN_CUTOFF)
    cost[squared > reach[:, None] ** 2] = 1e6
    none = np.where(np.eye(len(atoms), dtype=bool), UNSEATED, 1e6)
    rows, columns = linear_sum_assignment(np.hstack([cost, none]))
    plain = np.where(columns < len(pristine), columns, -1)

    def total(sites) -> float:
        paid = np.where(sites >= 0, cost[rows, sites], UNSEATED)
        return float(paid.sum())

    assert total(found) == pytest.approx(total(plain), abs=1e-6)


def test_the_greedy_matching_of_large_cells_is_the_exact_one_where_atoms_are_near_sites(
    monkeypatch,
) -> None:
    pristine = supercell("SrTiO3")
    atoms = without(exchanged(displaced(pristine, 0.15), I=4), 9, 30)
    structure = (pristine.numbers, pristine.positions, pristine.cell.array, pristine.pbc)
    exact = assign(atoms.numbers, atoms.positions, *structure)[0]
    monkeypatch.setattr(assignment, "MANY", 0)
    assert np.array_equal(assign(atoms.numbers, atoms.positions, *structure)[0], exact)


# --------------------------------------------------------------------------- complexes
def complexes(atoms: Atoms) -> list[str]:
    finding = analyze(atoms)
    assert finding.verdict == "defective", finding.reason
    return [c.name for c in finding.complexes]


def test_a_divacancy_and_a_frenkel_pair() -> None:
    atoms = supercell("NaCl", 0.02)
    near = np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1]
    finding = analyze(without(atoms, 0, int(near)))
    assert [c.name for c in finding.complexes] == ["divacancy"]
    assert finding.complexes[0].members == (0, 1)
    assert finding.complexes[0].distances == pytest.approx((2.82,), abs=0.15)
    moved = atoms.copy()
    moved.positions[0] += hosts()["NaCl"][0].cell.array.sum(axis=0) / 4
    assert complexes(moved) == ["Frenkel pair"]


def test_an_antisite_pair_stands_side_by_side() -> None:
    atoms = supercell("GaAs", 0.02)
    near = int(np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1])
    swapped = exchanged(atoms, As=0)
    swapped.symbols[near] = "Ga"
    assert complexes(swapped) == ["antisite pair"]


def test_a_dumbbell_is_a_split_interstitial() -> None:
    atoms = supercell("Cu", 0.02)
    atoms.positions[10] += [0, 0, 1.1]
    atoms += Atoms("Cu", [atoms.positions[10] - [0, 0, 2.2]])
    assert names(atoms) == ["Cu_i"]
    assert complexes(atoms) == ["split interstitial"]


def test_an_atom_between_two_sites_is_a_split_vacancy() -> None:
    atoms = supercell("BN", 0.01)
    near = int(np.argsort(atoms.get_distances(12, range(len(atoms)), mic=True))[1])
    way = atoms.get_distance(12, near, mic=True, vector=True)
    moved = exchanged(atoms, Sn=12)
    moved.positions[12] += 0.45 * way
    assert complexes(without(moved, near)) == ["split vacancy"]


def test_defects_far_apart_are_no_complex() -> None:
    atoms = supercell("MoS2", 0.02)
    distances = atoms.get_distances(0, range(len(atoms)), mic=True)
    assert complexes(without(atoms, 0, int(np.argmax(distances)))) == []


def test_a_later_structure_is_compared_with_the_host_of_an_earlier_one() -> None:
    atoms = supercell("NaCl", 0.03)
    host = find_host(atoms)
    assert compare(atoms, host) == ()
    assert [d.type for d in compare(without(displaced(atoms, 0.05, 9), 5), host)] == ["vacancy"]
