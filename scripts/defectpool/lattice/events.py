"""Events of a trajectory: hops, creations and recombinations that last.

Thermal noise makes an atom miss its site, or take another one, for a frame or two. A defect counts
as there once it was seen in some frames in a row, and as gone once it was missing in as many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from defectpool.lattice.comparison import Defect
from defectpool.lattice.geometry import Floats, shortest
from defectpool.lattice.host import Host

PERSISTENCE = 3  # frames in a row that a change lasts; at most half of the trajectory
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
class Sighting:
    """A defect in a frame, and its place in the cell in which the host was found, without drift."""

    frame: int
    defect: Defect
    place: Floats


def events_of(
    sightings: Iterable[Sighting], n_frames: int, host: Host, persistence: int = PERSISTENCE
) -> list[Event]:
    """Events between the defects of all frames, in the order of time.

    Parameters
    ----------
    sightings
        All defects of all frames, in the order of time.
    n_frames
        Number of frames.
    host
        The host, in the cell in which it was found.
    persistence
        Frames in a row that a change lasts; shorter ones are noise.
    """
    lasting = max(1, min(persistence, n_frames // 2))
    events: list[Event] = []
    gone: list[Sighting] = []
    new: list[Sighting] = []
    for seen in _by_identity(sightings).values():
        for start, end in periods([s.frame for s in seen], n_frames, lasting):
            inside = [s for s in seen if start <= s.frame < end]
            if start:
                new.append(inside[0])
            if end < n_frames:
                gone.append(Sighting(end, inside[-1].defect, inside[-1].place))
            if inside[0].defect.site < 0:
                events += _jumps(inside, host, lasting)
    events += _paired(gone, new, host, lasting)
    return sorted(events, key=lambda e: (e.frame, e.type, e.name, e.position))


def periods(frames: Sequence[int], n_frames: int, lasting: int) -> list[tuple[int, int]]:
    """First frame and end of each time in which a defect is there, but for short gaps.

    Parameters
    ----------
    frames
        Frames in which it was seen, rising.
    n_frames
        Number of frames of the trajectory.
    lasting
        Frames in a row in which it is seen before it counts as there, and missed before it counts
        as gone. At first it is there if it is in most of as many frames.
    """
    found: list[tuple[int, int]] = []
    there = 2 * sum(frame < lasting for frame in frames) > lasting
    start = 0
    for first, end, following in _runs(frames, n_frames):
        if not there and end - first >= lasting:
            there, start = True, first
        if there and following - end >= lasting:
            found.append((start, end))
            there = False
    return [*found, (start, n_frames)] if there else found


def _runs(frames: Sequence[int], n_frames: int) -> list[tuple[int, int, int]]:
    """First frame, end, and first frame of the next one of each run without a gap."""
    breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(frames)) if b > a + 1), len(frames)]
    firsts = [frames[i] for i in breaks[:-1]] + [n_frames]
    ends = [frames[i - 1] + 1 for i in breaks[1:]]
    return list(zip(firsts, ends, firsts[1:], strict=False))


def _by_identity(sightings: Iterable[Sighting]) -> dict[tuple[str, int], list[Sighting]]:
    """Sightings of each defect: of one name, at one site or of one atom without a site."""
    found: dict[tuple[str, int], list[Sighting]] = defaultdict(list)
    for seen in sightings:
        defect = seen.defect
        found[defect.name, defect.site if defect.site >= 0 else -1 - defect.atoms[0]].append(seen)
    return found


def _jumps(seen: list[Sighting], host: Host, lasting: int) -> list[Event]:
    """Hops of an atom without a site: it stays away from where it was."""
    events = []
    home, away = seen[0], list[Sighting]()
    for here in seen[1:]:
        away = [*away, here] if _distance(home, here, host) > JUMP else []
        if len(away) >= lasting:
            first, name = away[0], here.defect.name
            position, origin = first.defect.position, home.defect.position
            events.append(Event(first.frame, "hop", name, position, origin))
            home, away = here, []
    return events


def _paired(gone: list[Sighting], new: list[Sighting], host: Host, lasting: int) -> list[Event]:
    """Hops of defects that vanish and appear nearby at about the same time; else what they are."""
    pairs = []
    appeared = defaultdict(list)
    for j, b in enumerate(new):
        appeared[b.defect.name, b.frame].append(j)
    for i, a in enumerate(gone):
        for frame in range(a.frame - lasting + 1, a.frame + lasting):
            for j in appeared.get((a.defect.name, frame), ()):
                distance = _distance(a, new[j], host)
                if distance < REACH * host.shortest_bond:
                    pairs.append((distance, i, j))
    hops: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in hops and j not in hops.values():
            hops[i] = j
    ends = set(hops.values())
    return [
        *(_event("hop", new[j], gone[i].defect.position) for i, j in hops.items()),
        *(_event("recombination", a) for i, a in enumerate(gone) if i not in hops),
        *(_event("creation", b) for j, b in enumerate(new) if j not in ends),
    ]


def _event(what: str, seen: Sighting, origin: tuple[float, float, float] | None = None) -> Event:
    return Event(seen.frame, what, seen.defect.name, seen.defect.position, origin)


def _distance(a: Sighting, b: Sighting, host: Host) -> float:
    offset = shortest(b.place - a.place, host.pristine_cell, host.pbc)
    return float(np.linalg.norm(offset))
