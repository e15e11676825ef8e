"""The configuration, typed: every key with its unit, its default and its meaning.

The defaults are the published protocol (Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018),
applied to point defects). `config/config.yaml`, its JSON schema and the table of keys in
`config/README.md` are generated from these types by `python scripts/generate_config.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from defectpool.errors import DefectpoolError
from defectpool.supercells import cells, supercell_label

DefectType = Literal["vacancy", "antisite", "substitution", "interstitial"]
Pooling = Literal["mean", "max", "sum", "softmax", "contrast", "outlier"]
Convolution = Literal["gated", "summed"]
Split = Literal["formula", "random", "element", "prototype"]


def _proper(label: str) -> str:
    if not cells(label):
        raise ValueError(f"supercell {label} has no area: its rows are parallel")
    return label


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError(f"{values} names something twice")
    return values


Supercell = Annotated[str, BeforeValidator(supercell_label), AfterValidator(_proper)]
Species = Annotated[str, Field(pattern=r"^[A-Z][a-z]?$")]


class Section(BaseModel):
    """A group of keys; a key that is not listed is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    min_atoms: int = Field(1, ge=1, description="Smallest number of atoms in the host's cell.")
    max_atoms: int | None = Field(
        None, ge=1, description="Largest number of atoms in the host's cell."
    )
    min_species: int = Field(1, ge=1, description="Smallest number of different elements.")
    max_species: int | None = Field(None, ge=1, description="Largest number of different elements.")
    only_elements: list[Species] = Field(
        [], description="Hosts made of these elements alone (empty: any)."
    )
    with_elements: list[Species] = Field([], description="Hosts that contain all of these.")
    without_elements: list[Species] = Field([], description="Hosts that contain none of these.")
    layer_groups: list[Annotated[int, Field(ge=1, le=80)] | str] = Field(
        [], description="Layer groups, by number (1 to 80) or symbol (empty: any)."
    )
    max_ehull: float | None = Field(
        None, description="Largest energy above the convex hull in eV/atom."
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
        None, ge=1, description="Take a random sample of so many hosts (empty: all)."
    )
    seed: int = Field(0, ge=0, description="Seed of the random sample.")

    @model_validator(mode="after")
    def _keys_of_the_source(self) -> "MaterialsSettings":
        for key, source in (("select", "database"), ("filter", "optimade")):
            if getattr(self, key) and self.source != source:
                raise ValueError(
                    f"materials.{key} works with source {source} alone, not with {self.source}; "
                    "the other filters work with every source"
                )
        return self


class StructuresSettings(Section):
    """How defects are put into the hosts."""

    choose: Literal["all"] | Annotated[int, Field(ge=1)] = Field(
        1,
        description="Defects of a type that are taken from each host: a number, drawn at random, "
        "or all inequivalent ones.",
    )
    seed: int = Field(0, ge=0, description="Seed of the draw.")
    symprec: float = Field(
        0.1, gt=0, description="Tolerance of the layer symmetry in Å (C2DB's own is 0.1)."
    )
    substitution: list[Species] | Literal["neighbors", "same_group"] = Field(
        ["H", "Li"],
        description="Substituting species: a list, or a rule (neighbors in the periodic table, "
        "same_group).",
    )
    interstitial: list[Species] = Field(
        ["H", "Li", "Ag", "Br"], min_length=1, description="Interstitial species."
    )
    interstitial_sites: list[Literal["void", "hollow", "bridge", "adatom"]] = Field(
        ["void", "hollow", "bridge"],
        min_length=1,
        description="Where interstitials sit: void (cage in the layer), hollow (ring of atoms), "
        "bridge (between two atoms), adatom (on the layer).",
    )
    min_separation: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Smallest distance of an interstitial to an atom, as a share of the sum of "
        "covalent radii.",
    )
    count: int = Field(1, ge=1, description="Defects of the same kind in a supercell.")
    min_image_distance: float = Field(
        0.0,
        ge=0,
        description="Smallest distance in Å between a defect and its periodic image, and between "
        "the defects of one supercell (0: any).",
    )
    too_close: Literal["skip", "enlarge"] = Field(
        "skip",
        description="Where images are nearer than that: skip the structure, or enlarge the "
        "supercell without changing its shape.",
    )
    rattle: float = Field(
        0.0,
        ge=0,
        description="Standard deviation in Å of Gaussian displacements along x, y and z, the same "
        "for both twins (0: none).",
    )
    strain: float = Field(
        0.0, gt=-0.5, lt=1, description="Biaxial strain of the hosts (0.02: 2 % longer a and b)."
    )


class GraphSettings(Section):
    """How a structure becomes a crystal graph."""

    radius: float = Field(8.0, gt=0, le=20, description="Cutoff radius in Å.")
    max_neighbors: int = Field(12, ge=1, description="Neighbours kept for each site.")
    ties: Literal["cut", "keep"] = Field(
        "cut",
        description="cut: exactly max_neighbors, in a fixed order where distances are equal; "
        "keep: all of the last shell.",
    )
    resolution: float = Field(
        0.001, gt=0, le=0.05, description="Distances are rounded to this many Å."
    )
    compression: bool = Field(
        True,
        description="Store sites that the network cannot tell apart as one node (exact).",
    )


class NetworkSettings(Section):
    """Size of the network (defaults as published)."""

    width: int = Field(64, ge=1, description="Features of a site.")
    convolutions: int = Field(3, ge=1, description="Number of convolutions.")
    hidden: int = Field(128, ge=1, description="Width of the hidden layer.")
    gaussians: int = Field(
        41, ge=2, description="Gaussians of the distance expansion, from 0 Å to the radius."
    )


