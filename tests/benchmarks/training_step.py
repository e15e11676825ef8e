"""Training step: defectpool against cgcnn2's model and torch_geometric's CGConv.

Vacancy pairs of the same hosts, batches of 64, 12 neighbors, shells cut, mean pooling, float32, two
threads. All implementations take turns on the same batches, each in a process of its own, as its
users run it. Of the steps on a batch the shortest counts, since other jobs on the machine disturb
it least; told is the mean over batches.
(On a busy machine ask for one thread: then processor time is taken, and no thread waits for
another.) A step is all of it, from crystals in memory: the batch is put together (by cgcnn2's
`collate_pool`, torch_geometric's `Batch`, our `CPUDataset`), forward, backward, optimizer.

Writes training_step.csv (supercell, implementation, ms_per_graph), training_step.md (ratios, and
the distance from the machine's limit) and training_step.svg and .png (cost against supercell).
Where there is a GPU, training_step_cuda.* tells the same of it: ours cuts its batches there
(`GPUDataset`) and replays captured steps (`CapturedSteps`), the others put theirs together on the
CPU and send them, as their users do.

    python tests/benchmarks/training_step.py [folder [threads]]

implementation    what it computes on
compressed        each kind of site and message once (the campaign's default)
full              every site and edge (graph.compression: false), by the same code
cgcnn2            every site and edge: cgcnn2.model.CrystalGraphConvNet
pyg_cgconv        every site and edge: torch_geometric.nn.CGConv with batch norm, same sizes
"""

import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from cgcnn2.data import collate_pool
from cgcnn2.model import CrystalGraphConvNet
from numpy.typing import NDArray
from structure_to_graph import hosts, vacancies
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.data import Batch, Data
from torch_geometric.nn import CGConv, global_mean_pool

from defectpool.batching.dataset import dataset_on
from defectpool.batching.expansion import gaussian_expansion
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.config import GraphSettings, NetworkSettings
from defectpool.graphs.elements import feature_table
from defectpool.graphs.graph_set import GraphSet, graph_set
from defectpool.network.initial import initial_network
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.memory import keep_memory
from defectpool.training.cuda_graphs import CapturedSteps
from defectpool.training.device import describe
from defectpool.training.step import train_step

ROOT = Path(__file__).resolve().parents[2]
TURNS = {"2x2": 8, "4x4": 6, "6x6": 5, "8x8": 3, "12x12": 2}
STEPS = 5  # batches, one after the other as in a training; the first step finds cold caches
TURN = 3.0  # seconds that a turn takes at least
HOSTS, BATCH, THREADS, NEIGHBORS = 64, 64, 2, 12
IMPLEMENTATIONS = ["compressed", "full", "cgcnn2", "pyg_cgconv"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """One full graph, from which the samples of the other implementations are made."""

    features: Tensor
    source: Tensor
    target: Tensor
    expanded: Tensor
    label: Tensor

    def cgcnn2(self) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, str]:
        """Return a sample as cgcnn2's data class gives it: 12 neighbors of each site."""
        n = len(self.features)
        graph = (self.features, self.expanded.view(n, NEIGHBORS, -1), self.source.view(n, -1))
        return graph, self.label, ""

    def pyg(self) -> Data:
        """Return a sample as users of torch_geometric make it."""
        edges = torch.stack([self.source, self.target])
        return Data(x=self.features, edge_index=edges, edge_attr=self.expanded, y=self.label)


def crystal(graphs: GraphSet, number: int) -> Crystal:
    """Take one of the full graphs, every edge as often as it occurs."""
    nodes = np.arange(*graphs.node_offset[number : number + 2])
    edges = np.arange(*graphs.edge_offset[number : number + 2])
    edges = np.repeat(edges, graphs.edge_multiplicity[edges])
    distances = torch.from_numpy(graphs.distances[graphs.edge_distance[edges]]).float()
    return Crystal(
        torch.from_numpy(feature_table()[graphs.atomic_number[nodes]]),
        torch.from_numpy(graphs.source[edges].astype(np.int64)),
        torch.from_numpy(graphs.target[edges].astype(np.int64)),
        gaussian_expansion(distances, 8.0, 41),
        torch.tensor([graphs.label[number]], dtype=torch.float32),
    )


