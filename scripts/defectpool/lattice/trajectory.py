"""Trajectories: the host found once, defects in every frame, and what happens to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from defectpool.lattice.assignment import assign
from defectpool.lattice.comparison import Defect, defects_of, places_of
from defectpool.lattice.geometry import Floats, complete_cell, shortest
from defectpool.lattice.host import Host
from defectpool.lattice.verdict import Finding, analyze

FIRST = 10  # frames in which a host is looked for
STEADY = 0.05  # Å; drift that changes no assignment
JUMP = 1.2  # Å; an atom without a site that moved further has hopped
REACH = 3.0  # bonds; a defect that vanished and one that appeared further away are two


@dataclass(frozen=True)
class Event:
    """A change between two frames.

    Attributes
    ----------
    frame
        Index of the first frame after it.
    type
        "hop", "creation" or "recombination".
    name
        Of the defect: v_Mo, S_Mo, Li_i.
    position
        Where the defect is after it (was before it, if it recombined) in Å, [3].
    origin
        Where it came from, for a hop.
    """

    frame: int
    type: str
    name: str
    position: tuple[float, float, float]
    origin: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Trajectory:
    """Defects along a trajectory.

    Attributes
    ----------
    host
        Found in one of the first frames; None if they are all undecided.
    reason
        Why there is no host, else empty.
    frames
        Defects of each frame.
    events
        In the order of time.
    """

    host: Host | None
    reason: str
    frames: tuple[tuple[Defect, ...], ...]
    events: tuple[Event, ...]


def track(frames: Iterable[Any], host: Host | None = None) -> Trajectory:
    """Defects in all frames of a trajectory, and events: hops, creations, recombinations.

    The pristine supercell follows the cell and the drift of the atoms.

    Parameters
    ----------
    frames
        Structures with the same atoms, such as `ase.Atoms`; any iterable, read once.
    host
        From `find_host`; by default it is found in the first frame that has a verdict.
    """
    stream = iter(frames)
    first = list(islice(stream, FIRST))
    if host is None:
        finding = _first_verdict(first)
        if finding.host is None or finding.verdict == "undecided":
            return Trajectory(None, finding.reason, (), ())
        host = finding.host
    tracker = _Tracker(host)
    for atoms in first:
        tracker.add(atoms)
    for atoms in stream:
        tracker.add(atoms)
    return Trajectory(host, "", tuple(tracker.frames), tuple(tracker.events))


def _first_verdict(frames: list[Any]) -> Finding:
    """First finding that is decided, or that of the first frame."""
    findings = []
    for atoms in frames:
        findings.append(analyze(atoms))
        if findings[-1].verdict != "undecided":
            return findings[-1]
    return findings[0] if findings else Finding("undecided", "no frames", None, (), (), 0.0)


class _Tracker:
    """State between two frames: the drift, and where each defect was."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.scaled = host.pristine_positions @ np.linalg.inv(host.pristine_cell)
        self.drift = np.zeros(3)
        self.frames: list[tuple[Defect, ...]] = []
        self.events: list[Event] = []
        self.known: list[Defect] = []

    def add(self, atoms: Any) -> None:
        """Compare a frame with the host and note what changed."""
        here, found, displacements = self._seated(atoms)
        defects = defects_of(atoms, here, found, displacements)
        if self.frames:
            self.events.extend(changes(len(self.frames), self.known, list(defects), here))
            self.known = _anchored(self.known, list(defects), here)
        else:
            self.known = list(defects)
        self.frames.append(defects)

    def _seated(self, atoms: Any) -> tuple[Host, np.ndarray, Floats]:
        """Host in the cell of the frame, sites of the atoms, and their displacements."""
        given = np.array(atoms.cell, dtype=float).reshape(3, 3)
        cell = complete_cell(given, self.host.pbc, np.asarray(atoms.positions, dtype=float))
        numbers = np.asarray(atoms.numbers, dtype=np.int64)
        for _ in range(3):
            sites = self.scaled @ cell + self.drift
            here = replace(self.host, pristine_cell=cell, pristine_positions=sites)
            found, displacements = assign(
                numbers,
                places_of(atoms, here),
                here.pristine_numbers,
                sites,
                cell,
                here.pbc,
            )
            seated = found >= 0
            moved = np.median(displacements[seated], axis=0) if seated.any() else np.zeros(3)
            if np.linalg.norm(moved) < STEADY:
                break
            self.drift = self.drift + moved
        return here, found, displacements


def changes(frame: int, before: list[Defect], after: list[Defect], host: Host) -> list[Event]:
    """Events between the defects of two frames.

    Defects that are at the same site, or are the same atom without one, are the same. Of the
    others, a vanished and an appeared one of the same name that are near each other are a hop.
    """
    stayed = {_key(d) for d in before} & {_key(d) for d in after}
    events = [
        Event(frame, "hop", b.name, b.position, a.position)
        for a in before
        for b in after
        if _key(a) == _key(b) and b.site < 0 and _distance(a, b, host) > JUMP
    ]
    gone = [d for d in before if _key(d) not in stayed]
    new = [d for d in after if _key(d) not in stayed]
    pairs = _nearest_pairs(gone, new, host)
    hopped = {i for i, _ in pairs}, {j for _, j in pairs}
    events += [
        Event(frame, "hop", new[j].name, new[j].position, gone[i].position) for i, j in pairs
    ]
    events += [
        Event(frame, "recombination", d.name, d.position)
        for i, d in enumerate(gone)
        if i not in hopped[0]
    ]
    events += [
        Event(frame, "creation", d.name, d.position)
        for j, d in enumerate(new)
        if j not in hopped[1]
    ]
    return events


def _key(defect: Defect) -> tuple[str, int]:
    """Identity of a defect: its name, and its site or its atom."""
    return defect.name, defect.site if defect.site >= 0 else -1 - defect.atoms[0]


def _distance(a: Defect, b: Defect, host: Host) -> float:
    offset = np.array(a.position) - np.array(b.position)
    return float(np.linalg.norm(shortest(offset, host.pristine_cell, host.pbc)))


def _nearest_pairs(gone: list[Defect], new: list[Defect], host: Host) -> list[tuple[int, int]]:
    """Pairs of vanished and appeared defects of one name with the least total distance."""
    if not gone or not new:
        return []
    from scipy.optimize import linear_sum_assignment

    far = REACH * host.shortest_bond
    distance = np.array([[_distance(a, b, host) for b in new] for a in gone])
    same = np.array([[a.name == b.name for b in new] for a in gone])
    cost = np.where(same & (distance < far), distance, 1e3)
    rows, columns = linear_sum_assignment(cost)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < 1e3]


def _anchored(before: list[Defect], after: list[Defect], host: Host) -> list[Defect]:
    """Defects of the frame; one without a site keeps its place until it hops."""
    places = {_key(d): d for d in before if d.site < 0}
    anchored = []
    for defect in after:
        old = places.get(_key(defect))
        stays = old is not None and _distance(old, defect, host) <= JUMP
        anchored.append(replace(defect, position=old.position) if stays and old else defect)
    return anchored