class TrainingSettings(Section):
    """How the network is trained and tested."""

    epochs: int = Field(30, ge=1, description="Passes over the training structures.")
    folds: int = Field(5, ge=2, description="Folds of hosts; each is the test set once.")
    repeats: int = Field(1, ge=1, description="Repetitions with other folds and weights.")
    validation: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="Share of the training formulas that picks the epoch: that up to which the "
        "last five were best.",
    )
    split: Split = Field(
        "formula",
        description="What the test has not seen in training: formula (no host of the same "
        "formula), element (no structure with the element), prototype (no host of the same "
        "structure type, nor of the same formula), random (nothing: structures are drawn one by "
        "one, as usual in the field; flatters).",
    )
    seed: int = Field(0, ge=0, description="Seed of folds, weights and batches.")
    batch_size: int = Field(
        64,
        ge=2,
        description="Structures in a batch. On 177 hosts batches of 8 to 32 gave the same accuracy "
        "within its interval, and were slower.",
    )
    learning_rate: float = Field(
        0.01,
        gt=0,
        description="Peak of the one-cycle schedule. With batches of 16 or fewer 0.003 was better.",
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU where there is one; cuda without a GPU is an error."
    )


class ResultsSettings(Section):
    """How predictions become figures."""

    bootstrap: int = Field(
        2000, ge=100, description="Resamples of the hosts behind each 95 % interval."
    )
    splits: Annotated[list[Split], AfterValidator(_unique)] = Field(
        ["random", "element", "prototype"],
        description="Splits that results/splits.csv compares with training.split.",
    )
    test_supercells: Annotated[list[Supercell], AfterValidator(_unique)] = Field(
        ["1x1", "2x2", "3x3", "4x4", "6x6", "8x8", "10x10"],
        description="Supercells that the trained networks are tested on for results/transfer.csv, "
        "besides those that are trained on.",
    )
    test_rattle: Annotated[list[Annotated[float, Field(ge=0)]], AfterValidator(_unique)] = Field(
        [0.0, 0.01, 0.02, 0.05, 0.1],
        min_length=1,
        description="Displacements in Å, as structures.rattle, that the trained networks are "
        "tested on for results/rattle.csv.",
    )


class ExamplesSettings(Section):
    """What `snakemake results/examples` writes and draws."""

    host: str = Field("1MoS2-1", description="Id of the host that is shown.")
    supercell: Supercell = Field("5x5", description="Supercell in which its defects are shown.")


class ScanSettings(Section):
    """Structures of one's own in which `snakemake results/scan/structures.csv` finds defects."""

    path: str | None = Field(
        None, description="Folder (with its subfolders), glob, archive, database or file."
    )
    shards: int = Field(
        8,
        ge=1,
        le=4096,
        description="Parts into which the files are dealt, one job each; 1,000 to 10,000 files a "
        "part make jobs of minutes to an hour. Another number scans all files again.",
    )
    track: bool = Field(
        False,
        description="Frames of the same atoms in a file are a trajectory: follow its defects.",
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


class Config(Section):
    """A campaign: materials x defects x supercells x poolings x convolutions."""

    materials: MaterialsSettings = MaterialsSettings()
    defects: Annotated[list[DefectType], Field(min_length=1), AfterValidator(_unique)] = Field(
        ["vacancy", "antisite", "substitution", "interstitial"], description="Types of defects."
    )
    supercells: Annotated[list[Supercell], Field(min_length=1), AfterValidator(_unique)] = Field(
        ["2x2", "6x6"],
        description="Supercells: nxn, mxn, or a 2 by 2 matrix of whole numbers.",
    )
    structures: StructuresSettings = StructuresSettings()
    examples: ExamplesSettings = ExamplesSettings()
    graph: GraphSettings = GraphSettings()
    poolings: Annotated[list[Pooling], Field(min_length=1), AfterValidator(_unique)] = Field(
        ["mean", "max"], description="Poolings that are compared."
    )
    convolutions: Annotated[list[Convolution], Field(min_length=1), AfterValidator(_unique)] = (
        Field(["gated"], description="Convolutions: gated (eq. 5), summed (eq. 4).")
    )
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    results: ResultsSettings = ResultsSettings()
    scan: ScanSettings = ScanSettings()
    shards: int = Field(
        1,
        ge=1,
        le=4096,
        description="Parts into which the hosts are dealt, one job each for every defect and "
        "supercell; 200 to 300 hosts a part make jobs of minutes.",
    )

    @model_validator(mode="after")
    def _source_has_path(self) -> "Config":
        if self.materials.source in ("database", "files") and not self.materials.path:
            raise ValueError(f"materials.path is missing: source {self.materials.source} needs it")
        return self


def load(raw: dict[str, Any]) -> Config:
    """Check a configuration as read from YAML.

    Raises
    ------
    DefectpoolError
        Lists every key that is unknown or has an impossible value.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "config"
            if problem["type"] == "extra_forbidden":
                lines.append(f"{key}: unknown key; config/README.md lists the known ones")
            else:
                message = problem["msg"].removeprefix("Value error, ")
                lines.append(f"{key}: {message} (got {problem['input']!r})")
        raise DefectpoolError(
            "the configuration cannot be used:\n  " + "\n  ".join(lines)
        ) from None
