"""Analysis of the structures of a file: each by itself, or tracked as a trajectory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ase import Atoms

from defectpool.lattice import Finding, analyze
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
    frames = enumerate(read(task.path, task.name, limits))
    empty = True
    for frame, structure in islice(frames, task.first, None):
        empty = False
        if isinstance(structure, UnreadableError):
            yield Result(task.name, frame, reason=str(structure))
            continue
        yield Started(frame, len(structure))
        yield examine(structure, task.name, frame)
    if empty and not task.first:
        yield Result(task.name, 0, reason="no structure in the file")


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
