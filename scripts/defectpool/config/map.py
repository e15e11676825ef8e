"""Section of the configuration on the map of which method is right where."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from defectpool.config.displacements import Calculator
from defectpool.config.structures import Concentration, Strain
from defectpool.config.values import Section, Supercell, unique

Sigma = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(gt=0, le=3000)]
AlloyFraction = Annotated[float, Field(ge=0, le=0.5)]
Unique = AfterValidator(unique)

# Along the last two the networks change; the cells stay the same.
TRAINING_AXES = ("train_hosts", "split")
AXES = (
    "displacement", "temperature", "relaxation", "concentration", "supercells", "alloy", "strain",
    *TRAINING_AXES,
)  # fmt: skip


class MapSettings(Section):
    """Which method is right where (`snakemake map`): axes along each of which one thing changes.

    The point from which they start: `supercell`, thermal displacements at 300 K, one defect.
    """

    hosts: int = Field(
        60, ge=1, le=10_000_000, description="Hosts of the campaign that are sampled for the map."
    )
    supercell: Supercell = Field("4x4", description="Supercell where it is not what changes.")
    displacement: Annotated[list[Sigma], Unique] = Field(
        [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4],
        description="Static displacements in Å along x, y and z, in place of thermal ones (empty "
        "list: this axis is left out, as for the others).",
    )
    temperature: Annotated[list[Temperature], Unique] = Field(
        [100.0, 300.0, 600.0, 1000.0],
        description="Temperatures in K of the thermal displacements, at most 3000.",
    )
    relaxation: Annotated[list[Calculator], Unique] = Field(
        [],
        description="Calculators that relax the structures, as in structures.displacements: "
        "chgnet, sevennet or module:Class.",
    )
    concentration: Annotated[list[Concentration], Unique] = Field(
        [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4],
        description="Share of all sites that are defects, of all types (as defects: dense).",
    )
    supercells: Annotated[list[Supercell], Unique] = Field(
        ["1x1", "2x2", "3x3", "4x4", "6x6", "8x8", "12x12"], description="Supercells."
    )
    alloy: Annotated[list[AlloyFraction], Unique] = Field(
        [0.0, 0.1, 0.25, 0.5],
        description="Share of the sites of one species that a second one takes; all hosts are "
        "alloys, and a pristine alloy is pristine.",
    )
    strain: Annotated[list[Strain], Unique] = Field(
        [-0.04, -0.02, 0.0, 0.02, 0.04],
        description="Biaxial strain (0.02: 2 % longer a and b).",
    )
    train_hosts: Annotated[list[Annotated[int, Field(ge=2)]], Unique] = Field(
        [],
        description="Hosts that the networks are trained on (training.hosts): a learning curve; "
        "each number trains the networks of results/any.csv anew.",
    )
    split: Annotated[list[Literal["formula", "element", "prototype"]], Unique] = Field(
        [],
        description="What the networks have not seen in training (training.split); each split but "
        "that of the campaign trains the networks of results/any.csv anew.",
    )
    baselines: Annotated[list[Literal["spglib", "matid", "soap"]], Unique] = Field(
        ["spglib"],
        description="Methods beside lattice and networks: spglib; matid and soap need `make "
        "env-baselines`.",
    )

    @model_validator(mode="after")
    def _has_an_axis(self) -> "MapSettings":
        if not self.axes:
            raise ValueError(f"map has no axis: give values to one of {', '.join(AXES)}")
        return self

    @property
    def axes(self) -> list[str]:
        """Axes that have values."""
        return [axis for axis in AXES if getattr(self, axis)]

    def values(self, axis: str) -> dict[str, Any]:
        """Values of an axis by their text."""
        listed = getattr(self, axis)
        return {one if isinstance(one, str) else f"{one:g}": one for one in listed}
