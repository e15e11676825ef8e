"""Trajectories: the host found once, defects in every frame, and what happens to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from defectpool.lattice.assignment import assign
from defectpool.lattice.comparison import Defect, defects_of, places_of
from defectpool.lattice.events import PERSISTENCE, Event, Sighting, events_of
from defectpool.lattice.geometry import Floats, complete_cell
from defectpool.lattice.host import Host
from defectpool.lattice.verdict import Finding, analyze

FIRST = 10  # frames in which a host is looked for
STEADY = 0.05  # Å; drift that changes no assignment


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


def track(
    frames: Iterable[Any], host: Host | None = None, persistence: int = PERSISTENCE
) -> Trajectory:
    """Defects in all frames of a trajectory, and events: hops, creations, recombinations.

    The pristine supercell follows the cell and the drift of the atoms.

    Parameters
    ----------
    frames
        Structures with the same atoms, such as `ase.Atoms`; any iterable, read once.
    host
        From `find_host`; by default it is found in the first frame that has a verdict.
    persistence
        Frames in a row that a change lasts to be an event; shorter ones are thermal noise.
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
    events = events_of(tracker.sightings, len(tracker.frames), host, persistence)
    return Trajectory(host, "", tuple(tracker.frames), tuple(events))


def _first_verdict(frames: list[Any]) -> Finding:
    """First finding that is decided, or that of the first frame."""
    findings = []
    for atoms in frames:
        findings.append(analyze(atoms))
        if findings[-1].verdict != "undecided":
            return findings[-1]
    return findings[0] if findings else Finding("undecided", "no frames", None, (), (), 0.0)


class _Tracker:
    """State between two frames: the drift, and all defects so far."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.scaled = host.pristine_positions @ np.linalg.inv(host.pristine_cell)
        self.drift = np.zeros(3)
        self.frames: list[tuple[Defect, ...]] = []
        self.sightings: list[Sighting] = []

    def add(self, atoms: Any) -> None:
        """Compare a frame with the host and note its defects."""
        here, found, displacements = self._seated(atoms)
        defects = defects_of(atoms, here, found, displacements)
        back = np.linalg.inv(here.pristine_cell) @ self.host.pristine_cell
        drift = here.pristine_positions[0] - self.scaled[0] @ here.pristine_cell
        self.sightings += [
            Sighting(len(self.frames), defect, (np.array(defect.position) - drift) @ back)
            for defect in defects
        ]
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
