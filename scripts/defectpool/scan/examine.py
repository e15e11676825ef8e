"""Analysis of the structures of a file: each by itself, or tracked as a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from operator import itemgetter

from ase import Atoms

from defectpool.lattice import Finding, analyze
from defectpool.scan import tracked
from defectpool.scan.formats import UnreadableError
from defectpool.scan.readers import one_line, read
from defectpool.scan.result import Limits, Result
from defectpool.scan.worker import Started, Task


def examined(task: Task, limits: Limits) -> Iterator[Started | Result]:
    """Results of the structures of a file, each announced before it is analyzed.

    Parameters
    ----------
    task
        The file and the first structure that is wanted.
    limits
        Bounds on bytes and atoms.
    """
    frames = islice(enumerate(read(task.path, task.name, limits)), task.first, None)
    empty = not task.first
    for same, group in groupby(frames, key=_atoms_of if task.track else itemgetter(0)):
        empty = False
        numbered = list(group)
        yield from (_trajectory if task.track and same else _each)(numbered, task.name)
    if empty:
        yield Result(task.name, 0, reason="no structure in the file")


def _atoms_of(numbered: tuple[int, Atoms | UnreadableError]) -> bytes:
    """Return what consecutive frames of a trajectory have in common; empty for no structure."""
    structure = numbered[1]
    return b"" if isinstance(structure, UnreadableError) else structure.numbers.tobytes()


def _each(
    numbered: Iterable[tuple[int, Atoms | UnreadableError]], name: str
) -> Iterator[Started | Result]:
    """Yield the results of structures that are analyzed one by one."""
    for frame, structure in numbered:
        if isinstance(structure, UnreadableError):
            yield Result(name, frame, reason=str(structure))
        else:
            yield Started(frame, len(structure))
            yield examine(structure, name, frame)


def _trajectory(
    numbered: Sequence[tuple[int, Atoms | UnreadableError]], name: str
) -> Iterator[Started | Result]:
    """Yield the results of frames of the same atoms; one by one where they cannot be tracked."""
    first, frames = numbered[0][0], [s for _, s in numbered if isinstance(s, Atoms)]
    found: list[Result] = []
    if len(frames) > 1:
        yield Started(first, sum(map(len, frames)))
        with suppress(Exception):  # each by itself has its own reason
            found = tracked.results(frames, name, first)
    yield from found or _each(numbered, name)


def examine(structure: Atoms, path: str = "", frame: int = 0) -> Result:
    """Analyze one structure; a failure of the analysis is a reason, not an error.

    Parameters
    ----------
    structure
        The structure.
    path, frame
        Where it comes from.
    """
    try:
        return from_finding(structure, analyze(structure), path, frame)
    except MemoryError:
        return _failed(structure, path, frame, "the analysis needs more memory than the limit")
    except Exception as error:  # a bug must not end a run over a million files
        reason = one_line(f"the analysis failed ({type(error).__name__}: {error})")
        return _failed(structure, path, frame, reason)


def from_finding(structure: Atoms, finding: Finding, path: str, frame: int) -> Result:
    """Return a result that holds a finding."""
    reason = one_line(finding.reason) if finding.verdict == "undecided" else ""
    symmetry = finding.host.symmetry() if finding.host else ""
    return Result(path, frame, len(structure), finding, reason, structure, symmetry)


def _failed(structure: Atoms, path: str, frame: int, reason: str) -> Result:
    return Result(path, frame, len(structure), None, reason, structure)
