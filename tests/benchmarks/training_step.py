"""Training step: defectpool against cgcnn2's model and torch_geometric's CGConv.

Vacancy pairs of the same hosts, batches of 64, 12 neighbours, ties cut, mean pooling, float32, two
threads. All implementations take turns on the same batches, each in a process of its own, as its
users run it. Of the steps on a batch the shortest counts, since other jobs on the machine disturb
it least; told is the mean over batches.
(On a busy machine ask for one thread: then processor time is taken, and no thread waits for
another.) A step is all of it, from crystals in memory: the batch is put together (by cgcnn2's
`collate_pool`, torch_geometric's `Batch`, our `Dataset`), forward, backward, optimizer.

Writes training_step.csv (supercell, implementation, ms_per_graph), training_step.md (ratios, and
the distance from the machine's limit) and training_step.svg and .png (cost against supercell).
Where there is a GPU, training_step_cuda.* tells the same of it: ours cuts its batches there
(`Resident`), the others put theirs together on the CPU and send them, as their users do.

    python tests/benchmarks/training_step.py [folder [threads]]

implementation    what it computes on
compressed        each kind of site and message once (the campaign's default)
full              every site and edge (graph.compression: false), by the same code
cgcnn2            every site and edge: cgcnn2.model.CrystalGraphConvNet
pyg_cgconv        every site and edge: torch_geometric.nn.CGConv with batch norm, same sizes
"""

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cgcnn2.data import collate_pool
from cgcnn2.model import CrystalGraphConvNet
from numpy.typing import NDArray
from structure_to_graph import hosts, vacancies
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import CGConv, global_mean_pool

from defectpool.config import GraphSettings, NetworkSettings
from defectpool.files import replacing
from defectpool.graphs.elements import feature_table
from defectpool.graphs.shards import GraphSet, graph_set
from defectpool.memory import keep_memory
from defectpool.training.batch import gaussian_expansion
from defectpool.training.device import describe
from defectpool.training.network import initial_network
from defectpool.training.resident import dataset_on
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
        """Return a sample as cgcnn2's data class gives it: 12 neighbours of each site."""
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
            for _ in range(size.convolutions)
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


def implementation(
    name: str, graphs: GraphSet, device: torch.device, threads: int
) -> Callable[[Rows], float]:
    """Return what takes a training step on some graphs and tells its seconds."""
    torch.set_num_threads(threads)
    size = NetworkSettings()
    network: nn.Module
    forward: Callable[[Rows], tuple[Tensor, Tensor]]
    if name in ("compressed", "full"):
        keep_memory()
        dataset = dataset_on(device, graphs, size.convolutions, size.gaussians)
        ours = network = initial_network("mean", "gated", size, 8.0, 0).to(device)

        def step(rows: Rows) -> None:
            train_step(ours, optimizer, dataset, rows)

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

    def timed(rows: Rows) -> float:
        begin = clock(device, threads)
        step(rows)
        return clock(device, threads) - begin

    return timed


def serve(end: Connection, name: str, graphs: GraphSet, device: torch.device, threads: int) -> None:
    """Take steps on the batches that are sent, tell the shortest on each, until None comes."""
    timed = implementation(name, graphs, device, threads)
    while (batches := end.recv()) is not None:
        passes = [[timed(rows) for rows in batches]]
        while np.sum(passes) < TURN:
            passes.append([timed(rows) for rows in batches])
        end.send(np.min(passes, axis=0).tolist())


def measure(
    supercell: str, turns: int, device: torch.device, threads: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds a graph of each implementation; and what a batch of each holds."""
    structures = vacancies(supercell, hosts(HOSTS))
    full = graph_set(structures, GraphSettings(compression=False), 3)
    graphs = dict.fromkeys(IMPLEMENTATIONS, full)
    graphs["compressed"] = graph_set(structures, GraphSettings(), 3)
    edges = np.add.reduceat(full.edge_multiplicity, full.edge_offset[:-1])
    sites = np.diff(full.node_offset)
    usable = np.flatnonzero(edges == NEIGHBORS * sites)  # cgcnn2 invents neighbours for others
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
    for end, worker in zip(ends.values(), workers, strict=True):
        end.send(None)
        worker.join()
    load = {"sites": float(sites[usable].mean())}
    for name in ("compressed", "full"):
        dataset = dataset_on(device, graphs[name], 3, 41)
        layers = [layer for rows in batches for layer in dataset.batch(rows).layers]
        load[name] = sum(layer.messages for layer in layers) / len(batches) / BATCH
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


# Numbers of 4 bytes that one message of one convolution moves between the passes over messages,
# with F = 64: forward, gather w 2F; sums for the variance r 3 x 2F; scale r 2F w 2F; sigmoid r 2F
# w 2F; log r F w F, r F w F; gate r 2F w F; sum r F. Backward: spread w F; gates r 2F w F, r 2F
# w F; sigmoid r 4F w 2F; sums r 3 x 2F.
PASSED = 64 * (2 + 6 + 4 + 4 + 2 + 2 + 3 + 1 + 1 + 3 + 3 + 6 + 6)
# The least there is if nothing of a message were computed twice: its two gates are written once
# and read once forward, and their gradient written once and read once.
LEAST = 64 * 8


def report(
    table: pd.DataFrame, loads: dict[str, dict[str, float]], device: torch.device, threads: int
) -> str:
    """Return ratios and the distance from the machine's limit, as Markdown."""
    wide = table.pivot(index="supercell", columns="implementation", values="ms_per_graph")
    wide = wide.loc[list(dict.fromkeys(table.supercell)), IMPLEMENTATIONS]
    lines = [
        "# Training step",
        "",
        f"Vacancy pairs of {HOSTS} hosts from {hosts(1)[0].source}, batch {BATCH}, {NEIGHBORS} "
        f"neighbours, ties cut, {describe(device)}, {threads} thread(s), torch "
        f"{torch.__version__}; milliseconds a graph, the shortest step on each batch.",
        "",
        "| supercell | sites | compressed | full | cgcnn2 | pyg_cgconv | cgcnn2 / compressed "
        "| pyg_cgconv / compressed | cgcnn2 / full |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for supercell, row in wide.iterrows():
        lines.append(
            f"| {supercell} | {loads[str(supercell)]['sites']:.0f} | {row.compressed:.3f} | "
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
        f"A large copy moves {rate / 1e9:.1f} GB/s here. A step of ours passes {4 * PASSED} bytes "
        f"a message and convolution between torch's operations (most of it stays in the cache); if "
        f"each message were written and read once each way, it would be {4 * LEAST}.",
        "",
        "| supercell | implementation | messages a graph | ms | ms to move all passes "
        "| ms at the least |",
        "|---|---|---|---|---|---|",
    ]
    for supercell, load in loads.items():
        for name in ("compressed", "full"):
            messages = load[name]
            lines.append(
                f"| {supercell} | {name} | {messages:.0f} | {wide[name][supercell]:.3f} | "
                f"{1e3 * messages * 4 * PASSED / rate:.3f} | "
                f"{1e3 * messages * 4 * LEAST / rate:.3f} |"
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
