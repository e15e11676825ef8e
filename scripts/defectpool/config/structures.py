"""Section of the configuration on defects and the structures that they are put into."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_serializer

from defectpool.config.displacements import (
    Displacements,
    distinct,
    needs_calculator,
)
from defectpool.config.values import Ascending, Section, Seed, Species

Number = Annotated[int, Field(ge=2, le=5)]
Concentration = Annotated[float, Field(ge=0.01, le=0.4)]
Strain = Annotated[float, Field(gt=-0.5, lt=1)]
Fraction = Annotated[float, Field(gt=0, le=0.5)]


class ComplexesSettings(Section):
    """Complexes: several defects of different types in a cell (`defects: [complex]`)."""

    number: Number | Ascending[Number] = Field(
        (2, 5),
        description="Defects of a complex, 2 to 5, or a pair [low, high] that each complex draws "
        "from.",
    )
    distance: Literal["near", "far", "any"] = Field(
        "any",
        description="near: each defect is within `reach` of another; far: none is; any: each "
        "complex is one or the other.",
    )
    reach: float = Field(
        5.0, ge=1, le=20, description="Distance in Å up to which defects are near each other."
    )


class AlloySettings(Section):
    """Random alloys: two species share the sites of one. The pristine cell is the same alloy."""

    hosts: float = Field(
        0.0, ge=0, le=1, description="Share of the hosts that become random alloys (0: none)."
    )
    fraction: Fraction | Ascending[Fraction] = Field(
        (0.1, 0.5),
        description="Share of the sites of one species that the second one takes, or a pair "
        "[low, high] that each pair of structures draws from.",
    )
    species: list[Species] | Literal["neighbors", "same_group", "any"] = Field(
        "same_group", description="Second species: a list, or a rule as for substitution."
    )


class StructuresSettings(Section):
    """How defects are put into the hosts."""

    choose: Literal["all"] | Annotated[int, Field(ge=1, le=100_000)] = Field(
        1,
        description="Defects of a type that are taken from each host: a number, sampled at random, "
        "or all inequivalent ones.",
    )
    seed: Seed = Field(0, description="Seed of the sample.")
    symprec: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Tolerance of the layer symmetry in Å (C2DB's own is 0.1); spglib can crash "
        "above 1.",
    )
    substitution: list[Species] | Literal["neighbors", "same_group", "any"] = Field(
        ["H", "Li"],
        description="Substituting species: a list, or a rule (neighbors in the periodic table, "
        "same_group, any).",
    )
    interstitial: Annotated[list[Species], Field(min_length=1)] | Literal["any"] = Field(
        ["H", "Li", "Ag", "Br"],
        description="Interstitial species: a list, or any.",
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
    count: int = Field(
        1,
        ge=1,
        le=1000,
        description="Equal defects in a supercell; where they do not fit, the structure is left "
        "out.",
    )
    complexes: ComplexesSettings = ComplexesSettings()
    concentration: Concentration | Ascending[Concentration] = Field(
        (0.01, 0.4),
        description="Share of all sites that are defects where defects: dense is asked for, or a "
        "pair [low, high] that each structure draws from.",
    )
    alloy: AlloySettings = AlloySettings()
    min_image_distance: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Smallest distance in Å between a defect and its periodic image, and between "
        "the equal defects of one supercell (0: any).",
    )
    too_close: Literal["skip", "enlarge"] = Field(
        "skip",
        description="Where images are nearer than that: skip the structure, or enlarge the "
        "supercell without changing its shape.",
    )
    rattle: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Standard deviation in Å of Gaussian displacements along x, y and z, the same "
        "for both structures of a pair (0: none; crystals melt below 1).",
    )
    displacements: Annotated[
        list[Literal["none", "static", "thermal", "relaxed", "dynamics"] | Displacements],
        Field(min_length=1),
        AfterValidator(distinct),
    ] = Field(
        ["none"],
        description="Displacement models, of which each pair draws one: none, static, thermal, "
        "relaxed, dynamics, or {model: static, sigma: 0.02} (Å), {model: thermal, temperature: "
        "300} (K), {model: relaxed, calculator: chgnet, fmax: 0.05, steps: 300} (eV/Å), {model: "
        "dynamics, calculator: chgnet, temperatures: [300], steps: 200, timestep: 2} (K, fs). Each "
        "structure of a pair is displaced in its own way.",
    )
    keep_failed: bool = Field(
        False,
        description="Keep structures that did not converge, rebuilt themselves or lost their "
        "defect; they are left out by default, with their pair.",
    )
    strain: Strain | Ascending[Strain] = Field(
        0.0,
        description="Biaxial strain of the hosts (0.02: 2 % longer a and b), or a pair [low, high] "
        "that each pair of structures draws from.",
    )

    @property
    def displaced(self) -> bool:
        """Whether atoms of most structures are off their sites, so that no site repeats another."""
        return self.rattle > 0 or 2 * self.displacements.count("none") < len(self.displacements)

    @property
    def relaxes(self) -> bool:
        """Whether a displacement model needs a calculator."""
        return any(map(needs_calculator, self.displacements))

    @model_serializer(mode="wrap")
    def _without_what_changes_nothing(self, serialize: Any) -> dict[str, Any]:
        """Leave out what is not asked for: structures made before stay valid."""
        values: dict[str, Any] = serialize(self)
        if values.get("displacements") == ["none"]:
            del values["displacements"]
        if not self.relaxes:
            values.pop("keep_failed", None)
        if values.get("alloy", {}).get("hosts") == 0:
            del values["alloy"]
        return values
