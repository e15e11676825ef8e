"""Calculators of energies and forces, by name."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from defectpool.errors import DefectpoolError
from defectpool.runtime import registry

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

KEY = "structures.displacements: calculator"


def calculator_maker(name: str, device: str = "cpu") -> "Callable[[], Calculator]":
    """Return a maker of calculators.

    Each structure gets a calculator of its own, so that its result does not depend on those
    before. A machine-learned potential is loaded once.

    Parameters
    ----------
    name
        chgnet, sevennet, or an ASE calculator that needs no arguments as `module:Class` or
        `file.py:Class`.
    device
        cpu or cuda, for chgnet and sevennet.

    Raises
    ------
    DefectpoolError
        If its package is not installed or has no such class.
    """
    if name == "chgnet":
        return _chgnet(device)
    if name == "sevennet":
        return _sevennet(device)
    found: Any = registry.find(name, {}, KEY) if registry.file_of(name) else _imported(name)
    try:
        found()
    except Exception as error:
        raise DefectpoolError(f"{KEY} {name}: {error}; it has to work without arguments") from error
    return lambda: found()


def _imported(name: str) -> Any:
    module, _, word = name.partition(":")
    try:
        return getattr(importlib.import_module(module), word)
    except ImportError as error:
        raise DefectpoolError(f"{KEY} {name}: {error}; install its package") from None
    except AttributeError:
        raise DefectpoolError(f"{KEY} {name}: {module} has no class {word}") from None


def _chgnet(device: str) -> "Callable[[], Calculator]":
    try:
        from chgnet.model import CHGNet
        from chgnet.model.dynamics import CHGNetCalculator
    except ImportError as error:
        raise _missing("chgnet", "relax", error) from None

    class EnergyAndForces(CHGNetCalculator):
        """CHGNet without the stress of the cell, which is fixed and takes half of the time."""

        def calculate(self, *args: Any, **options: Any) -> None:
            super().calculate(*args, **(options | {"task": "ef"}))

    model = CHGNet.load(use_device=device, verbose=False)
    return lambda: EnergyAndForces(model, use_device=device)


def _sevennet(device: str) -> "Callable[[], Calculator]":
    try:
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise _missing("sevennet", "sevennet", error) from None
    return lambda: SevenNetCalculator("7net-l3i5", device=device)


def _missing(name: str, extra: str, error: ImportError) -> DefectpoolError:
    return DefectpoolError(
        f"{KEY} {name} is not installed ({error}); run: pip install 'defectpool[{extra}]'"
    )
