"""A host crystal's own lattice, found inside a defective cell, and the defects it tells of."""

from .comparison import Defect, compare, composition_balance
from .complexes import Complex, find_complexes
from .host import Alternative, Host, find_host
from .trajectory import Event, Trajectory, track
from .verdict import Finding, analyze

__all__ = [
    "Alternative",
    "Complex",
    "Defect",
    "Event",
    "Finding",
    "Host",
    "Trajectory",
    "analyze",
    "compare",
    "composition_balance",
    "find_complexes",
    "find_host",
    "track",
]
