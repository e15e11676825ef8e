"""Scan of structures for point defects, without a pristine reference."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from defectpool.scan.result import Limits, Result

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.lattice import Finding
    from defectpool.scan.sources import Source


def scan(
    structures: Any,
    *,
    limits: Limits | None = None,
    track: bool = False,
    models: Iterable[str | Path] = (),
) -> Iterator[Result]:
    """Results of structures: is each pristine or defective, and where are which point defects.

    Parameters
    ----------
    structures
        ASE `Atoms`, pymatgen `Structure`, a path (file, folder, glob, archive, `-` for standard
        input), or an iterable of any of these.
    limits
        Bounds on what is read from files; objects are analyzed as they are.
    track
        Whether consecutive frames of the same atoms in a file are a trajectory: the host is found
        once, and each result has the events since the frame before.
    models
        Files `model.pt` or `.safetensors` of a campaign, whose networks give a second opinion.

    Yields
    ------
    Result
        One for each structure, in order. A file that cannot be read is a result with a reason.

    Raises
    ------
    TypeError
        For an object of another type.
    DefectpoolError
        A model cannot be used.

    Examples
    --------
    >>> from ase.build import bulk
    >>> cell = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    >>> del cell[0]
    >>> [defect.name for result in scan(cell) for defect in result.finding.defects]
    ['v_Na']
    """
    from defectpool.scan import networks

    found = _each(structures, limits or Limits(), track)
    yield from networks.with_opinions(found, networks.load(models))


def _each(structures: Any, limits: Limits, track: bool) -> Iterator[Result]:
    """Yield the results of files and of structures that are given as objects."""
    single = isinstance(structures, str | Path) or hasattr(structures, "lattice")
    items = [structures] if single or hasattr(structures, "positions") else structures
    for number, item in enumerate(items):
        if isinstance(item, str | Path):
            yield from scan_files([item], limits, track=track)
        else:
            yield _examine_object(item, number)


def scan_files(
    paths: Iterable[str | Path], limits: Limits, jobs: int = 1, track: bool = False
) -> Iterator[Result]:
    """Results of the structures of files, in order.

    Parameters
    ----------
    paths
        Files, folders, globs, archives, `-`.
    limits
        Bounds on what is read.
    jobs
        Number of processes; with several, the results of a file come when it is done.
    track
        Whether files hold trajectories.
    """
    from defectpool.scan import sources

    with sources.temporary_folder() as folder:
        found = sources.sources(paths, limits, folder)
        if jobs == 1:
            yield from _one_by_one(found, limits, track)
        else:
            yield from _side_by_side(found, limits, track, jobs)


def annotate(atoms: Atoms, finding: Finding | None) -> None:
    """Mark the defects in a structure, for OVITO, chemiscope and other viewers.

    Parameters
    ----------
    atoms
        The structure that was analyzed; it gets the arrays `defect` [atoms] (0: none, else 1 + the
        number of the defect that the atom is, or of the vacancy that it is next to) and
        `displacement` [atoms, 3] in Å from the host's site.
    finding
        What was found in it; None where nothing was: then both arrays are zero.
    """
    import numpy as np

    defect = np.zeros(len(atoms), dtype=int)
    displacement = np.zeros((len(atoms), 3))
    if finding is not None:
        # an atom that is a defect itself is marked as such, also next to a vacancy
        numbered = enumerate(finding.defects, start=1)
        for number, found in sorted(numbered, key=lambda pair: pair[1].type != "vacancy"):
            defect[list(found.atoms)] = number
        if finding.host is not None:
            displacement = np.nan_to_num(np.asarray(finding.host.displacements, dtype=float))
    atoms.set_array("defect", defect)
    atoms.set_array("displacement", displacement)


def _examine_object(item: Any, number: int) -> Result:
    from defectpool.scan import examine, readers

    if hasattr(item, "lattice") and hasattr(item, "is_ordered"):
        try:
            item = readers.from_pymatgen(item)
        except readers.UnreadableError as reason:
            return Result("", number, len(item), reason=str(reason))
    if not hasattr(item, "positions"):
        raise TypeError(
            f"structure {number} is a {type(item).__name__}: give ASE Atoms, a pymatgen Structure "
            "or a path"
        )
    structure = readers.checked(item, Limits(atoms=len(item)))
    if isinstance(structure, readers.UnreadableError):
        return Result("", number, len(item), reason=str(structure))
    return examine.examine(structure, "", number)


def _one_by_one(found: Iterable[Source], limits: Limits, track: bool) -> Iterator[Result]:
    from defectpool.scan.sandbox import Sandbox

    with Sandbox(limits) as sandbox:
        import defectpool.lattice  # noqa: F401  while the process does the same

        for source in found:
            yield from _results(source, sandbox, track)


def _side_by_side(
    found: Iterable[Source], limits: Limits, track: bool, jobs: int
) -> Iterator[Result]:
    """Keep several processes busy, a thread each; results are held until their turn comes."""
    from contextlib import ExitStack

    from defectpool.scan.sandbox import Sandbox

    with ExitStack() as stack:
        idle: SimpleQueue[Sandbox] = SimpleQueue()
        for _ in range(jobs):
            idle.put(stack.enter_context(Sandbox(limits)))
        threads = stack.enter_context(ThreadPoolExecutor(jobs))

        def work(source: Source) -> list[Result]:
            sandbox = idle.get()
            try:
                return list(_results(source, sandbox, track))
            finally:
                idle.put(sandbox)

        waiting: deque[Future[list[Result]]] = deque()
        for source in found:
            waiting.append(threads.submit(work, source))
            if len(waiting) >= 4 * jobs:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _results(source: Source, sandbox: Any, track: bool) -> Iterator[Result]:
    if source.path is None:
        yield Result(source.name, 0, reason=source.reason)
        return
    try:
        yield from sandbox.results(source.path, source.name, track)
    finally:
        if source.temporary:
            source.path.unlink(missing_ok=True)
