"""Structures to look at: CIF and POSCAR files, and pristine beside defective from two sides.

Atoms are drawn as circles in Jmol's colors, 0.45 covalent radii wide, the farther the paler; lines
join near neighbors. A window as wide as the distance between the defect's images shows one defect
and no second one. The side view is a section: what lies in front of the defect is left out. A ring
marks the defect, dashed where there is no atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray

from defectpool.config import DefectType, StructuresSettings
from defectpool.materials.host import Host
from defectpool.materials.plane_lattice import reduced
from defectpool.runtime.atomic_write import replacing, write_text
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import DefectStructure, Skipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

MARK = "#D55E00"  # vermilion of Okabe and Ito
SIZE = 0.45  # drawn radius of an atom, in covalent radii
BOND = 1.15  # longest bond, in distances to the nearest neighbor of either atom
BEHIND = 0.3  # Å; how far in front of the defect the section is cut

Pair = tuple[DefectStructure, DefectStructure]


def write_examples(
    host: Host,
    defects: Sequence[DefectType],
    supercell: str,
    settings: StructuresSettings,
    folder: Path,
) -> list[Skipped]:
    """Write one defect of each type as CIF and POSCAR, and draw them all.

    Parameters
    ----------
    host
        The host.
    defects
        Types of defects.
    supercell
        Its label.
    settings
        Section `structures` of the config; of each type the first defect that it draws is shown.
    folder
        Gets `<host>_<defect>_<supercell>.cif` and `.vasp` for the defective supercell, the same with
        `_pristine` for the pristine one, and the drawing `<host>_<supercell>.svg` and `.png`.

    Returns
    -------
    list of Skipped
        The types that this host does not have, with the reason.
    """
    pairs: list[Pair] = []
    left_out: list[Skipped] = []
    for defect in defects:
        structures, skipped = build_structures([host], defect, supercell, settings)
        left_out += skipped
        if structures:
            pairs.append((structures[0], structures[1]))
    folder.mkdir(parents=True, exist_ok=True)
    for pair in pairs:
        for structure in pair:
            end = "" if structure.label else "_pristine"
            name = structure.pair.replace(":", "_") + end
            write_cif(structure, folder / f"{name}.cif")
            write_poscar(structure, folder / f"{name}.vasp")
    if pairs:
        draw(pairs, [folder / f"{host.id}_{supercell}{end}" for end in (".svg", ".png")])
    return left_out


def write_cif(structure: DefectStructure, path: Path) -> None:
    """Write a structure as CIF (space group P1), with 12 decimals."""
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifWriter

    crystal = AseAtomsAdaptor.get_structure(structure.atoms)
    write_text(path, str(CifWriter(crystal, significant_figures=12)))


def write_poscar(structure: DefectStructure, path: Path) -> None:
    """Write a structure as POSCAR of VASP 5, sites sorted by species."""
    from ase.io.vasp import write_vasp

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write_vasp(file, structure.atoms, direct=True, sort=True)


def draw(pairs: Sequence[Pair], paths: Sequence[Path]) -> None:
    """Draw pristine beside defective supercells, from above and from the side.

    Parameters
    ----------
    pairs
        Defective and pristine supercell, at most four or so for one page.
    paths
        Files to write; the suffix (.svg, .png, .pdf) decides the format.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    half = min(_image_distance(pair[1]) for pair in pairs) / 2
    thickness = max(float(np.ptp(pair[0].atoms.positions[:, 2])) for pair in pairs) + 3
    rows, columns = (len(pairs) + 1) // 2, min(len(pairs), 2)
    panel = 1.7  # inches
    strip = panel * thickness / (2 * half)
    height = rows * (panel + strip + 0.42) + 0.5
    settings: dict[Any, Any] = {
        "svg.hashsalt": "defectpool",
        "font.family": "DejaVu Sans",
        "font.size": 8,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(columns * (2 * panel + 0.25), height))
        FigureCanvasAgg(figure)
        both: Any = figure.subfigures(2, 1, height_ratios=[height - 0.5, 0.5])
        drawing, foot = both
        blocks = np.array(drawing.subfigures(rows, columns)).reshape(rows, columns)
        for number, pair in enumerate(pairs):
            block = blocks[number // columns, number % columns]
            axes = block.subplots(
                2,
                2,
                height_ratios=[panel, strip],
                gridspec_kw={
                    "left": 0.02, "right": 0.98, "bottom": 0.01, "top": 0.86,
                    "wspace": 0.06, "hspace": 0.04,
                },
            )  # fmt: skip
            defective, pristine = pair
            block.suptitle(f"({'abcdefgh'[number]}) {_title(defective)}", y=0.97)
            for column, twin in enumerate((pristine, defective)):
                axes[0, column].set_title(
                    "defective" if twin.label else "pristine", fontsize=7, pad=2
                )
                _view(axes[0, column], twin, half, half, side=False)
                _view(axes[1, column], twin, half, thickness / 2, side=True)
        _legend(foot, pairs, half)
        for path in paths:
            with replacing(path) as temporary:
                metadata = {"Date": None} if path.suffix == ".svg" else None
                figure.savefig(temporary, dpi=300, metadata=metadata)


def _image_distance(structure: DefectStructure) -> float:
    return float(np.linalg.norm(reduced(structure.atoms.cell.array[:2])[0]))


def _title(structure: DefectStructure) -> str:
    what, where = structure.name.split("_")
    title = rf"{structure.defect} $\mathrm{{{what}}}_\mathrm{{{where}}}$"
    return f"{title} ({structure.kind.replace('-', ', ')})" if structure.kind else title


def _view(ax: Axes, structure: DefectStructure, half: float, tall: float, side: bool) -> None:
    """Draw atoms and bonds around the defect, seen along -z or, from the side, along +y."""
    from matplotlib.collections import EllipseCollection, LineCollection

    points, numbers = _window(structure, half + 2)
    heights = structure.atoms.positions[:, 2]
    middle = float(heights.min() + heights.max()) / 2
    points[:, 2] -= middle
    if side:
        kept = (points[:, 1] > -BEHIND) & (points[:, 1] < half)
        points, numbers = points[kept], numbers[kept]
        flat, depth = points[:, [0, 2]], -points[:, 1]
        target = np.array([0.0, structure.position[2] - middle])
    else:
        flat, depth = points[:, :2], points[:, 2]
        target = np.zeros(2)
    order = np.argsort(depth, kind="stable")
    points, numbers, flat, depth = points[order], numbers[order], flat[order], depth[order]
    radii = covalent_radii[numbers]
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(axis=1)
    bonded = distances < BOND * np.maximum(nearest[:, None], nearest)
    bonded &= distances < 1.3 * (radii[:, None] + radii)
    first, second = np.nonzero(np.triu(bonded, 1))
    behind = (depth.max() - depth) / max(float(np.ptp(depth)), 1.0)
    colors = jmol_colors[numbers]
    fog = (0.65 if side else 0.5) * behind[:, None]
    colors = colors * (1 - fog) + fog
    ax.add_collection(
        LineCollection(
            list(np.stack([flat[first], flat[second]], axis=1)),
            colors="0.45",
            linewidths=1.0,
            zorder=1,
        )
    )
    ax.add_collection(
        EllipseCollection(
            2 * SIZE * radii, 2 * SIZE * radii, np.zeros(len(radii)), units="xy", offsets=flat,
            offset_transform=ax.transData, facecolors=colors, edgecolors="0.15", linewidths=0.5,
            zorder=2,
        )
    )  # fmt: skip
    there = structure.defect_site >= 0
    who = [atomic_numbers[s] for s in (structure.species, structure.replaced) if s]
    ring = SIZE * max(0.9, *covalent_radii[who])
    ax.add_collection(
        EllipseCollection(
            [2 * ring + 0.7], [2 * ring + 0.7], [0], units="xy", offsets=[target],
            offset_transform=ax.transData, facecolors="none", edgecolors=MARK, linewidths=1.5,
            linestyles="solid" if there else (0, (2, 1.2)), zorder=3,
        )
    )  # fmt: skip
    ax.set(xlim=(-half, half), ylim=(-tall, tall), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(linewidth=0.5, color="0.6")


def _window(
    structure: DefectStructure, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Atoms and images within a square around the defect; x and y are relative to it."""
    atoms = structure.atoms
    relative = atoms.positions - [*structure.position[:2], 0]
    shifts = np.array([(i, j) for i in range(-3, 4) for j in range(-3, 4)]) @ atoms.cell.array[:2]
    points = (relative[:, None] + shifts).reshape(-1, 3)
    numbers = np.repeat(atoms.numbers, len(shifts))
    inside = np.all(np.abs(points[:, :2]) <= reach, axis=1)
    return points[inside], numbers[inside]


def _legend(figure: SubFigure, pairs: Sequence[Pair], half: float) -> None:
    """Say which color is which element, what the ring means, and how wide the window is."""
    from matplotlib.lines import Line2D

    numbers = sorted({int(z) for pair in pairs for twin in pair for z in twin.atoms.numbers})
    handles = [
        Line2D(
            [], [], marker="o", linestyle="", markersize=4 + 3 * covalent_radii[z],
            markerfacecolor=jmol_colors[z], markeredgecolor="0.15", markeredgewidth=0.5,
            label=chemical_symbols[z],
        )
        for z in numbers
    ]  # fmt: skip
    handles.append(
        Line2D(
            [], [], marker="o", linestyle="", markersize=9, markerfacecolor="none",
            markeredgecolor=MARK, label="defect",
        )
    )  # fmt: skip
    figure.legend(
        handles=handles, loc="center", ncols=len(handles), frameon=False, handletextpad=0.2,
        columnspacing=1.2, title=f"window {2 * half:.1f} Å wide",
        title_fontsize=7,
    )  # fmt: skip
