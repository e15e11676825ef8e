"""Defects from the classes of sites: type, name and place, without the lattice of the host."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atom, Atoms
from ase.build import bulk, graphene, mx2
from ase.geometry import find_mic

from defectpool.evaluation.second_opinion import Networks
from defectpool.evaluation.site_defects import site_defects
from defectpool.structures.defect_labels import labels_of, site_labels

KEPT = Path(__file__).resolve().parents[2] / "results/reference/sites/model.safetensors"


def layer(size=5):
    """Return a pristine layer of MoSe2, whose first atoms are at the corner of the cell."""
    atoms = mx2("MoSe2", a=3.29, thickness=3.3, vacuum=8).repeat((size, size, 1))
    atoms.pbc = (True, True, False)
    return atoms


def with_defects(host, vacancies=(), foreign=None, added=()):
    """Return a cell and its labels: rows to remove, elements by row, atoms to add."""
    atoms, kinds, names, positions = host.copy(), [], [], []
    for row, symbol in (foreign or {}).items():
        kinds.append("antisite" if symbol in host.symbols else "substitution")
        names.append(f"{symbol}_{host.symbols[row]}")
        positions.append(host.positions[row])
        atoms.symbols[row] = symbol
    for symbol, position in added:
        kinds.append("interstitial")
        names.append(f"{symbol}_i")
        positions.append(position)
        atoms.append(Atom(symbol, position))
    kept = np.setdiff1d(np.arange(len(atoms)), vacancies)
    first = len(host)
    rows = [*(foreign or {}), *range(first, first + len(added))]
    rows = [int(np.searchsorted(kept, row)) for row in rows]
    for row in vacancies:
        kinds.append("vacancy")
        names.append(f"v_{host.symbols[row]}")
        positions.append(host.positions[row])
        rows.append(-1)
    atoms = atoms[kept]
    return atoms, labels_of(atoms, kinds, names, np.array(positions), rows)


def certain(atoms, labels, sure=0.98):
    """Return the probabilities of a network that knows the class of each site."""
    classes = site_labels(len(atoms), labels)
    return np.where(np.arange(5) == classes[:, None], sure, (1 - sure) / 4)


def displaced(atoms, sigma, seed=0):
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, sigma, moved.positions.shape)
    return moved


def same(found, labels, atoms, reach=0.5):
    """Whether the defects are those of the labels, each at its place."""
    assert sorted((one.type, one.name) for one in found) == sorted((d.kind, d.name) for d in labels)
    for label in labels:
        vectors = [one.position - label.position for one in found if one.name == label.name]
        assert find_mic(np.array(vectors), atoms.cell, atoms.pbc)[1].min() < reach


CASES = {
    "at the corner of the cell": (layer(), {"vacancies": [0]}),
    "on top of the layer": (layer(), {"vacancies": [2]}),
    "several": (layer(6), {"vacancies": [0, 50], "foreign": {27: "Se", 61: "S", 90: "W"}}),
    "next to each other": (layer(6), {"vacancies": [0, 1]}),
    "adatom": (layer(), {"added": [("Li", layer().positions[0] + [0, 0, 3.4])]}),
    "rock salt": (bulk("NaCl", "rocksalt", 5.64, cubic=True).repeat(2), {"vacancies": [3, 30]}),
    "tetrahedral": (
        bulk("GaAs", "zincblende", 5.65, cubic=True).repeat(2),
        {"foreign": {0: "As", 9: "In"}, "added": [("H", [2.825, 2.825, 5.65])]},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sigma", [0.0, 0.08])
def test_names_and_places_from_true_classes(case, sigma):
    host, defects = CASES[case]
    atoms, labels = with_defects(host, **defects)
    moved = displaced(atoms, sigma)
    same(site_defects(moved, certain(atoms, labels)), labels, atoms)


def test_the_order_of_atoms_and_a_shift_change_nothing():
    atoms, labels = with_defects(layer(), vacancies=[0, 40], foreign={21: "W"})
    probabilities = certain(atoms, labels)
    order = np.random.default_rng(0).permutation(len(atoms))
    again = atoms[order]
    again.positions += [1.0, -2.0, 0.5]
    again.wrap()
    found = site_defects(again, probabilities[order])
    assert {one.name for one in found} == {"v_Mo", "W_Mo", f"v_{layer().symbols[40]}"}
    for label in labels:
        vectors = [one.position - [1.0, -2.0, 0.5] - label.position for one in found]
        assert find_mic(np.array(vectors), atoms.cell, atoms.pbc)[1].min() < 0.01


def test_atoms_where_peers_expect_them_are_no_defects():
    atoms = layer()
    wrong = certain(atoms, [])
    wrong[[3, 30]] = [0.02, 0.0, 0.98, 0.0, 0.0]  # antisites, and nothing is exchanged there
    wrong[[13, 40]] = [0.02, 0.98, 0.0, 0.0, 0.0]  # neighbors of a vacancy, and none is missing
    assert site_defects(atoms, wrong) == ()
    assert site_defects(atoms, certain(atoms, [])) == ()


def test_an_unseen_antisite_beside_sites_that_miss_an_atom():
    host = layer()
    atoms, labels = with_defects(host, foreign={36: "Se"})
    probabilities = certain(atoms, [])
    distances = atoms.get_distances(36, np.arange(len(atoms)), mic=True)
    probabilities[(distances > 0) & (distances < 2.7)] = [0.1, 0.9, 0.0, 0.0, 0.0]
    (found,) = site_defects(atoms, probabilities)
    assert (found.name, found.atoms) == ("Se_Mo", (36,))
    assert found.probability == pytest.approx(0.9)
    same([found], labels, atoms)


def test_an_antisite_whose_neighbors_are_taken_for_it():
    atoms, labels = with_defects(layer(), foreign={36: "Se"})
    probabilities = certain(atoms, [])
    distances = atoms.get_distances(36, np.arange(len(atoms)), mic=True)
    near = np.flatnonzero((distances > 0) & (distances < 2.7))
    assert set(atoms.symbols[near]) == {"Se"}
    probabilities[near[:2]] = [0.1, 0.0, 0.9, 0.0, 0.0]
    (found,) = site_defects(atoms, probabilities)
    assert (found.name, found.atoms) == ("Se_Mo", (36,))
    same([found], labels, atoms)


@pytest.mark.parametrize("species", ["Se", "W"])
def test_a_foreign_atom_that_is_taken_for_a_neighbor_of_a_vacancy(species):
    """The sites around it lack what it replaces, and no other site of its element is like it."""
    atoms, labels = with_defects(layer(), foreign={36: species})
    probabilities = certain(atoms, [])
    probabilities[36] = [0.2, 0.8, 0.0, 0.0, 0.0]
    same(site_defects(atoms, probabilities), labels, atoms)


def test_an_interstitial_beside_a_flagged_atom_of_its_element():
    """Both stand where peers expect one of them, the nearer one."""
    beside = layer().positions[36] + [0.0, 0.4, 1.2]
    assert layer().symbols[36] == "Mo"
    atoms, labels = with_defects(layer(), added=[("Mo", beside)])
    probabilities = certain(atoms, labels)
    probabilities[36] = [0.1, 0.0, 0.9, 0.0, 0.0]
    same(site_defects(atoms, probabilities), labels, atoms)


@pytest.mark.parametrize("share", [0.35, 0.45])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_foreign_atom_between_two_places(kept, share):
    """Al_N + v_B, and Al_B + v_N: the atom moved towards the vacancy, and is nearer to its own."""
    host = graphene("BN", a=2.504, size=(6, 6, 1), vacuum=8)
    host.pbc = (True, True, False)
    first = 28
    atoms, labels = with_defects(host, [first + 1 - kept], {first + kept: "Al"})
    row = atoms.symbols.indices()["Al"][0]
    apart = host.get_distance(first, first + 1, mic=True, vector=True)
    atoms.positions[row] += share * (apart if kept == 0 else -apart)
    found = site_defects(atoms, certain(atoms, labels))
    same(found, labels, atoms, reach=0.75)


def test_a_place_is_listed_once():
    """Neighbors of an antisite that are taken for those of a vacancy lack what it replaces."""
    atoms, labels = with_defects(layer(4), foreign={36: "Se"})
    near = atoms.get_distances(36, np.arange(len(atoms)), mic=True) < 4.5
    for seed in range(12):
        moved = displaced(atoms, 0.2, seed)
        probabilities = certain(atoms, labels)
        probabilities[near & (np.arange(len(atoms)) != 36)] = [0.1, 0.9, 0.0, 0.0, 0.0]
        found = site_defects(moved, probabilities)
        assert [one.name for one in found if one.name in ("Se_Mo", "v_Mo")] == ["Se_Mo"]


def test_the_position_is_beside_the_atom_at_the_edge_of_the_cell():
    atoms, labels = with_defects(layer(), foreign={0: "W"})
    atoms.positions[0] += [-0.05, -0.05, 0]
    atoms.wrap()
    (found,) = site_defects(atoms, certain(atoms, labels))
    assert np.linalg.norm(found.position - atoms.positions[0]) < 0.2


def test_atoms_taken_for_foreign_ones_make_no_vacancy():
    atoms, _ = with_defects(layer(), vacancies=[36])
    probabilities = certain(atoms, [])
    gap = find_mic(atoms.positions - layer().positions[36], atoms.cell, atoms.pbc)[1]
    probabilities[np.argsort(gap)[:3]] = [0.1, 0.0, 0.9, 0.0, 0.0]
    assert site_defects(atoms, probabilities) == ()


def test_in_a_random_alloy_low_probabilities_are_no_evidence():
    """No surroundings are alike, so that something seems to be missing nearly everywhere."""
    host = layer(4)
    mixed, random = host.copy(), np.random.default_rng(0)
    for symbol, other in (("Mo", "W"), ("Se", "Te")):
        mixed.symbols[np.flatnonzero(random.random(48) < 0.5 * (host.symbols == symbol))] = other

    def listed(cell, of_vacancy):
        atoms, _ = with_defects(cell, vacancies=[24])
        gap = find_mic(atoms.positions - host.positions[24], atoms.cell, atoms.pbc)[1]
        probabilities = certain(atoms, [], sure=0.99)
        probabilities[np.argsort(gap)[:6]] = [1 - of_vacancy, of_vacancy, 0.0, 0.0, 0.0]
        return site_defects(atoms, probabilities)

    assert listed(mixed, 0.3) == ()
    assert listed(mixed, 0.8)
    assert [one.name for one in listed(host, 0.3)] == ["v_Mo"]


def test_without_peers_the_replaced_element_stays_open():
    atoms = Atoms("NaCl", [[0, 0, 0], [2.8, 0, 0]], cell=[6, 6, 6], pbc=True)
    probabilities = np.array([[0.9, 0.1, 0, 0, 0], [0.1, 0, 0, 0.9, 0]])
    (found,) = site_defects(atoms, probabilities)
    assert (found.type, found.name) == ("substitution", "Cl")


def test_what_peers_confirm_is_listed_at_a_low_probability():
    atoms, labels = with_defects(layer(), vacancies=[36], foreign={3: "W"})
    doubtful = 0.9 * certain(layer()[:-1], []) + 0.1 * certain(atoms, labels)
    assert (1 - doubtful[:, 0]).max() < 0.15
    same(site_defects(atoms, doubtful), labels, atoms)
    assert site_defects(atoms, certain(atoms, [], sure=0.99)) == ()


def test_without_peers_a_defect_needs_a_high_probability():
    """A single cell of MoS2 with a vacancy of S: no site has a peer."""
    atoms = mx2("MoS2", vacuum=8)[:2]
    atoms.pbc = (True, True, False)

    def listed(vacancy, foreign):
        beside = [1 - vacancy - foreign, vacancy, 0.0, foreign, 0.0]
        return site_defects(atoms, np.array([beside, [0.9, 0.1, 0.0, 0.0, 0.0]]))

    assert listed(0.4, 0.0) == listed(0.0, 0.4) == ()
    (vacancy,) = listed(0.6, 0.0)
    assert (vacancy.type, vacancy.name, vacancy.atoms) == ("vacancy", "v", (0,))
    np.testing.assert_array_equal(vacancy.position, atoms.positions[0])
    (foreign,) = listed(0.0, 0.6)
    assert (foreign.type, foreign.name, foreign.atoms) == ("substitution", "Mo", (0,))


@pytest.mark.parametrize("defects", [CASES["several"][1], {"vacancies": [54]}])
def test_the_kept_networks_list_the_defects_of_displaced_cells(defects):
    host = layer(6)
    atoms, labels = with_defects(host, **defects)
    found = Networks(KEPT).opinion(displaced(atoms, 0.04, 1)).defects
    same(found, labels, atoms)
    assert all(0.5 < one.probability <= 1 for one in found)
