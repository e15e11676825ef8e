"""Relaxation of a shard of structures, which goes on where it was stopped.

Every structure that is finished is appended as one line to a file. A line carries a digest of what
the result depends on, so that a line of other settings is passed over, as is one that was cut.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from defectpool.config import WORDS, StructuresSettings
from defectpool.runtime.clock import clock
from defectpool.runtime.hashing import content_id
from defectpool.structures.displacements import name_of, resolved
from defectpool.structures.relaxation import HOPELESS, Model, Outcome, applied, relax
from defectpool.structures.structure_files import DefectStructure, Skipped

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

# Seconds between lines of progress in the log.
EVERY = 10.0


@dataclass(frozen=True)
class Finished:
    """Outcomes of structures in an append-only file, by the digest of what they depend on."""

    path: Path
    outcomes: dict[str, Outcome]

    @classmethod
    def read(cls, path: Path) -> "Finished":
        """Read what is there; a line that was cut short by a kill is passed over."""
        outcomes = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                values = json.loads(line)
                key, positions = values.pop("key"), np.array(values.pop("positions"), dtype=float)
                outcomes[key] = Outcome(positions.reshape(-1, 3), **values)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return cls(path, outcomes)

    def add(self, key: str, outcome: Outcome) -> None:
        """Append an outcome. The line begins with its end, so that a cut one before stays apart."""
        values = {"key": key, **vars(outcome), "positions": outcome.positions.tolist()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(values)}\n")
            file.flush()
            os.fsync(file.fileno())
        self.outcomes[key] = outcome


def relax_structures(
    structures: Iterable[DefectStructure],
    settings: StructuresSettings,
    make: "Callable[[str], Callable[[], Calculator]]",
    state: Path,
    code: str,
) -> tuple[list[DefectStructure], list[Skipped]]:
    """Relax those structures of a shard whose displacement model needs it.

    Parameters
    ----------
    structures
        Pairs in order.
    settings
        Section `structures` of the config.
    make
        Gives the maker of calculators for the name of one.
    state
        File that collects what is finished.
    code
        Digest of the code; with other code everything is done anew.

    Returns
    -------
    tuple of lists
        The structures, without the pairs of those that failed unless these are to be kept; and
        those that failed, with a reason code.
    """
    listed = list(structures)
    models = _models(settings)
    keys = {
        one.structure: _key(one, models[one.displacements], settings.seed, code)
        for one in listed
        if one.displacements in models
    }
    finished = Finished.read(state)
    to_do = [one for one in listed if keys.get(one.structure, "") not in {"", *finished.outcomes}]
    calculators = {models[one.displacements].calculator for one in to_do}
    makers = {name: make(name) for name in sorted(calculators)}
    progress = Progress(len(keys), len(keys) - len(to_do))
    for one in to_do:
        model = models[one.displacements]
        outcome = relax(one, model, makers[model.calculator](), settings.seed)
        if outcome.reason == "calculator_failed":  # tried again by the next run
            finished.outcomes[keys[one.structure]] = outcome
        else:
            finished.add(keys[one.structure], outcome)
        progress.step(one.structure, outcome)
    outcomes = {name: finished.outcomes[key] for name, key in keys.items()}
    return _kept(listed, outcomes, settings.keep_failed)


def _models(settings: StructuresSettings) -> dict[str, Model]:
    """Models that need a calculator, by their names."""
    found = {}
    for model in settings.displacements:
        for one in resolved(model):
            whole = WORDS.get(one) if isinstance(one, str) else one
            if isinstance(whole, Model):
                found[name_of(whole)] = whole
    return found


def _key(one: DefectStructure, model: Model, random_seed: int, code: str) -> str:
    """Digest of what the outcome of a structure depends on."""
    arrays = (one.atoms.numbers, one.atoms.positions, one.atoms.cell.array)
    content = [array.tobytes().hex() for array in arrays]
    return content_id(one.structure, *content, model.model_dump_json(), random_seed, code)


def _kept(
    structures: Sequence[DefectStructure], outcomes: dict[str, Outcome], keep_failed: bool
) -> tuple[list[DefectStructure], list[Skipped]]:
    """Pairs that are kept, with their new positions, and what failed."""
    kept: list[DefectStructure] = []
    failed: list[Skipped] = []
    for _, group in groupby(structures, key=attrgetter("pair")):
        pair = [(one, outcomes.get(one.structure)) for one in group]
        reasons = {outcome.reason for _, outcome in pair if outcome and outcome.reason}
        for one, outcome in pair:
            if outcome and outcome.reason:
                name = one.structure.split(":", 1)[1]
                failed.append(
                    Skipped(
                        one.host, one.defect, one.supercell, name, outcome.reason, outcome.message
                    )
                )
        if not reasons or (keep_failed and not reasons & set(HOPELESS)):
            kept += [applied(one, outcome) if outcome else one for one, outcome in pair]
    return kept, failed


class Progress:
    """Lines in the log of a job: how many structures are done, and the time left."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.before = total, done, done
        self.begin = time.monotonic()
        self.last = self.begin - EVERY
        if done:
            print(f"{done} of {total} structures were finished before", flush=True)

    def step(self, structure: str, outcome: Outcome) -> None:
        """Report a structure that is finished."""
        self.done += 1
        now = time.monotonic()
        if outcome.reason:
            print(f"{structure}: {outcome.reason}: {outcome.message}", flush=True)
        if now - self.last < EVERY and self.done < self.total:
            return
        self.last = now
        each = (now - self.begin) / (self.done - self.before)
        left = clock(each * (self.total - self.done))
        print(f"{self.done} of {self.total} structures, {each:.2f} s each, {left} left", flush=True)
