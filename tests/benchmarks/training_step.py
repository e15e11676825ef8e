"""Training step: defectpool against cgcnn2's model and torch_geometric's CGConv.

Vacancy pairs of the same hosts, batches of 64, mean pooling, float32, two threads. All
implementations take turns on the same batches, each in a process of its own, as its users run it.
Of the steps on a batch the shortest counts, since other jobs on the machine disturb it least; told
is the mean over batches. (On a busy machine ask for one thread: then processor time is taken, and
no thread waits for another.) A step is all of it, from crystals in memory: the batch is put
together (by cgcnn2's `collate_pool`, torch_geometric's `Batch`, our data set), forward, backward,
optimizer. All run with two settings: numbers below the normal range are 0, since on processors of
Intel the others take up to six times as long with them, and OpenMP's threads rest soon
(`defectpool.runtime.threads`), which makes no difference to the others.

Writes training_step.csv (cells, supercell, implementation, ms_per_graph), training_step.md (ratios,
the distance from the machine's limits, and whether the aims are reached) and training_step.svg and
.png (cost against supercell). Where there is a GPU, training_step_cuda.* tells the same of it: ours
cuts its batches there (`GPUDataset`) and replays captured steps (`CapturedSteps`), the others put
theirs together on the CPU and send them, as their users do.

    python tests/benchmarks/training_step.py --help
    python tests/benchmarks/training_step.py --quick --supercells 2x2,6x6

cells             atoms and neighbors
ideal             atoms on their sites; 12 neighbors within 8 Å, shells cut
disordered        every atom displaced by 0.05 Å; 12 neighbors within 8 Å
disordered_5A     every atom displaced by 0.05 Å; all neighbors within 5 Å

implementation    what it computes on
compressed        ideal cells: each kind of site and message once (the campaign's default)
full              ideal cells: every site and edge (graph.compression: false), compiled sums
defectpool        disordered cells: every site and edge, compiled sums (the campaign's default)
sparse            the same with sparse sums of torch (not on a GPU, where nothing else is)
defectpool_smooth all neighbors within 5 Å: the convolution `smooth`, compiled sums
inference         the network of `defectpool` in evaluation: logits without gradients
cgcnn2            every site and edge: cgcnn2.model.CrystalGraphConvNet
pyg_cgconv        every site and edge: torch_geometric.nn.CGConv with batch norm, same sizes

cgcnn2 takes the same number of neighbors at every site. Where all neighbors within 5 Å are asked
for, it is given the nearest M of each site, M being the mean number of neighbors, rounded: as many
messages as the others have, give or take the rounding (a column of the report counts them). Sites
with fewer get its own padding.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from machine_limits import limits
from numpy.typing import NDArray
from step_implementations import OTHERS, OURS, Load, Rows, Task, serve
from step_report import plot, report
from structure_to_graph import ROOT, hosts

from defectpool.config import GraphSettings, StructuresSettings
from defectpool.graphs.graph_set import GraphSet, graph_set
from defectpool.runtime.atomic_write import replacing
from defectpool.structures.build import build_structures

HOSTS, BATCH, ROUNDS = 64, 64, 3
SUPERCELLS = ("2x2", "4x4", "6x6", "8x8", "12x12")
TURNS = {"2x2": 8, "4x4": 6, "6x6": 5, "8x8": 3}  # beyond: 2
# Imported once, by the process that the others are forked from.
PRELOAD = {"cgcnn2": ["cgcnn2.data", "cgcnn2.model"], "pyg_cgconv": ["torch_geometric.nn"]}


@dataclass(frozen=True)
class Cells:
    """Structures and graphs, and the implementations that are measured on them."""

    structures: StructuresSettings
    graphs: GraphSettings
    implementations: tuple[str, ...]


DISPLACED = StructuresSettings(displacements=[{"model": "static", "sigma": 0.05}])
CELLS = {
    "ideal": Cells(StructuresSettings(), GraphSettings(), ("compressed", "full", *OTHERS)),
    "disordered": Cells(DISPLACED, GraphSettings(), ("defectpool", "sparse", "inference", *OTHERS)),
    "disordered_5A": Cells(
        DISPLACED,
        GraphSettings(radius=5.0, max_neighbors=None),
        ("defectpool", "defectpool_smooth", "inference", *OTHERS),
    ),
}


@dataclass(frozen=True)
class Effort:
    """How long to measure: batches, seconds that a turn takes at least, most turns.

    The batches of a turn come one after the other as in a training; the first step finds cold
    caches.
    """

    batches: int = 5
    seconds: float = 3.0
    most_turns: int = 8

    def turns(self, supercell: str) -> int:
        """Return how often each implementation has its turn."""
        return min(self.most_turns, TURNS.get(supercell, 2))


QUICK = Effort(batches=2, seconds=0.5, most_turns=2)


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    supercells: tuple[str, ...]
    cells: tuple[str, ...]
    implementations: tuple[str, ...]
    threads: int
    effort: Effort

    def of(self, cells: str, device: torch.device) -> list[str]:
        """Return the implementations to measure on some cells."""
        left_out = {"sparse"} if device.type == "cuda" else set()
        wanted = set(self.implementations) - left_out
        return [name for name in CELLS[cells].implementations if name in wanted]


def graphs_of(cells: Cells, supercell: str) -> tuple[GraphSet, GraphSet]:
    """Graphs with every site and edge, and those that the campaign makes."""
    structures = build_structures(hosts(HOSTS), "vacancy", supercell, cells.structures)[0]
    full = cells.graphs.model_copy(update={"compression": False})
    return tuple(graph_set(structures, each, ROUNDS) for each in (full, cells.graphs))


def batches_of(full: GraphSet, count: int) -> list[Rows]:
    """Random batches of graphs whose sites have as many neighbors as they are to have."""
    usable, wanted = np.arange(len(full)), full.settings["max_neighbors"]
    if wanted:  # cgcnn2 invents neighbors for others
        usable = np.flatnonzero(edges_of(full) == wanted * np.diff(full.node_offset))
    random = np.random.default_rng(0)
    return [random.permutation(usable)[:BATCH] for _ in range(count)]


def edges_of(full: GraphSet) -> NDArray[np.integer]:
    """Edges of each graph."""
    return np.add.reduceat(full.edge_multiplicity, full.edge_offset[:-1])


def measure(tasks: Sequence[Task], batches: list[Rows], turns: int, seconds: float) -> dict:
    """Milliseconds a graph of each implementation, and its load."""
    context = get_context("forkserver")  # threads of torch do not survive a fork of this process
    ends, workers = {}, []
    for task in tasks:
        ends[task.name], other = context.Pipe()
        workers.append(context.Process(target=serve, args=(other, task), daemon=True))
        workers[-1].start()
        other.close()  # a worker that ends early is noticed
    times = {name: np.full(len(batches), np.inf) for name in ends}
    for _ in range(turns):
        for name, end in ends.items():
            end.send((batches, seconds))
            np.minimum(times[name], end.recv(), out=times[name])
    found = {}
    for (name, end), worker in zip(ends.items(), workers, strict=True):
        end.send(None)
        found[name] = 1e3 * float(times[name].mean()) / len(batches[0]), end.recv()
        worker.join()
    return found


def rows_of(cells: str, supercell: str, device: torch.device, options: Options) -> pd.DataFrame:
    """Measure all implementations on some cells of a size: a row for each."""
    full, stored = graphs_of(CELLS[cells], supercell)
    batches = batches_of(full, options.effort.batches)
    measured = np.concatenate(batches)
    sites = np.diff(full.node_offset)[measured].mean()
    neighbors = round(edges_of(full)[measured].mean() / sites)
    tasks = [
        Task(
            name,
            stored if name in OURS and name != "full" else full,
            neighbors,
            device,
            options.threads,
        )
        for name in options.of(cells, device)
    ]
    turns, seconds = options.effort.turns(supercell), options.effort.seconds
    found: dict[str, tuple[float, Load]] = measure(tasks, batches, turns, seconds)
    print(cells, supercell, {name: round(ms, 3) for name, (ms, _) in found.items()}, flush=True)
    rows = [
        (cells, supercell, name, round(ms, 4), sites, neighbors, load)
        for name, (ms, load) in found.items()
    ]
    columns = ["cells", "supercell", "implementation", "ms_per_graph", "sites", "neighbors", "load"]
    return pd.DataFrame(rows, columns=columns)


def compare(device: torch.device, options: Options, stem: Path) -> None:
    """Measure all cells on a device; write table, report and plot."""
    chosen = [cells for cells in options.cells if options.of(cells, device)]
    table = pd.concat(
        [rows_of(cells, size, device, options) for cells in chosen for size in options.supercells]
    )
    with replacing(stem.with_suffix(".csv")) as path:
        table.iloc[:, :4].to_csv(path, index=False, lineterminator="\n")
    source = f"{HOSTS} hosts from {hosts(1)[0].source}, batch {BATCH}"
    text = report(table, limits(device, options.threads), source, device, options.threads)
    with replacing(stem.with_suffix(".md")) as path:
        path.write_text(text, encoding="utf-8")
    plot(table, stem)
    print(text)


class Words(click.ParamType):
    """Words with commas between them, each of which has to be known or to match."""

    name = "words"

    def __init__(self, known: Iterable[str] = (), pattern: str = "") -> None:
        self.known, self.pattern = tuple(known), pattern

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split them; no word twice."""
        words = tuple(dict.fromkeys(value.split(",")))
        for word in words:
            if word not in self.known and not (self.pattern and re.fullmatch(self.pattern, word)):
                expected = ", ".join(self.known) or "such as 6x6"
                self.fail(f"{word!r} is not known: {expected}", param, ctx)
        return words


