"""Standard setting: a layer in any cell becomes the same slab; other structures are rejected."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule, mx2
from ase.db import connect
from ase.geometry.dimensionality import analyze_dimensionality
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.materials import embedded
from defectpool.materials.duplicates import duplicates
from defectpool.materials.host import BadStructure
from defectpool.materials.slab import BOND, layer_group, standardize

HOSTS = list(embedded.hosts())
UNIMODULAR = [
    np.eye(3, dtype=int),
    np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]]),
    np.array([[1, 0, 1], [0, 1, -1], [1, 0, 2]]),
    np.array([[1, 2, 0], [0, 1, 3], [0, 0, 1]]),
    np.array([[-1, 0, 0], [0, -1, 0], [0, 1, -1]]),
]


def distances(atoms: Atoms, radius: float = 5.0) -> np.ndarray:
    """Sorted distances between all sites within a radius, which do not depend on the cell."""
    from ase.neighborlist import neighbor_list

    i, j, d = neighbor_list("ijd", atoms, radius)
    order = np.lexsort((d.round(5), atoms.numbers[j], atoms.numbers[i]))
    return np.column_stack([atoms.numbers[i], atoms.numbers[j], d])[order]


def check_standard(atoms: Atoms, vacuum: float) -> None:
    cell, z = atoms.cell.array, atoms.positions[:, 2]
    assert tuple(atoms.pbc) == (True, True, False)
    assert (cell[0, 1:] == 0).all() and cell[0, 0] > 0
    assert cell[1, 2] == 0 and cell[1, 1] > 0
    assert (cell[2, :2] == 0).all() and cell[2, 2] >= np.ptp(z) + vacuum - 1e-9
    assert abs((z.max() + z.min()) / 2 - cell[2, 2] / 2) < 1e-9
    scaled = np.linalg.solve(cell.T, atoms.positions.T).T
    assert (scaled[:, :2] > -1e-8).all() and (scaled[:, :2] < 1).all()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    host=st.sampled_from(HOSTS),
    change=st.sampled_from(UNIMODULAR),
    turn=st.tuples(*[st.floats(-180, 180)] * 3),
    shift=st.tuples(*[st.floats(-30, 30)] * 3),
    order=st.randoms(use_true_random=False),
    vacuum=st.floats(0, 25),
)
def test_any_setting_of_a_layer_gives_the_same_slab(host, change, turn, shift, order, vacuum):
    atoms = host.atoms.copy()
    reference = standardize(atoms, vacuum)
    check_standard(reference, vacuum)

    atoms.pbc = True
    atoms.set_cell(change @ atoms.cell.array, scale_atoms=False)
    sites = list(range(len(atoms)))
    order.shuffle(sites)
    atoms = atoms[sites]
    for axis, angle in zip("xyz", turn, strict=True):
        atoms.rotate(angle, axis, rotate_cell=True)
    atoms.positions += shift
    atoms.wrap()
    other = standardize(atoms, vacuum)

    check_standard(other, vacuum)
    assert (
        abs(
            other.cell.volume / other.cell[2, 2] / (reference.cell.volume / reference.cell[2, 2])
            - 1
        )
        < 1e-9
    )
    np.testing.assert_allclose(distances(other), distances(reference), atol=1e-7)
    assert duplicates([reference, other]) == {1: 0}


def test_a_standard_slab_stays_as_it_is() -> None:
    for host in HOSTS:
        once = standardize(host.atoms, 8.0)
        twice = standardize(once, 8.0)
        np.testing.assert_allclose(twice.positions, once.positions, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(twice.cell.array, once.cell.array)
        np.testing.assert_allclose(once.cell.lengths(), host.atoms.cell.lengths(), rtol=1e-12)


def test_a_left_handed_cell_becomes_right_handed_without_a_mirror() -> None:
    slab = mx2("MoS2")
    slab.numbers[2] = 34  # Janus, so that up and down differ
    slab.center(vacuum=8, axis=2)
    slab.positions[:, :2] += [0.3, 0.4]
    left = slab.copy()
    left.set_cell(slab.cell.array[[1, 0, 2]], scale_atoms=False)
    assert np.linalg.det(left.cell.array) < 0
    found = standardize(left, 8.0)
    check_standard(found, 8.0)
    np.testing.assert_allclose(distances(found), distances(slab), atol=1e-9)


def test_pbc_is_taken_at_its_word_first() -> None:
    without_c = mx2("MoS2", vacuum=None)
    assert without_c.cell[2].any() == 0
    short_c = mx2("MoS2", vacuum=8.0)
    short_c.cell[2, 2] = 3.0  # no image along c, so its length means nothing
    for atoms in (without_c, short_c):
        found = standardize(atoms, 12.0)
        check_standard(found, 12.0)
        assert abs(found.cell[2, 2] - np.ptp(atoms.positions[:, 2]) - 12.0) < 1e-9


def test_a_straddling_slab_is_made_whole() -> None:
    slab = mx2("MoS2", vacuum=8.0)
    for pbc in (True, (True, True, False), False):
        cut = slab.copy()
        cut.pbc = True
        cut.positions[:, 2] -= slab.cell[2, 2] / 2
        cut.wrap()
        cut.pbc = pbc
        assert abs(np.ptp(standardize(cut, 8.0).positions[:, 2]) - 3.19) < 0.01


def reason(atoms: Atoms) -> str:
    with pytest.raises(BadStructure) as caught:
        standardize(atoms, 8.0)
    return caught.value.reason


def layered_bulk() -> Atoms:
    slab = mx2("TiS2", kind="1T", a=3.4, thickness=2.8)
    slab.center(vacuum=1.45, axis=2)
    slab.pbc = True
    return slab


def bilayer(distance: float) -> Atoms:
    lower = mx2("MoS2", vacuum=0)
    upper = lower.copy()
    upper.positions[:, 2] += np.ptp(lower.positions[:, 2]) + distance
    both = lower + upper
    both.center(vacuum=8, axis=2)
    return both


def adsorbed() -> Atoms:
    slab = graphene(size=(4, 4, 1), vacuum=10)
    water = molecule("H2O")
    water.positions += [4, 4, slab.positions[0, 2] + 3.2]
    return slab + water


def chain() -> Atoms:
    return Atoms("C2", [[0, 0, 0], [1.3, 0, 0]], cell=[2.6, 15, 15], pbc=True)


def disordered() -> Atoms:
    slab = mx2("MoS2", vacuum=8)
    slab.info["occupancy"] = {"0": {"Mo": 0.5, "W": 0.5}, "1": {"S": 1.0}}
    return slab


def moved(position: float) -> Atoms:
    slab = graphene(vacuum=8)
    slab.positions[0, 1] = position
    return slab


def close() -> Atoms:
    slab = mx2("MoS2", vacuum=8)
    slab.positions[0] = slab.positions[1] + [0, 0, -0.9]
    return slab


def flat_cell() -> Atoms:
    slab = graphene(vacuum=8)
    slab.pbc = True
    slab.cell[2] = slab.cell[0] + slab.cell[1]
    return slab


BAD = {
    "empty": [Atoms(cell=[1, 1, 1], pbc=True)],
    "not_finite": [moved(np.nan), moved(np.inf), Atoms("H", cell=[np.nan, 1, 1])],
    "unknown_element": [
        Atoms("X", cell=[3, 3, 15], pbc=True),
        Atoms([118], cell=[3, 3, 15], pbc=True),
        Atoms([-1], cell=[3, 3, 15], pbc=True),
    ],
    "partial_occupancy": [disordered()],
    "zero_volume": [flat_cell(), Atoms("C", cell=[[1, 0, 0], [2, 0, 0], [3, 0, 0]], pbc=True)],
    "too_large": [graphene(size=(40, 40, 1)), moved(1e300), Atoms("C", cell=[1e6, 3, 3], pbc=True)],
    "too_close": [close(), Atoms("C3", cell=[1, 1, 1], pbc=True)],
    "molecule": [molecule("H2O"), molecule("C6H6", vacuum=8)],
    "chain": [chain()],
    "bulk": [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64), layered_bulk()],
    "two_slabs": [bilayer(3.0), bilayer(10.0)],
    "loose_parts": [adsorbed()],
}


@pytest.mark.parametrize(("expected", "atoms"), [(k, a) for k, v in BAD.items() for a in v])
def test_what_is_not_one_layer_gets_its_reason(expected: str, atoms: Atoms) -> None:
    assert reason(atoms) == expected


def test_layer_groups_are_the_textbook_ones() -> None:
    assert layer_group(standardize(graphene(vacuum=8), 8))[:2] == (80, "p6/mmm")
    assert layer_group(standardize(mx2("MoS2", vacuum=8), 8)) == (78, "p-6m2", 3)
    doubled = mx2("MoS2", kind="1T", vacuum=8).repeat((2, 2, 1))
    assert layer_group(standardize(doubled, 8)) == (72, "p-3m1", 3)


def test_polymorphs_are_not_duplicates_and_a_supercell_is() -> None:
    trigonal, octahedral = mx2("MoS2", vacuum=8), mx2("MoS2", kind="1T", vacuum=8)
    strained = mx2("MoS2", a=3.18 * 1.005, vacuum=15)
    stretched = mx2("MoS2", a=3.18 * 1.1, vacuum=8)
    slabs = [trigonal, octahedral, trigonal.repeat((2, 1, 1)), strained, stretched]
    assert duplicates([standardize(slab, 8) for slab in slabs]) == {2: 0, 3: 0}


def test_layers_are_those_of_ase(c2db) -> None:
    """The same verdict as ASE's rank determination algorithm at the same bond length."""
    rows = [row for row in connect(c2db).select(include_data=False) if row.id % 37 == 0]
    rows += list(connect(c2db).select("uid=1Ge7I12-1"))
    rows += list(connect(c2db).select("uid=2CaSO6-1"))
    rows += list(connect(c2db).select("uid=4VI3-1"))
    for row in rows:
        atoms = row.toatoms()
        intervals = analyze_dimensionality(atoms, method="RDA", merge=False)
        (there,) = [entry for entry in intervals if entry.a <= BOND < entry.b]
        try:
            standardize(atoms, 8.0)
            verdict = "layer"
        except BadStructure as error:
            verdict = error.reason
        chains, layers, parts = there.h[1], there.h[2], sum(there.h)
        if layers == 1:
            assert verdict == ("layer" if parts == 1 else "loose_parts"), row.uid
        elif layers > 1:
            assert verdict == "two_slabs", row.uid
        else:
            assert verdict == ("chain" if chains else "molecule"), row.uid