class CGConvNetwork(nn.Module):
    """The same sizes with torch_geometric's convolution, as its users put them together."""

    def __init__(self, size: NetworkSettings) -> None:
        super().__init__()
        self.embedding = nn.Linear(92, size.width)
        self.convs = nn.ModuleList(
            CGConv(size.width, dim=size.gaussians, batch_norm=True)
            for _ in range(size.n_convolutions)
        )
        self.hidden = nn.Linear(size.width, size.hidden)
        self.out = nn.Linear(size.hidden, 1)

    def forward(self, batch: Data) -> Tensor:
        """Return logits."""
        x = self.embedding(batch.x)
        for conv in self.convs:
            x = conv(x, batch.edge_index, batch.edge_attr)
        pooled = global_mean_pool(x, batch.batch)
        return self.out(F.softplus(self.hidden(F.softplus(pooled)))).squeeze(1)


def clock(device: torch.device, threads: int) -> float:
    """Return seconds, once the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.process_time() if device.type == "cpu" and threads == 1 else time.perf_counter()


class Traffic(TorchDispatchMode):
    """Adds up the bytes that torch's operations read and write while it is entered."""

    NOTHING = ("empty", "new_empty", "empty_like", "empty_strided")
    # operations that read some rows of a table, and where their arguments have the numbers of these
    GATHER = MappingProxyType({"index_select": 2, "embedding_bag": 1})

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation and count its inputs and outputs."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.name().split("::")[1].split(".")[0]
        if not func.is_view and name not in self.NOTHING:
            read, written = (
                [one for one in tree_leaves(tree) if isinstance(one, Tensor)]
                for tree in ((args, kwargs), result)
            )
            for gather, index in self.GATHER.items():
                if gather in name and "backward" not in name:
                    table, rows = args[0], args[index].numel()
                    self.bytes += rows * table[:1].nbytes - held(table)
            self.bytes += sum(held(one) for one in (*read, *written))
        return result


