"""Nodes of a cluster on which a job found no usable GPU although it was given one."""

import os
from pathlib import Path

from defectpool.errors import DefectpoolError


def gpu_was_given() -> bool:
    """Whether SLURM gave this job a GPU."""
    return bool(os.environ.get("SLURM_JOB_ID") and os.environ.get("CUDA_VISIBLE_DEVICES"))


def mark_unusable_gpu(folder: Path, why: str) -> str:
    """Note that this node's GPU cannot be used, so that the next jobs are sent elsewhere.

    Parameters
    ----------
    folder
        Where the notes lie, one file a node; the sbatch of `profiles/slurm/bin` leaves these nodes
        out for a day. Delete a note to use its node again.
    why
        What the job met.

    Returns
    -------
    str
        The node's name.
    """
    node = os.environ.get("SLURMD_NODENAME", "unknown")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / node).write_text(f"{why}\nSLURM job {os.environ['SLURM_JOB_ID']}\n", encoding="utf-8")
    return node


def device_on_this_node(wanted: str, folder: Path) -> str:
    """Device for a job on this node: the one that the config wants, unless its GPU is unusable.

    Parameters
    ----------
    wanted
        `training.device` of the config.
    folder
        As in `mark_unusable_gpu`.

    Raises
    ------
    DefectpoolError
        If the config insists on a GPU and this node's cannot be used.
    """
    from defectpool.training.device import choose

    if gpu_was_given() and choose("auto").type == "cpu":
        node = mark_unusable_gpu(folder, "torch cannot use the GPU")
        print(f"the GPU that SLURM gave on node {node} cannot be used; next jobs leave it out")
        if wanted == "cuda":
            raise DefectpoolError(f"training.device: cuda, and node {node} has no usable GPU")
    return wanted