@click.command(help=(__doc__ or "").split("\n")[0], context_settings={"show_default": True})
@click.argument(
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "results" / "benchmarks",
)
@click.option(
    "--supercells",
    type=Words(pattern=r"([1-9]\d*)x\1"),
    default=",".join(SUPERCELLS),
    help="Sizes, n repetitions along both vectors in the plane.",
)
@click.option("--cells", type=Words(CELLS), default=",".join(CELLS), help="Kinds of cells.")
@click.option(
    "--implementations",
    type=Words((*OURS, *OTHERS)),
    default=",".join((*OURS, *OTHERS)),
    help="What is measured, where the cells have it.",
)
@click.option("--threads", type=click.IntRange(1), default=2, help="Threads of each.")
@click.option("--quick", is_flag=True, help="Fewer and shorter turns: two minutes, rough figures.")
def main(
    folder: Path,
    supercells: tuple[str, ...],
    cells: tuple[str, ...],
    implementations: tuple[str, ...],
    threads: int,
    quick: bool,
) -> None:
    """Compare on the CPU, and on a GPU if there is one."""
    warnings.simplefilter("ignore")
    effort = QUICK if quick else Effort()
    options = Options(supercells, cells, implementations, threads, effort)
    if not any(options.of(each, torch.device("cpu")) for each in cells):
        raise click.UsageError("none of these implementations is measured on these cells")
    folder.mkdir(parents=True, exist_ok=True)
    modules = [module for name in implementations for module in PRELOAD.get(name, ())]
    get_context("forkserver").set_forkserver_preload(modules)
    compare(torch.device("cpu"), options, folder / "training_step")
    if torch.cuda.is_available():
        compare(torch.device("cuda"), options, folder / "training_step_cuda")


if __name__ == "__main__":
    main()