def held(tensor: Tensor) -> int:
    """Bytes of a tensor's distinct numbers: a dimension that repeats one number counts once."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.itemsize * math.prod(size for size, stride in sizes if stride)


def implementation(
    name: str, graphs: GraphSet, device: torch.device, threads: int, *, capture: bool = True
) -> Callable[[Rows], object]:
    """Return what takes a training step on some graphs; ours on a GPU captured, or not."""
    torch.set_num_threads(threads)
    size = NetworkSettings()
    network: nn.Module
    forward: Callable[[Rows], tuple[Tensor, Tensor]]
    if name in ("compressed", "full"):
        keep_memory()
        dataset = dataset_on(device, graphs, size.n_convolutions, size.gaussians)
        ours = network = initial_network("mean", "gated", size, 8.0, 0).to(device)

        captured = None
        if capture and device.type == "cuda" and isinstance(dataset, GPUDataset):
            captured = CapturedSteps(ours, dataset)

        def step(rows: Rows) -> None:
            if captured is None:
                train_step(ours, optimizer, dataset, rows)
            else:
                captured(rows)
                optimizer.step()

    else:
        crystals = [crystal(graphs, number) for number in range(len(graphs))]
        if name == "cgcnn2":
            network = CrystalGraphConvNet(92, size.gaussians, size.width, 3, size.hidden)
            published = network.to(device)
            samples = [one.cgcnn2() for one in crystals]

            def forward(rows: Rows) -> tuple[Tensor, Tensor]:
                inputs, label, _ = collate_pool([samples[row] for row in rows])
                *tensors, sites = inputs
                tensors = [tensor.to(device) for tensor in tensors]
                return published(*tensors, [s.to(device) for s in sites])[0], label.to(device)

        else:
            data = [one.pyg() for one in crystals]
            network = CGConvNetwork(size).to(device)

            def forward(rows: Rows) -> tuple[Tensor, Tensor]:
                batch = Batch.from_data_list([data[row] for row in rows]).to(device)
                return network(batch), batch.y

        def step(rows: Rows) -> None:
            optimizer.zero_grad(set_to_none=True)
            output, label = forward(rows)
            F.binary_cross_entropy_with_logits(output.view(-1), label.view(-1)).backward()
            optimizer.step()

    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    return step


def serve(end: Connection, name: str, graphs: GraphSet, device: torch.device, threads: int) -> None:
    """Take steps on the batches that are sent, tell the shortest on each, until None comes.

    Then tell the bytes that torch's operations move in a step.
    """
    step = implementation(name, graphs, device, threads)

    def timed(rows: Rows) -> float:
        begin = clock(device, threads)
        step(rows)
        return clock(device, threads) - begin

    seen: list[Rows] = []
    while (batches := end.recv()) is not None:
        seen = batches
        passes = [[timed(rows) for rows in batches]]
        while np.sum(passes) < TURN:
            passes.append([timed(rows) for rows in batches])
        end.send(np.min(passes, axis=0).tolist())
    plain = implementation(name, graphs, device, threads, capture=False)
    with Traffic() as traffic:
        for rows in seen:
            plain(rows)
    end.send(traffic.bytes / len(seen))


@dataclass(frozen=True)
class Load:
    """What one graph amounts to: its sites, and for each implementation messages and bytes."""

    sites: float
    messages: dict[str, float]
    bytes: dict[str, float]


def measure(
    supercell: str, turns: int, device: torch.device, threads: int
) -> tuple[dict[str, float], Load]:
    """Milliseconds a graph of each implementation; and what a batch of each holds."""
    structures = vacancies(supercell, hosts(HOSTS))
    full = graph_set(structures, GraphSettings(compression=False), 3)
    graphs = dict.fromkeys(IMPLEMENTATIONS, full)
    graphs["compressed"] = graph_set(structures, GraphSettings(), 3)
    edges = np.add.reduceat(full.edge_multiplicity, full.edge_offset[:-1])
    sites = np.diff(full.node_offset)
    usable = np.flatnonzero(edges == NEIGHBORS * sites)  # cgcnn2 invents neighbors for others
    context = get_context("spawn")  # threads of torch do not survive a fork
    ends, workers = {}, []
    for name in IMPLEMENTATIONS:
        ends[name], other = context.Pipe()
        worker = context.Process(target=serve, args=(other, name, graphs[name], device, threads))
        worker.start()
        workers.append(worker)
    random = np.random.default_rng(0)
    batches = [random.permutation(usable)[:BATCH] for _ in range(STEPS)]
    times = {name: np.full(STEPS, np.inf) for name in IMPLEMENTATIONS}
    for _ in range(turns):
        for name in IMPLEMENTATIONS:
            ends[name].send(batches)
            np.minimum(times[name], ends[name].recv(), out=times[name])
    load = Load(float(sites[usable].mean()), {}, {})
    for (name, end), worker in zip(ends.items(), workers, strict=True):
        end.send(None)
        load.bytes[name] = end.recv() / BATCH
        worker.join()
        dataset = dataset_on(device, graphs[name], 3, 41)
        layers = [layer for rows in batches for layer in dataset.batch(rows).layers]
        load.messages[name] = sum(layer.messages for layer in layers) / len(batches) / BATCH
    return {name: 1e3 * float(each.mean()) / BATCH for name, each in times.items()}, load


def bandwidth(device: torch.device, threads: int) -> float:
    """Bytes a second that the device moves, read and written, in a large copy."""
    torch.set_num_threads(threads)
    source = torch.zeros(64 * 1024**2, device=device)
    target = torch.empty_like(source)
    best = np.inf
    for _ in range(5):
        begin = clock(device, threads)
        target.copy_(source)
        best = min(best, clock(device, threads) - begin)
    return 2 * source.nbytes / best


# The least there is for a message of one convolution if nothing were computed twice, in bytes: its
# two gates of 64 numbers are written once and read once forward, and so are their gradients.
LEAST = 4 * 2 * 64 * 4


def report(table: pd.DataFrame, loads: dict[str, Load], device: torch.device, threads: int) -> str:
    """Return ratios and the distance from the machine's limit, as Markdown."""
    wide = table.pivot(index="supercell", columns="implementation", values="ms_per_graph")
    wide = wide.loc[list(dict.fromkeys(table.supercell)), IMPLEMENTATIONS]
    lines = [
        "# Training step",
        "",
        f"Vacancy pairs of {HOSTS} hosts from {hosts(1)[0].source}, batch {BATCH}, {NEIGHBORS} "
        f"neighbors, shells cut, {describe(device)}, {threads} thread(s), torch "
        f"{torch.__version__}; milliseconds a graph, the shortest step on each batch.",
        "",
        "| supercell | sites | compressed | full | cgcnn2 | pyg_cgconv | cgcnn2 / compressed "
        "| pyg_cgconv / compressed | cgcnn2 / full |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for supercell, row in wide.iterrows():
        lines.append(
            f"| {supercell} | {loads[str(supercell)].sites:.0f} | {row.compressed:.3f} | "
            f"{row.full:.3f} | {row.cgcnn2:.2f} | {row.pyg_cgconv:.2f} | "
            f"{row.cgcnn2 / row.compressed:.0f} | {row.pyg_cgconv / row.compressed:.0f} | "
            f"{row.cgcnn2 / row.full:.1f} |"
        )
    if {"6x6", "12x12"} <= set(wide.index):
        ratio = wide.compressed["12x12"] / wide.compressed["6x6"]
        lines += ["", f"Our 12x12 costs {ratio:.2f} times our 6x6."]
    rate = bandwidth(device, threads)
    lines += [
        "",
        "## Distance from the machine's limit",
        "",
        f"A large copy moves {rate / 1e9:.1f} GB/s here. Moved is what torch's operations read and "
        "write in a step, counted operation by operation; much of it stays in the cache. At least "
        f"each message of a convolution is written and read once each way: {LEAST} bytes. A step "
        "near the time to move it is limited by memory; one far above, by what it does one by one. "
        "(Ours puts its batches together in numpy, which is not counted.)",
        "",
        "| supercell | implementation | messages a graph | moved (MB a graph) | ms | ms to move it "
        "| ms at the least | times the least |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for supercell, load in loads.items():
        for name in IMPLEMENTATIONS:
            ms, least = wide[name][supercell], 1e3 * load.messages[name] * LEAST / rate
            lines.append(
                f"| {supercell} | {name} | {load.messages[name]:.0f} | "
                f"{load.bytes[name] / 1e6:.2f} | {ms:.3f} | {1e3 * load.bytes[name] / rate:.3f} | "
                f"{least:.3f} | {ms / least:.0f} |"
            )
    lines += [
        "",
        "Messages are counted over all three convolutions. Compression does not make a step "
        "faster by itself: it leaves fewer messages, and what then remains at 2x2 is mostly what "
        "does not depend on them (projections of sites, Python, the optimizer).",
        "",
    ]
    return "\n".join(lines)


def plot(table: pd.DataFrame, stem: Path) -> None:
    """Draw cost against supercell size."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "defectpool"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    styles = dict(zip(IMPLEMENTATIONS, ("o-", "s--", "^-.", "D:"), strict=True))
    for name, style in styles.items():
        rows = table[table.implementation == name]
        sizes = [int(label.split("x")[0]) for label in rows.supercell]
        axes.plot(sizes, rows.ms_per_graph, style, label=name)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="supercell n × n × 1, n",
        ylabel="training step (ms/graph)",
    )
    sizes = [int(label.split("x")[0]) for label in dict.fromkeys(table.supercell)]
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    for suffix in ("svg", "png"):
        with replacing(stem.with_suffix(f".{suffix}")) as path:
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(path, dpi=200, metadata=metadata)


def main() -> None:
    """Compare on the CPU, and on a GPU if there is one."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "benchmarks"
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else THREADS
    compare(torch.device("cpu"), threads, folder / "training_step")
    if torch.cuda.is_available():
        compare(torch.device("cuda"), threads, folder / "training_step_cuda")


def compare(device: torch.device, threads: int, stem: Path) -> None:
    """Measure all supercells on a device; write table, report and plot."""
    rows, loads = [], {}
    for supercell, turns in TURNS.items():
        times, loads[supercell] = measure(supercell, turns, device, threads)
        rows += [(supercell, name, round(times[name], 4)) for name in IMPLEMENTATIONS]
        print(supercell, {name: round(value, 3) for name, value in times.items()}, flush=True)
    table = pd.DataFrame(rows, columns=["supercell", "implementation", "ms_per_graph"])
    with replacing(stem.with_suffix(".csv")) as path:
        table.to_csv(path, index=False, lineterminator="\n")
    text = report(table, loads, device, threads)
    with replacing(stem.with_suffix(".md")) as path:
        path.write_text(text, encoding="utf-8")
    plot(table, stem)
    print(text)


if __name__ == "__main__":
    main()
