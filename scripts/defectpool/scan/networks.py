"""Trained networks of a campaign, asked beside the lattice; torch is imported for them alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from defectpool.errors import DefectpoolError
from defectpool.scan.result import Result

if TYPE_CHECKING:
    from defectpool.evaluation.second_opinion import Networks


def load(models: Iterable[str | Path]) -> tuple[Networks, ...]:
    """Networks of model files.

    Parameters
    ----------
    models
        `model.pt` or `.safetensors` of runs of a campaign.

    Raises
    ------
    DefectpoolError
        A file cannot be used, or a package that networks need is missing.
    """
    paths = list(models)
    if not paths:
        return ()
    try:
        from defectpool.evaluation.second_opinion import Networks
    except ModuleNotFoundError as error:
        raise DefectpoolError(
            f"a model needs the package {error.name}: install defectpool[train]"
        ) from None
    return tuple(Networks(path) for path in paths)


def with_opinions(results: Iterable[Result], networks: Sequence[Networks]) -> Iterator[Result]:
    """Pass results on, each with the opinions of networks on its structure, where it has one."""
    for result in results:
        atoms = result.structure
        if atoms is not None and networks:
            opinions = tuple(one.opinion(atoms) for one in networks)
            result = replace(result, opinions=opinions)
        yield result


def digests(models: Iterable[str | Path]) -> list[str]:
    """Digest of the content of each model file."""
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in models]
