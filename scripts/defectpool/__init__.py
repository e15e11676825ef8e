"""Point defects in two-dimensional crystals, found by crystal graph networks.

The names in `__all__` are the public interface. They are imported when they are first used, so
that `import defectpool` takes milliseconds and works without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from defectpool.runtime.threads import let_threads_rest

if TYPE_CHECKING:
    from defectpool import scan
    from defectpool.graphs import cif_to_graph, graph
    from defectpool.graphs.graph_set import GraphSet
    from defectpool.network.cgcnn import CrystalGraphNetwork
    from defectpool.network.model_file import load_models

__version__ = "0.2.0"

__all__ = ["CrystalGraphNetwork", "GraphSet", "cif_to_graph", "graph", "load_models", "scan"]

_MODULES = {
    "CrystalGraphNetwork": "defectpool.network.cgcnn",
    "GraphSet": "defectpool.graphs.graph_set",
    "cif_to_graph": "defectpool.graphs",
    "graph": "defectpool.graphs",
    "load_models": "defectpool.network.model_file",
}

let_threads_rest()  # before torch is imported


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used (PEP 562)."""
    if name == "scan":  # a module that can be called
        return import_module("defectpool.scan")
    if name not in _MODULES:
        raise AttributeError(f"module 'defectpool' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
