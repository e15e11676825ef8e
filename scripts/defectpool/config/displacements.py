"""Displacement models of the configuration."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from defectpool.config.values import Section, unique

_CALCULATOR = re.compile(r"chgnet|sevennet|[A-Za-z_][\w.]*:[A-Za-z_]\w*|.+\.py:[A-Za-z_]\w*")


def _calculator(name: str) -> str:
    if not _CALCULATOR.fullmatch(name):
        raise ValueError(
            f"calculator must be chgnet, sevennet, module:Class or file.py:Class, not {name}"
        )
    return name


Calculator = Annotated[str, AfterValidator(_calculator)]
CALCULATOR = (
    "chgnet or sevennet (extras of the package), or an ASE calculator that needs no arguments as "
    "module:Class or file.py:Class."
)


class StaticDisplacements(Section):
    """Independent Gaussian displacements of all atoms, as in loosely converged cells."""

    model: Literal["static"] = Field(description="The model.")
    sigma: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Standard deviation in Å along x, y and z: 0.005 to 0.03 in relaxed cells; "
        "crystals melt below 1.",
    )


class ThermalDisplacements(Section):
    """Correlated displacements of a harmonic crystal at a temperature."""

    model: Literal["thermal"] = Field(description="The model.")
    temperature: float = Field(
        300.0,
        gt=0,
        le=3000,
        description="Temperature in K, at most 3000: few crystals are solid beyond.",
    )


class RelaxedDisplacements(Section):
    """Positions of least energy in the fixed cell, by a calculator."""

    model: Literal["relaxed"] = Field(description="The model.")
    calculator: Calculator = Field("chgnet", description=CALCULATOR)
    fmax: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Largest force on an atom in eV/Å that counts as relaxed; above 1 little is.",
    )
    steps: int = Field(300, ge=1, le=100_000, description="Most steps of a relaxation.")


class DynamicsDisplacements(Section):
    """Snapshot of molecular dynamics (Langevin) in the fixed cell, by a calculator."""

    model: Literal["dynamics"] = Field(description="The model.")
    calculator: Calculator = Field("chgnet", description=CALCULATOR)
    temperatures: Annotated[
        tuple[Annotated[float, Field(gt=0, le=3000)], ...],
        Field(min_length=1),
        AfterValidator(unique),
    ] = Field(
        (300.0,),
        description="Temperatures in K, at most 3000, of which each pair of structures draws one.",
    )
    steps: int = Field(200, ge=1, le=100_000, description="Steps before the snapshot.")
    timestep: float = Field(
        2.0,
        gt=0,
        le=10,
        description="Length of a step in fs, at most 10: beyond, no integration is stable. 0.5 for "
        "hydrogen.",
    )


Displacements = Annotated[
    StaticDisplacements | ThermalDisplacements | RelaxedDisplacements | DynamicsDisplacements,
    Field(discriminator="model"),
]

WORDS: dict[str, Displacements] = {
    "static": StaticDisplacements(model="static"),
    "thermal": ThermalDisplacements(model="thermal"),
    "relaxed": RelaxedDisplacements(model="relaxed"),
    "dynamics": DynamicsDisplacements(model="dynamics"),
}


def needs_calculator(model: Displacements | str) -> bool:
    """Whether a displacement model needs a calculator of energies and forces."""
    whole = WORDS.get(model) if isinstance(model, str) else model
    return isinstance(whole, RelaxedDisplacements | DynamicsDisplacements)


def distinct(models: list[Any]) -> list[Any]:
    """Return displacement models of which no two have the same name in a structure."""
    names = [name for model in models for name in _names(model)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"lists {', '.join(twice)} twice; a structure says only the model, its calculator and "
            "its sigma or temperature"
        )
    return models


def _names(model: Displacements | str) -> list[str]:
    match WORDS.get(model, model) if isinstance(model, str) else model:
        case StaticDisplacements(sigma=sigma):
            return [f"static {sigma:g}"]
        case ThermalDisplacements(temperature=temperature):
            return [f"thermal {temperature:g}"]
        case RelaxedDisplacements(calculator=calculator):
            return [f"relaxed {calculator}"]
        case DynamicsDisplacements(calculator=calculator, temperatures=temperatures):
            return [f"dynamics {calculator} {one:g}" for one in temperatures]
        case word:
            return [str(word)]
