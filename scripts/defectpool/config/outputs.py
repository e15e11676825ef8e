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


class RealSettings(Section):
    """Real cells with labels on which networks and lattice are tried (`results/real.csv`)."""

    path: str | None = Field(
        None,
        description="Folder of extended XYZ files (.xyz, .xyz.gz) whose frames have "
        "info['defects'] and info['host']; never trained on.",
    )


class ScanSettings(Section):
    """Structures of one's own in which `snakemake results/scan/structures.csv` finds defects."""

    path: str | None = Field(
        None, description="Folder (with its subfolders), glob, archive, database or file."
    )
    shards: int = Field(
        8,
        ge=1,
        le=4096,
        description="Parts into which the files are split, one job each; 1,000 to 10,000 files a "
        "part make jobs of minutes to an hour. Another number scans all files again.",
    )
    track: bool = Field(
        False,
        description="Frames of the same atoms in a file are a trajectory: follow its defects.",
    )
    models: Annotated[list[str], AfterValidator(unique)] = Field(
        [],
        description="Files model.pt or .safetensors of a campaign, whose networks give a second "
        "opinion.",
    )
    file_bytes: int = Field(
        500_000_000, ge=1, description="Largest file in bytes, after decompression."
    )
    atoms: int = Field(200_000, ge=1, description="Largest structure.")
    seconds: float = Field(
        10.0,
        gt=0,
        description="Longest time in s to read a structure; to analyze it, 1 ms an atom on top.",
    )
    memory: int = Field(
        1_000_000_000, ge=1, description="Memory in bytes that reading a file may take."
    )
