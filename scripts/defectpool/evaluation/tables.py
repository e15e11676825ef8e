"""CSV tables of results: the columns that identify a run, and reproducible files."""

from pathlib import Path

import pandas as pd

from defectpool.runtime.atomic_write import replacing

# A run of the campaign, which is a row of results/table.csv.
RUN_KEY = ["defect", "supercell", "pooling", "convolution"]


def run_key(values: tuple[str, ...]) -> dict[str, str]:
    """Columns that identify a run, from its values in the order of `RUN_KEY`."""
    return dict(zip(RUN_KEY, values, strict=True))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table with six significant digits; equal values give equal bytes."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
