"""Point defects in two-dimensional crystals, found by crystal graph networks."""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """Import `defectpool.scan` when it is asked for."""
    if name == "scan":
        return import_module("defectpool.scan")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
