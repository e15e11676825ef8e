"""CSV tables of results: the columns that identify a run, and reproducible files."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from defectpool.runtime.atomic_write import replacing

# A run of the campaign, which is a row of results/table.csv.
RUN_KEY = ["defect", "supercell", "pooling", "convolution"]


def run_key(run: Mapping[str, str]) -> dict[str, str]:
    """Columns that identify a run, without the files that a rule adds to it."""
    return {name: run[name] for name in RUN_KEY if name in run}


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table with six significant digits; equal values give equal bytes."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
