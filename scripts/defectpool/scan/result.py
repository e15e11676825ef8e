"""Result of scanning one structure, and the limits under which files are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from defectpool.evaluation.second_opinion import Opinion
    from defectpool.evaluation.site_defects import SiteDefect
    from defectpool.lattice import Defect, Event, Finding

PRISTINE, DEFECTIVE, UNDECIDED = "pristine", "defective", "undecided"
VERDICTS = (PRISTINE, DEFECTIVE, UNDECIDED)


SAME_SITE = 1.0  # Å; defects of one name that are nearer to each other are the same


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read and computed, for each file and structure.

    Attributes
    ----------
    file_bytes
        Largest file in bytes, after decompression.
    atoms
        Largest structure.
    seconds
        Longest time to read the next structure of a file. The analysis may take as long, and a
        millisecond an atom on top.
    memory
        Memory in bytes that reading may take (Linux).
    """

    file_bytes: int = 500_000_000
    atoms: int = 200_000
    seconds: float = 10.0
    memory: int = 1_000_000_000


@dataclass(frozen=True)
class Result:
    """Answer for one structure: a finding, or the reason why there is none.

    Attributes
    ----------
    path
        Where the structure comes from: a path, `archive.zip/member`, `-` for standard input,
        empty for a structure that was given as an object.
    frame
        Number of the structure in its file, or of the object in what was given, from 0.
    atoms
        Number of atoms; 0 where nothing was read.
    finding
        Host, defects and complexes; None where the structure could not be read.
    reason
        Why the verdict is undecided; empty for a decided one.
    structure
        Numbers, positions, cell and periodicity of the structure, where it was read.
    symmetry
        Symbol of the host's layer or space group.
    events
        In a trajectory: hops, creations and recombinations between the frame before and this one.
    opinions
        Answers of trained networks, one for each model that was given.
    """

    path: str
    frame: int
    atoms: int = 0
    finding: Finding | None = None
    reason: str = ""
    structure: Atoms | None = None
    symmetry: str = ""
    events: tuple[Event, ...] = ()
    opinions: tuple[Opinion, ...] = ()

    @property
    def verdict(self) -> str:
        """Verdict: pristine, defective or undecided."""
        return self.finding.verdict if self.finding else UNDECIDED

    @property
    def opinion(self) -> Opinion | None:
        """Opinion of the model that is surest of a defect; None without any answer.

        Models may be trained for one type of defect each, so one that sees a defect is enough.
        """
        answers = [one for one in self.opinions if one.probability is not None]
        return max(answers, key=lambda one: (one.defective, one.probability), default=None)

    @property
    def agrees(self) -> bool | None:
        """Whether that model agrees with the verdict; None if either of the two has none."""
        if self.opinion is None or self.verdict == UNDECIDED:
            return None
        return self.opinion.defective == (self.verdict == DEFECTIVE)

    def same_defects(self, opinion: Opinion) -> bool | None:
        """Whether networks and lattice list the same defects; None if either of them has no list.

        They are the same if their names are, and each is less than 1 Å from one of its name.
        """
        if opinion.defects is None or self.finding is None or self.verdict == UNDECIDED:
            return None
        ours, theirs = self.finding.defects, opinion.defects
        if sorted(one.name for one in ours) != sorted(one.name for one in theirs):
            return False
        assert self.structure is not None
        return all(_near(one, ours, self.structure) for one in theirs)

    @property
    def name(self) -> str:
        """Name of the structure: its path, with `#frame` after the first."""
        path = self.path or "structure"
        return f"{path}#{self.frame}" if self.frame or not self.path else path


def _near(one: SiteDefect, listed: Sequence[Defect], atoms: Atoms) -> bool:
    """Whether a defect of the same name is less than 1 Å away."""
    from ase.geometry import find_mic

    vectors = [other.position - one.position for other in listed if other.name == one.name]
    return bool(find_mic(np.array(vectors), atoms.cell, atoms.pbc)[1].min() < SAME_SITE)
