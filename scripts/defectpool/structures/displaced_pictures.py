"""Pictures of defects with atoms on their sites, in thermal motion, and relaxed, side by side.

Relaxed ones are drawn where CHGNet is installed. The style is that of
`defectpool.structures.pictures`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from defectpool.config import DefectType, RelaxedDisplacements, StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.materials.host import Host
from defectpool.runtime.atomic_write import replacing
from defectpool.structures.build import build_structures
from defectpool.structures.calculators import calculator_maker
from defectpool.structures.pictures import image_distance, legend, scale_bar, title, view
from defectpool.structures.relaxation import applied, relax
from defectpool.structures.structure_files import DefectStructure

States = dict[str, DefectStructure]


def write_displaced(
    host: Host,
    defects: Sequence[DefectType],
    supercell: str,
    settings: StructuresSettings,
    folder: Path,
) -> list[str]:
    """Draw one defect of each type in all states, as `<host>_<supercell>_displaced`.

    Parameters
    ----------
    host, defects, supercell, settings, folder
        As for `defectpool.structures.pictures.write_examples`.

    Returns
    -------
    list of str
        What could not be relaxed, and why.
    """
    relaxed = RelaxedDisplacements(model="relaxed")
    notes, calculator = [], None
    try:
        calculator = calculator_maker(relaxed.calculator)
    except DefectpoolError as error:
        notes.append(f"no relaxed structures: {error}")
    drawn = []
    for defect in defects:
        states = _states(host, defect, supercell, settings)
        if states and calculator:
            outcome = relax(states["ideal"], relaxed, calculator(), settings.seed)
            states["relaxed"] = applied(states["ideal"], outcome)
            if outcome.reason:
                notes.append(f"{states['ideal'].structure}: {outcome.reason}: {outcome.message}")
        if states:
            drawn.append(states)
    if drawn:
        ends = ("displaced.svg", "displaced.png")
        draw_states(drawn, [folder / f"{host.id}_{supercell}_{end}" for end in ends])
    return notes


def _states(host: Host, defect: DefectType, supercell: str, settings: StructuresSettings) -> States:
    """First defect of a type with atoms on their sites, and in thermal motion."""
    found = {}
    for state, model in (("ideal", "none"), ("thermal, 300 K", "thermal")):
        chosen = settings.model_copy(update={"displacements": [model], "rattle": 0.0})
        structures, _ = build_structures([host], defect, supercell, chosen)
        if structures:
            found[state] = structures[0]
    return found


def draw_states(drawn: Sequence[States], paths: Sequence[Path]) -> None:
    """Draw a row for each defect, from above and from the side, and a column for each state."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    half = min(image_distance(one) for states in drawn for one in states.values()) / 2
    thickness = max(float(np.ptp(states["ideal"].atoms.positions[:, 2])) for states in drawn) + 3
    panel = 1.7  # inches
    strip = panel * thickness / (2 * half)
    rows, columns = len(drawn), max(map(len, drawn))
    height = rows * (panel + strip + 0.3)
    settings: dict[Any, Any] = {
        "svg.hashsalt": "defectpool", "font.family": "DejaVu Sans", "font.size": 8
    }  # fmt: skip
    with mpl.rc_context(settings):
        figure = Figure(figsize=(columns * (panel + 0.1), height + 0.5))
        FigureCanvasAgg(figure)
        both: Any = figure.subfigures(2, 1, height_ratios=[height, 0.5])
        blocks: Any = np.array(both[0].subfigures(rows, 1)).reshape(rows)
        for block, states in zip(blocks, drawn, strict=True):
            axes = block.subplots(
                2, columns, squeeze=False, height_ratios=[panel, strip],
                gridspec_kw={"left": 0.02, "right": 0.98, "bottom": 0.01, "top": 0.86,
                             "wspace": 0.06, "hspace": 0.04},
            )  # fmt: skip
            block.suptitle(title(states["ideal"]), y=0.98)
            for column, (state, structure) in enumerate(states.items()):
                axes[0, column].set_title(state, fontsize=7, pad=2)
                view(axes[0, column], structure, half, half, side=False)
                view(axes[1, column], structure, half, thickness / 2, side=True)
                scale_bar(axes[0, column], half)
        legend(both[1], [tuple(states.values()) for states in drawn], half)
        for path in paths:
            with replacing(path) as temporary:
                metadata = {"Date": None} if path.suffix == ".svg" else None
                figure.savefig(temporary, dpi=300, metadata=metadata)
