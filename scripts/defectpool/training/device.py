"""Where the network computes."""

import torch

from defectpool.errors import DefectpoolError


def choose(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`.

    Raises
    ------
    DefectpoolError
        `cuda` was asked for and there is no usable GPU. Nothing was computed yet.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    problem = _problem()
    if wanted == "auto":
        return torch.device("cpu" if problem else "cuda")
    if problem:
        raise DefectpoolError(
            f"training.device: cuda was asked for, but {problem}; choose auto or cpu, or run "
            "where there is a GPU"
        )
    return torch.device("cuda")


def _problem() -> str:
    """Say why no GPU can be used; empty if one can."""
    if not torch.backends.cuda.is_built():
        return f"this torch ({torch.__version__}) was built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no GPU here"
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        return f"the GPU cannot be used ({str(error).splitlines()[0]})"
    return ""


def describe(device: torch.device) -> str:
    """Return the device's name for the record."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def forget_peak_memory(device: torch.device) -> None:
    """Begin to measure `peak_memory_mib` anew, for the next run of this process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mib(device: torch.device) -> float:
    """Largest memory that tensors took on a GPU since it was last forgotten, in MiB; 0 on a CPU."""
    if device.type != "cuda":
        return 0.0
    return round(torch.cuda.max_memory_allocated(device) / 1024**2, 1)
