"""Displacement models of the configuration."""

from typing import Literal

from pydantic import Field

from defectpool.config.values import Section


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


Displacements = StaticDisplacements | ThermalDisplacements
