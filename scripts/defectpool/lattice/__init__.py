"""A host crystal's own lattice, found inside a defective cell, and the defects it tells of."""

from defectpool.lattice.comparison import Defect, compare, composition_balance
from defectpool.lattice.complexes import Complex, find_complexes
from defectpool.lattice.events import Event
from defectpool.lattice.host import Alternative, Host, find_host
from defectpool.lattice.trajectory import Trajectory, track
from defectpool.lattice.verdict import Finding, analyze

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
