"""Example structures: CIF and POSCAR files, and pictures of pristine beside defective supercells.

Atoms are drawn as circles in Jmol's colors with 0.45 of their covalent radius, paler with distance;
lines join near neighbors. The window is as wide as the distance between the defect and its nearest
image, so it shows one defect only. The side view is a section: atoms in front of the defect are
left out. A ring marks the defect; it is dashed where there is no atom. A scale bar and the axes a
and b of the supercell are in the view from above.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray

from defectpool.config import DefectType, StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.materials.host import Host
from defectpool.materials.plane_lattice import reduced
from defectpool.runtime.atomic_write import replacing, write_text
from defectpool.structures.build import build_structures
from defectpool.structures.structure_files import DefectStructure, Skipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.patheffects import AbstractPathEffect

MARK = "#D55E00"  # vermilion of Okabe and Ito
SIZE = 0.45  # drawn radius of an atom, in covalent radii
BOND = 1.15  # longest bond, in distances to the nearest neighbor of either atom
BEHIND = 0.3  # Å; how far in front of the defect the section is cut

Pair = tuple[DefectStructure, DefectStructure]


def example_host(hosts: Iterable[Host], wanted: str | None) -> Host:
    """Return the host with an id, or the first one in order of id if none is asked for.

    Raises
    ------
    DefectpoolError
        If there is no such host, or no host at all.
    """
    found = min(
        (host for host in hosts if not wanted or host.id == wanted),
        key=lambda host: host.id,
        default=None,
    )
    if found is None:
        raise DefectpoolError(
            f"examples.host: there is no host {wanted or ''} among those selected; "
            "results/materials/selected.csv lists them, and an empty key takes the first one"
        )
    return found


def write_examples(
    host: Host,
    defects: Sequence[DefectType],
    supercell: str,
    settings: StructuresSettings,
    folder: Path,
) -> list[Skipped]:
    """Write one defect of each type as CIF and POSCAR, and draw them.

    Parameters
    ----------
    host
        The host.
    defects
        Types of defects.
    supercell
        Its label.
    settings
        Section `structures` of the config; the first defect of each type is shown.
    folder
        Gets `<host>_<defect>_<supercell>.cif` and `.vasp` for the defective supercell, the same
        with `_pristine` for the pristine one, and the picture `<host>_<supercell>.svg` and `.png`.

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
    """Write a structure as CIF (space group P1), with 12 decimals.

    The data block is named after host, defect and supercell: `data_1MoS2-1_v_Mo.0_5x5`.
    """
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifWriter

    crystal = AseAtomsAdaptor.get_structure(structure.atoms)
    text = str(CifWriter(crystal, significant_figures=12))
    block = structure.structure.replace(":", "_")
    write_text(path, re.sub(r"^data_.*$", f"data_{block}", text, count=1, flags=re.MULTILINE))


def write_poscar(structure: DefectStructure, path: Path) -> None:
    """Write a structure as POSCAR of VASP 5, sites sorted by species.

    The title is host, defect, supercell and state: `1MoS2-1 v_Mo.0 5x5 defective`.
    """
    from ase.io.vasp import write_vasp

    file = io.StringIO()
    write_vasp(file, structure.atoms, direct=True, sort=True)
    _, _, lines = file.getvalue().partition("\n")  # ASE's own title lists the species
    state = "defective" if structure.label else "pristine"
    write_text(path, f"{structure.pair.replace(':', ' ')} {state}\n{lines}")


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

    half = min(image_distance(pair[1]) for pair in pairs) / 2
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
            block.suptitle(f"({'abcdefgh'[number]}) {title(defective)}", y=0.97)
            for column, structure in enumerate((pristine, defective)):
                axes[0, column].set_title(
                    "defective" if structure.label else "pristine", fontsize=7, pad=2
                )
                view(axes[0, column], structure, half, half, side=False)
                view(axes[1, column], structure, half, thickness / 2, side=True)
                scale_bar(axes[0, column], half)
                _cell_axes(axes[0, column], structure, half)
        legend(foot, pairs, half)
        for path in paths:
            with replacing(path) as temporary:
                metadata = {"Date": None} if path.suffix == ".svg" else None
                figure.savefig(temporary, dpi=300, metadata=metadata)


def image_distance(structure: DefectStructure) -> float:
    """Distance in Å between a defect and its nearest periodic image."""
    return float(np.linalg.norm(reduced(structure.atoms.cell.array[:2])[0]))


def title(structure: DefectStructure) -> str:
    """Type and name of a defect in the notation of the field; a complex has a name for each."""
    names = [name.split("_") for name in structure.name.split("+") if "_" in name]
    text = " + ".join(rf"$\mathrm{{{what}}}_\mathrm{{{where}}}$" for what, where in names)
    words = f"{structure.defect} {text}".strip()
    return f"{words} ({structure.site_type.replace('-', ', ')})" if structure.site_type else words


def view(ax: Axes, structure: DefectStructure, half: float, tall: float, side: bool) -> None:
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


def scale_bar(ax: Axes, half: float) -> None:
    """Draw a bar of 1, 2, 5, 10, ... Å in the lower left corner of a view."""
    length = max(bar for bar in (0.5, 1, 2, 5, 10, 20, 50) if bar <= 0.7 * half or bar == 0.5)
    x, y = -0.92 * half, -0.9 * half
    ax.plot(
        [x, x + length], [y, y], color="black", linewidth=2, solid_capstyle="butt", zorder=5,
        path_effects=_outline(),
    )  # fmt: skip
    ax.text(
        x + length / 2, y + 0.03 * half, f"{length:g} Å", ha="center", va="bottom", fontsize=6,
        zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
    )  # fmt: skip


def _cell_axes(ax: Axes, structure: DefectStructure, half: float) -> None:
    """Draw the directions of a and b of the supercell in the lower right corner of a view."""
    vectors = structure.atoms.cell.array[:2, :2]
    arrows = 0.28 * half * vectors / np.linalg.norm(vectors, axis=1)[:, None]
    low, high = np.minimum(arrows.min(axis=0), 0), np.maximum(arrows.max(axis=0), 0)
    x, y = 0.82 * half - high[0], -0.88 * half - low[1]
    for name, (dx, dy) in zip("ab", arrows.tolist(), strict=True):
        ax.annotate(
            "", (x + dx, y + dy), (x, y), zorder=5,
            arrowprops={"arrowstyle": "-|>", "linewidth": 1.2, "color": "black", "shrinkA": 0,
                        "shrinkB": 0, "mutation_scale": 6, "path_effects": _outline()},
        )  # fmt: skip
        ax.text(
            x + 1.35 * dx, y + 1.35 * dy, name, ha="center", va="center", fontsize=7,
            style="italic", zorder=5, path_effects=_outline(),
        )  # fmt: skip


def _outline() -> list[AbstractPathEffect]:
    """White outline that separates a mark from the atoms behind it."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


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


def legend(figure: SubFigure, pairs: Iterable[Iterable[DefectStructure]], half: float) -> None:
    """Explain the colors of the elements and the ring, and give the width of the window."""
    from matplotlib.lines import Line2D

    numbers = sorted(
        {int(z) for pair in pairs for structure in pair for z in structure.atoms.numbers}
    )
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
