"""Trajectories: one host, defects of every frame, hops, creations and recombinations."""

import numpy as np
import pytest
from ase import Atoms
from lattice_examples import boron_nitride, displaced, distance, molybdenite, supercell, without

from defectpool.lattice import compare, find_host, track
from defectpool.lattice.events import periods


def frames_of(ideal: list[np.ndarray], atoms: Atoms, noise: float = 0.06) -> list[Atoms]:
    found = []
    for number, places in enumerate(ideal):
        frame = atoms.copy()
        frame.positions = places + number * np.array([0.03, -0.02, 0.0])
        frame = displaced(frame, noise, number)
        frame.set_cell(frame.cell.array * (1 + 0.005 * np.sin(number)), scale_atoms=True)
        if number % 3 == 0:
            frame.wrap()
        found.append(frame)
    return found


def test_a_vacancy_that_hops_is_one_vacancy_and_one_event() -> None:
    full = molybdenite() * (6, 6, 1)
    metal = np.flatnonzero(full.numbers == 42)
    gone = int(metal[10])
    near = metal[np.argsort(full.get_distances(gone, metal, mic=True))[1]]
    atoms = without(full, gone)
    row = int(near - (near > gone))
    before, after = atoms.positions.copy(), atoms.positions.copy()
    after[row] = full.positions[gone]
    trajectory = track(frames_of([before] * 8 + [after] * 8, atoms))
    assert [[d.name for d in f] for f in trajectory.frames] == [["v_Mo"]] * 16
    assert [(e.frame, e.type, e.name) for e in trajectory.events] == [(8, "hop", "v_Mo")]
    event = trajectory.events[0]
    assert distance(atoms, event.position, event.origin) == pytest.approx(3.18, abs=0.3)


def test_a_frenkel_pair_is_created_and_recombines() -> None:
    atoms = supercell("NaCl")
    moved = atoms.positions.copy()
    moved[7] += np.array([1.0, 1.0, 1.0]) * 5.64 / 4
    trajectory = track(
        frames_of([atoms.positions] * 5 + [moved] * 5 + [atoms.positions] * 5, atoms)
    )
    assert [len(f) for f in trajectory.frames] == [0] * 5 + [2] * 5 + [0] * 5
    symbol = atoms.symbols[7]
    told = sorted((e.frame, e.type, e.name) for e in trajectory.events)
    assert told == [
        (5, "creation", f"{symbol}_i"),
        (5, "creation", f"v_{symbol}"),
        (10, "recombination", f"{symbol}_i"),
        (10, "recombination", f"v_{symbol}"),
    ]


def test_an_adatom_that_moves_on_hops() -> None:
    layer = boron_nitride() * (6, 6, 1)
    vectors = boron_nitride().cell.array
    atoms = layer + Atoms("Li", [layer.positions[0] + [0, 0, 2.4]])
    moved = atoms.positions.copy()
    moved[-1] += vectors[0]
    trajectory = track(frames_of([atoms.positions] * 4 + [moved] * 4, atoms, 0.04))
    assert [(e.frame, e.type, e.name) for e in trajectory.events] == [(4, "hop", "Li_i")]


def test_what_lasts_two_frames_is_no_event() -> None:
    full = supercell("NaCl")
    atoms = without(full, 0)
    moved, other = atoms.positions.copy(), atoms.positions.copy()
    moved[7] += np.array([1.0, 1.0, 1.0]) * 5.64 / 4
    like = np.flatnonzero(atoms.numbers == full.numbers[0])
    other[like[0]] = full.positions[0]
    calm = atoms.positions
    frames = frames_of([calm] * 4 + [moved] * 2 + [calm] * 4 + [other] + [calm] * 4, atoms, 0.03)
    trajectory = track(frames)
    assert [len(f) for f in trajectory.frames] == [1] * 4 + [3] * 2 + [1] * 9
    assert trajectory.events == ()
    assert {e.type for e in track(frames, persistence=1).events} >= {"creation", "hop"}


def plain_periods(frames: set[int], n_frames: int, lasting: int) -> list[tuple[int, int]]:
    """Frame by frame: the state changes where the other one lasts."""
    seen = np.array([frame in frames for frame in range(n_frames)])
    there = bool(seen[:lasting].mean() > 0.5)
    state = []
    for frame in range(n_frames):
        ahead = seen[frame : frame + lasting]
        if len(ahead) == lasting and np.all(ahead != there):
            there = not there
        state.append(there)
    edges = np.flatnonzero(np.diff([False, *state, False]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


@pytest.mark.parametrize("lasting", [1, 2, 3])
def test_periods_are_those_of_a_walk_through_the_frames(lasting) -> None:
    rng = np.random.default_rng(lasting)
    for n_frames in rng.integers(2 * lasting, 25, 300).tolist():
        frames = np.flatnonzero(rng.uniform(size=n_frames) < rng.uniform())
        if len(frames):
            found = periods(frames.tolist(), n_frames, lasting)
            assert found == plain_periods(set(frames.tolist()), n_frames, lasting)


def test_frames_are_compared_as_alone() -> None:
    atoms = without(supercell("MoS2"), 9)
    frames = [displaced(atoms, 0.08, seed) for seed in range(5)]
    trajectory = track(iter(frames))
    for frame, found in zip(frames, trajectory.frames, strict=True):
        alone = compare(frame, find_host(frame))
        assert [d.name for d in alone] == [d.name for d in found]
        assert distance(frame, alone[0].position, found[0].position) < 0.3


def test_a_trajectory_without_a_host_says_why() -> None:
    assert track([]).reason == "no frames"
    trajectory = track([molybdenite()] * 3)
    assert trajectory.host is None and "nothing repeats" in trajectory.reason
