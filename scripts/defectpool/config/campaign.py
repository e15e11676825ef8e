"""The whole configuration of a campaign."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from defectpool.config.hosts import ExamplesSettings, MaterialsSettings
from defectpool.config.learning import GraphSettings, NetworkSettings, TrainingSettings
from defectpool.config.map import MapSettings
from defectpool.config.outputs import (
    GeneralizationSettings,
    RealSettings,
    ResultsSettings,
    ScanSettings,
)
from defectpool.config.structures import StructuresSettings
from defectpool.config.values import (
    Convolution,
    DefectType,
    Pooling,
    Section,
    Supercell,
    distinct_labels,
    unique,
)


class Config(Section):
    """A campaign: materials x defects x supercells x poolings x convolutions."""

    materials: MaterialsSettings = MaterialsSettings()
    defects: Annotated[list[DefectType], Field(min_length=1), AfterValidator(unique)] = Field(
        ["vacancy", "antisite", "substitution", "interstitial"],
        description="Types of defects; complex: two to five of different types in a cell; dense: a "
        "share of all sites.",
    )
    supercells: Annotated[list[Supercell], Field(min_length=1), AfterValidator(unique)] = Field(
        ["2x2", "6x6"],
        description="Supercells: nxn, mxn, or a 2 by 2 matrix of whole numbers.",
    )
    structures: StructuresSettings = StructuresSettings()
    examples: ExamplesSettings = ExamplesSettings()
    graph: GraphSettings = GraphSettings()
    poolings: Annotated[list[Pooling], Field(min_length=1), AfterValidator(distinct_labels)] = (
        Field(
            ["mean", "max"],
            description="Poolings that are compared: mean, max, sum, softmax, contrast, outlier, "
            "or one of your own (my_poolings.py:my_function); sites: a class for every site, "
            "trained on the labels of all sites, in place of a pooling.",
        )
    )
    convolutions: Annotated[
        list[Convolution], Field(min_length=1), AfterValidator(distinct_labels)
    ] = Field(
        ["gated"],
        description="Convolutions that are compared: gated (eq. 5), summed (eq. 4), smooth (gated, "
        "with a smooth cutoff, for atoms off their sites), or one of your own "
        "(my_convolutions.py:MyClass).",
    )
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    results: ResultsSettings = ResultsSettings()
    generalization: GeneralizationSettings = GeneralizationSettings()
    map: MapSettings = MapSettings()
    real: RealSettings = RealSettings()
    scan: ScanSettings = ScanSettings()
    shards: int = Field(
        1,
        ge=1,
        le=4096,
        description="Parts into which the hosts are split, one job each for every defect and "
        "supercell; 200 to 300 hosts a part make jobs of minutes.",
    )

    @model_validator(mode="after")
    def _source_has_path(self) -> "Config":
        if self.materials.source in ("database", "files") and not self.materials.path:
            raise ValueError(f"materials.path is missing: source {self.materials.source} needs it")
        return self
