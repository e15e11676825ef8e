"""Configuration, typed: every key with its unit, its bounds, its default and its meaning.

The defaults are the published protocol (Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018),
applied to point defects). `config/config.yaml`, its JSON schema and the table of keys in
`config/README.md` are generated from these types by `python scripts/generate_config.py`.
"""

from defectpool.config.campaign import Config
from defectpool.config.displacements import (
    WORDS,
    Displacements,
    DynamicsDisplacements,
    RelaxedDisplacements,
    StaticDisplacements,
    ThermalDisplacements,
    needs_calculator,
)
from defectpool.config.hosts import ExamplesSettings, MaterialsSettings
from defectpool.config.learning import GraphSettings, NetworkSettings, TrainingSettings
from defectpool.config.loading import load
from defectpool.config.map import MapSettings
from defectpool.config.outputs import GeneralizationSettings, ResultsSettings, ScanSettings
from defectpool.config.structures import AlloySettings, ComplexesSettings, StructuresSettings
from defectpool.config.values import DefectType, Section, Split

__all__ = [
    "WORDS",
    "AlloySettings",
    "ComplexesSettings",
    "Config",
    "DefectType",
    "Displacements",
    "DynamicsDisplacements",
    "ExamplesSettings",
    "GeneralizationSettings",
    "GraphSettings",
    "MapSettings",
    "MaterialsSettings",
    "NetworkSettings",
    "RelaxedDisplacements",
    "ResultsSettings",
    "ScanSettings",
    "Section",
    "Split",
    "StaticDisplacements",
    "StructuresSettings",
    "ThermalDisplacements",
    "TrainingSettings",
    "load",
    "needs_calculator",
]
