"""Values that several sections of the configuration share, and the base of all sections."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from defectpool.element_symbols import element
from defectpool.runtime import registry
from defectpool.supercell_labels import cells, supercell_label

NETWORK = Path(__file__).parents[1] / "network"

# Cells of the largest supercell that is accepted: 10,000 cells of ten atoms are some seconds and
# 100 MB each. A campaign of larger ones is more likely a slip.
MAX_CELLS = 10_000

# NumPy and torch take seeds of 63 bits.
MAX_SEED = 2**63 - 1

DefectType = Literal["vacancy", "antisite", "substitution", "interstitial", "complex", "dense"]
Split = Literal["formula", "random", "element", "prototype"]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Section(BaseModel):
    """A group of keys; a key that is not listed is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """Make text of `true` and `false` where they are not meant, so that they are refused."""
        if not isinstance(values, dict):
            return values
        flags = {name for name, field in cls.model_fields.items() if field.annotation is bool}
        return {
            name: str(value).lower() if isinstance(value, bool) and name not in flags else value
            for name, value in values.items()
        }


def unique(values: Any) -> Any:
    """Return a list or tuple whose values are all different."""
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        raise ValueError(f"{', '.join(map(str, twice))} is listed twice")
    return values


def _ascending(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return a pair [low, high] whose second number is not the smaller one."""
    if pair[0] > pair[1]:
        raise ValueError("must be a pair [low, high], the smaller number first")
    return pair


T = TypeVar("T")
Ascending = Annotated[tuple[T, T], AfterValidator(_ascending)]


def distinct_labels(names: list[str]) -> list[str]:
    """Return names of poolings or convolutions whose labels are all different."""
    unique([registry.label(name) for name in names])
    return names


def _with_area(label: str) -> str:
    number = cells(label)
    if not number:
        raise ValueError(f"supercell {label} has no area: its rows are parallel")
    if number > MAX_CELLS:
        raise ValueError(f"supercell {label} has {number} cells, more than {MAX_CELLS}")
    return label


def _registered(module: str, decorator: str) -> Callable[[str], str]:
    """Return a check that a name is registered in a module of the network, or is in a file."""

    def check(name: str) -> str:
        path, known = registry.file_of(name), registry.registered(NETWORK / module, decorator)
        if path is None and name not in known:
            raise ValueError(
                f"must be one of {', '.join(known)}, or a file and a function in it, such as "
                f"my_{decorator}s.py:mine"
            )
        if path is not None and registry.label(name) in known:
            raise ValueError(f"{registry.label(name)} is taken; give the function another name")
        if problem := registry.missing(name):
            raise ValueError(problem)
        return name

    return check


Pooling = Annotated[str, AfterValidator(_registered("pooling.py", "pooling"))]
Convolution = Annotated[str, AfterValidator(_registered("convolutions.py", "convolution"))]
Supercell = Annotated[str, BeforeValidator(supercell_label), AfterValidator(_with_area)]
Species = Annotated[str, AfterValidator(element)]
