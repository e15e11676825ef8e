"""Sections of the configuration on graphs, networks and their training."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from defectpool.config.values import Section, Seed, Split

# Snakemake passes numbers inside a section of `--config` on as text.
Entries = Annotated[Literal[1, "all"], BeforeValidator(lambda value: 1 if value == "1" else value)]


class GraphSettings(Section):
    """How a structure becomes a crystal graph."""

    radius: float = Field(
        8.0,
        ge=1,
        le=20,
        description="Cutoff radius in Å, 1 to 20: below the length of bonds a graph has no edges, "
        "above there are thousands of neighbors to search.",
    )
    max_neighbors: int | None = Field(
        12,
        ge=1,
        le=1000,
        description="Nearest neighbors of each site that become edges; fewer where there are not "
        "so many within the radius. Empty: all within the radius, for displaced atoms (5 Å has "
        "about 28 of each site).",
    )
    shells: Literal["truncated", "complete"] = Field(
        "truncated",
        description="truncated: exactly max_neighbors, in a fixed order where distances are "
        "equal; complete: all neighbors of the last shell.",
    )
    distance_tolerance: float = Field(
        0.001, gt=0, le=0.05, description="Distances are rounded to this many Å."
    )
    compression: bool = Field(
        True,
        description="Store sites that the network cannot tell apart as one node (exact); where no "
        "site repeats another, as in displaced structures, it costs next to nothing.",
    )


class NetworkSettings(Section):
    """Size of the network (defaults as published)."""

    width: int = Field(
        64,
        ge=1,
        le=1024,
        description="Features of a site; memory grows with their number, to some 2 GB at 1024.",
    )
    n_convolutions: int = Field(3, ge=1, le=20, description="Number of convolutions.")
    hidden: int = Field(128, ge=1, le=65_536, description="Width of the hidden layer.")
    gaussians: int = Field(
        41,
        ge=2,
        le=10_000,
        description="Gaussians of the distance expansion, from 0 Å to the radius.",
    )
    implementation: Literal["fast", "plain"] = Field(
        "fast",
        description="fast: convolutions with gradients written out; plain: the same ones as the "
        "equations read, several times slower, to check against.",
    )


class TrainingSettings(Section):
    """How the network is trained and tested."""

    # Keys that decide where and how runs are trained, and change no result.
    NEUTRAL: ClassVar[frozenset[str]] = frozenset({"device", "memory", "entries_per_job"})

    epochs: int = Field(30, ge=1, le=100_000, description="Passes over the training structures.")
    folds: int = Field(
        5,
        ge=2,
        le=1000,
        description="Folds of hosts; each is the test set once. There must be a formula for each, "
        "and three at least.",
    )
    repeats: int = Field(1, ge=1, le=1000, description="Repetitions with other folds and weights.")
    hosts: int | None = Field(
        None,
        ge=2,
        description="Hosts that each network is trained on, drawn from those of its training set; "
        "a larger number contains each smaller one. Empty: all of them.",
    )
    validation: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="Share of the training formulas that picks the epoch: that up to which the "
        "last five were best. With the pooling sites it also fits the temperature that calibrates "
        "probabilities.",
    )
    split: Split = Field(
        "formula",
        description="What the test has not seen in training: formula (no host of the same "
        "formula), element (no structure with the element), prototype (no host of the same "
        "structure type, nor of the same formula), random (nothing: structures are assigned one by "
        "one, as usual in the field; overestimates accuracy).",
    )
    seed: Seed = Field(0, description="Seed of folds, weights and batches.")
    batch_size: int = Field(
        64,
        ge=2,
        le=1_000_000,
        description="Structures in a batch. On 177 hosts batches of 8 to 32 gave the same accuracy "
        "within its interval, and were slower.",
    )
    learning_rate: float = Field(
        0.01,
        gt=0,
        le=1,
        description="Peak of the one-cycle schedule, at most 1: no training converges beyond. "
        "With batches of 16 or fewer 0.003 was better.",
    )
    weight_decay: float = Field(
        0.01,
        ge=0,
        le=10,
        description="Weight decay of AdamW, at most 10.",
    )
    memory: int | None = Field(
        None,
        ge=1,
        description="Memory in bytes for the edges of a run's graphs, 16 bytes each; more of them "
        "are kept on disk and read for each batch, with the same results (empty: any number).",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU where there is one; cuda without a GPU is an error."
    )
    entries_per_job: Entries = Field(
        1,
        description="Entries of the table that a job trains. all: those of all poolings and "
        "convolutions of a defect and supercell, one after the other on one GPU, which then holds "
        "their graphs once. Same results; profiles/README.md says when it pays.",
    )
