"""Sections of the configuration on hosts and the examples that show them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from defectpool.config.values import Section, Seed, Species, Supercell


class MaterialsSettings(Section):
    """Where the host monolayers come from and which of them are taken."""

    source: Literal["embedded", "database", "files", "optimade"] = Field(
        "embedded",
        description="embedded: textbook monolayers that come with defectpool; database: an ASE "
        "database of C2DB; files: a folder, glob or archive of structure files; "
        "optimade: an OPTIMADE server.",
    )
    path: str | None = Field(
        None, description="Database file, or folder, glob or archive (database, files)."
    )
    url: str = Field(
        "https://c2db.fysik.dtu.dk/optimade",
        pattern=r"^https?://",
        description="Base URL of the OPTIMADE server, without the version (optimade).",
    )
    filter: str = Field(
        "", description="Filter in OPTIMADE's language (optimade), e.g. 'nelements=2'."
    )
    cache: str = Field(
        "results/cache", description="Folder for what OPTIMADE servers sent (optimade)."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Checksum that the source must have (empty: any); see source.json."
    )
    select: str = Field("", description="ASE select expression (database), e.g. 'natoms<=6'.")
    min_atoms: int = Field(
        1, ge=1, le=100_000, description="Smallest number of atoms in the host's cell."
    )
    max_atoms: int | None = Field(
        None, ge=1, le=100_000, description="Largest number of atoms in the host's cell."
    )
    min_species: int = Field(1, ge=1, le=100, description="Smallest number of different elements.")
    max_species: int | None = Field(
        None, ge=1, le=100, description="Largest number of different elements."
    )
    only_elements: list[Species] = Field(
        [], description="Hosts made of these elements alone (empty: any)."
    )
    with_elements: list[Species] = Field([], description="Hosts that contain all of these.")
    without_elements: list[Species] = Field([], description="Hosts that contain none of these.")
    layer_groups: list[
        Annotated[int, Field(ge=1, le=80)] | Annotated[str, Field(pattern=r"^[pc][-0-9abdemn_/]+$")]
    ] = Field([], description="Layer groups, by number (1 to 80) or symbol (empty: any).")
    max_ehull: float | None = Field(
        None,
        ge=-10,
        le=100,
        description="Largest energy above the convex hull in eV/atom; below 0 with respect to bulk "
        "crystals.",
    )
    thermodynamic_stability: Literal["low", "medium", "high"] | None = Field(
        None, description="Least level of thermodynamic stability, as C2DB defines it."
    )
    dynamic_stability: Literal["stable", "not_unstable"] | None = Field(
        None,
        description="stable: hosts known to be dynamically stable; not_unstable: those of which "
        "nothing is known as well.",
    )
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="What becomes of a structure that is there under another id."
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Take a random sample of so many hosts (empty: all), up to 10 million.",
    )
    seed: Seed = Field(0, description="Seed of the random sample.")

    @model_validator(mode="after")
    def _keys_of_the_source(self) -> "MaterialsSettings":
        for key, source in (("select", "database"), ("filter", "optimade")):
            if getattr(self, key) and self.source != source:
                raise ValueError(
                    f"materials.{key} works with source {source} alone, not with {self.source}; "
                    "the other filters work with every source"
                )
        if self.path and self.source not in ("database", "files"):
            raise ValueError(
                f"materials.path is not read with source {self.source}; set materials.source to "
                "database or files"
            )
        for what in ("atoms", "species"):
            least, most = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if most is not None and most < least:
                raise ValueError(
                    f"materials.max_{what} is {most}, less than min_{what}, which is {least}"
                )
        return self


class ExamplesSettings(Section):
    """What `snakemake results/examples` writes and draws."""

    host: str | None = Field(
        None, description="Id of the host that is shown (empty: the first selected host)."
    )
    supercell: Supercell = Field("5x5", description="Supercell in which its defects are shown.")
