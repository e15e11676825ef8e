"""Sections of the configuration on what is made of the trained networks."""

from typing import Annotated

from pydantic import AfterValidator, Field

from defectpool.config.values import Section, Split, Supercell, unique


class ResultsSettings(Section):
    """How predictions become accuracies with intervals."""

    bootstrap: int = Field(
        2000,
        ge=100,
        le=1_000_000,
        description="Resamples of the hosts behind each 95 % interval; fewer than 100 give none.",
    )


class GeneralizationSettings(Section):
    """What the trained networks are tested on beyond the table (`snakemake beyond`)."""

    supercells: Annotated[list[Supercell], AfterValidator(unique)] = Field(
        ["1x1", "2x2", "3x3", "4x4", "6x6", "8x8", "10x10"],
        description="Supercells of results/generalization.csv, besides those that are trained on.",
    )
    rattle: Annotated[list[Annotated[float, Field(ge=0, le=1)]], AfterValidator(unique)] = Field(
        [0.0, 0.01, 0.02, 0.05, 0.1],
        min_length=1,
        description="Displacements in Å, as structures.rattle, of results/rattle.csv.",
    )
    splits: Annotated[list[Split], AfterValidator(unique)] = Field(
        ["random", "element", "prototype"],
        description="Splits that results/splits.csv compares with training.split; each trains all "
        "runs of the table anew.",
    )
