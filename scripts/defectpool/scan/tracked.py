"""Frames of a trajectory, analyzed with the one host that all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from ase import Atoms

from defectpool.lattice import Event, Finding, Host, find_complexes, track
from defectpool.scan.result import DEFECTIVE, PRISTINE, Result


def results(frames: Sequence[Atoms], path: str, first: int) -> list[Result]:
    """Results of consecutive frames of the same atoms, with the events between them.

    Parameters
    ----------
    frames
        The frames.
    path, first
        Where they come from: the path, and the number of the first one in it.

    Returns
    -------
    list of Result
        Empty where no host is found, or where it explains too little: then each frame has to be
        analyzed by itself.
    """
    found = track(frames)
    if found.host is None:
        return []
    events = dict(_by_frame(found.events))
    symmetry = found.host.symmetry()
    tracked = []
    for number, (atoms, defects) in enumerate(zip(frames, found.frames, strict=True)):
        host = host_in(atoms, found.host)
        complexes = find_complexes(atoms, host, tuple(defects), host.displacements)
        verdict = DEFECTIVE if defects else PRISTINE
        finding = Finding(verdict, "", host, tuple(defects), complexes, np.nan)
        here = events.get(number, ())
        tracked.append(Result(path, first + number, len(atoms), finding, "", atoms, symmetry, here))
    return tracked


def host_in(atoms: Atoms, host: Host) -> Host:
    """Host with the cell and drift of a frame, and each atom's displacement from its first site.

    Parameters
    ----------
    atoms
        The frame.
    host
        The host, with the sites that the atoms had when it was found.
    """
    cell = atoms.cell.array if atoms.cell.rank == 3 else host.pristine_cell
    sites = host.pristine_positions @ np.linalg.inv(host.pristine_cell) @ cell
    seated = host.site_of_atom >= 0
    moves = np.zeros((len(atoms), 3))
    moves[seated] = _shortest(atoms.positions[seated] - sites[host.site_of_atom[seated]], cell)
    drift = np.median(moves[seated], axis=0) if seated.any() else np.zeros(3)
    moves[seated] = _shortest(moves[seated] - drift, cell)
    residual = float(np.sqrt((moves[seated] ** 2).sum(axis=1).mean())) if seated.any() else 0.0
    return replace(
        host,
        pristine_cell=cell,
        pristine_positions=sites + drift,
        displacements=moves,
        residual=residual,
    )


def _shortest(vectors: np.ndarray, cell: np.ndarray) -> np.ndarray:
    from ase.geometry import find_mic

    return find_mic(vectors, cell, pbc=True)[0]


def _by_frame(events: Sequence[Event]) -> Iterator[tuple[int, tuple[Event, ...]]]:
    for frame, group in groupby(events, key=lambda event: event.frame):
        yield frame, tuple(group)
