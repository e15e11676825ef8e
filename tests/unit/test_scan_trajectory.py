"""Trajectories in a scan: one host for all frames, events between them."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from defectpool.scan import scan
from defectpool.scan.output import rows_of
from defectpool.scan.text import as_dict


@pytest.fixture(scope="module")
def trajectory(tmp_path_factory):
    """Return a file in which a Na atom hops into a vacant site, and the two sites."""
    path = tmp_path_factory.mktemp("trajectory") / "hop.xyz"
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    target, start = atoms.positions[0].copy(), atoms.positions[2].copy()
    step = atoms.get_distance(2, 0, mic=True, vector=True)
    del atoms[0]
    frames = []
    for number, share in enumerate((0, 0, 0, 0.3, 0.7, 1, 1, 1)):
        frame = atoms.copy()
        frame.rattle(0.03, seed=number)
        frame.positions[1] += share * step
        frame.positions += [0.02 * number, 0, 0]  # drift
        frames.append(frame)
    ase.io.write(path, frames)
    return path, start, target


def test_a_hop_is_an_event(trajectory):
    path, start, _ = trajectory
    results = list(scan(path, track=True))
    assert len(results) == 8
    assert [r.frame for r in results] == list(range(8))
    assert {r.verdict for r in results} == {"defective"}
    hops = [(r.frame, e) for r in results for e in r.events if e.type == "hop"]
    assert hops and all(3 <= frame <= 6 for frame, _ in hops)
    last = results[-1]
    assert [d.name for d in last.finding.defects] == ["v_Na"]
    away = np.asarray(last.finding.defects[0].position) - start - [0.14, 0, 0]
    away -= 16.92 * np.rint(away / 16.92)
    assert np.linalg.norm(away) < 0.4
    rows = [row for r in results for row in rows_of(as_dict(r))["events"]]
    assert {row["frame"] for row in rows} == {r.frame for r in results if r.events}


def test_displacements_are_without_drift(trajectory):
    for result in scan(trajectory[0], track=True):
        lengths = np.linalg.norm(result.finding.host.displacements, axis=1)
        assert np.median(lengths) < 0.08


def test_frames_are_independent_unless_they_are_tracked(trajectory):
    results = list(scan(trajectory[0]))
    assert len(results) == 8 and not any(r.events for r in results)


def test_other_structures_between_do_not_end_it(tmp_path):
    path = tmp_path / "mixed.xyz"
    cell = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    defective = cell.copy()
    del defective[0]
    ase.io.write(path, [cell, cell, defective, cell])
    path.write_text(path.read_text() + "junk\n")
    verdicts = [r.verdict for r in scan(path, track=True)]
    assert verdicts[:4] in (["pristine", "pristine", "defective", "pristine"], ["undecided"])
    assert verdicts[-1] == "undecided"
