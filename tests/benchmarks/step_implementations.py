"""Training steps of defectpool, cgcnn2 and torch_geometric on the same graphs, each to be timed in
a process of its own.

Imported by `training_step.py`, whose docstring says what each implementation computes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from machine_limits import Counter, Work, clock, compiled_work
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.dataset import Dataset, dataset_on
from defectpool.batching.expansion import gaussian_expansion
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.batching.neighbor_lists import NEAREST, NeighborLists
from defectpool.config import NetworkSettings
from defectpool.graphs.elements import feature_table
from defectpool.graphs.graph_set import GraphSet
from defectpool.network import compiled
from defectpool.network.initial import initial_network
from defectpool.runtime.memory import keep_memory
from defectpool.training.cuda_graphs import CapturedSteps
from defectpool.training.objective import Binary
from defectpool.training.step import predict, train_step

if TYPE_CHECKING:
    from torch_geometric.data import Data

SIZE = NetworkSettings()
OURS = ("compressed", "full", "defectpool", "sparse", "defectpool_smooth", "inference")
OTHERS = ("cgcnn2", "pyg_cgconv")

# Passes of compiled loops over pairs of neighbors and sites, in each convolution of a step.
KERNELS = {
    "training": (
        *("neighbor_sums", "gate", "update"),
        *("update_gradient", "norm_gradient", "gate_gradient", "table_gradient"),
    ),
    "training with `smooth`": ("gate", "gate_gradient"),
    "evaluation": ("gate", "update"),
}

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What a process is to time: an implementation on some graphs.

    `neighbors` are those of each site where all sites have to have the same number.
    """

    name: str
    graphs: GraphSet
    neighbors: int
    device: torch.device
    threads: int
    captured: bool = True


@dataclass(frozen=True)
class Load:
    """What one graph amounts to on the average: messages of all convolutions, and work."""

    messages: float
    work: Work


class Step(Protocol):
    """A step on some graphs, and what it amounts to beside torch's operations."""

    def __call__(self, rows: Rows) -> object: ...

    def messages(self, rows: Rows) -> int: ...

    def compiled_work(self, rows: Rows) -> Work: ...


@dataclass(frozen=True)
class Crystal:
    """One full graph, from which the samples of the other implementations are made."""

    features: Tensor
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    distance: NDArray[np.float64]
    radius: float
    label: Tensor

    def expanded(self, distance: NDArray[np.float64]) -> Tensor:
        """Return Gaussian expansions, as both compute them once for each structure."""
        return gaussian_expansion(torch.from_numpy(distance).float(), self.radius, SIZE.gaussians)

    def cgcnn2(self, m: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, str]:
        """Return a sample as cgcnn2's data class gives it: the nearest m neighbors of each site.

        Where there are fewer, its padding takes their places: site 0, 1 Å beyond the radius.
        """
        n = len(self.features)
        order = np.lexsort((self.distance, self.target))
        target = self.target[order]
        place = np.arange(len(order)) - np.searchsorted(target, target)
        kept = place < m
        source = np.zeros((n, m), dtype=np.int64)
        distance = np.full((n, m), self.radius + 1.0)
        source[target[kept], place[kept]] = self.source[order][kept]
        distance[target[kept], place[kept]] = self.distance[order][kept]
        expanded = self.expanded(distance.ravel()).view(n, m, -1)
        return (self.features, expanded, torch.from_numpy(source)), self.label, ""

    def pyg(self) -> "Data":
        """Return a sample as users of torch_geometric make it."""
        from torch_geometric.data import Data

        edges = torch.from_numpy(np.stack([self.source, self.target]))
        expanded = self.expanded(self.distance)
        return Data(x=self.features, edge_index=edges, edge_attr=expanded, y=self.label)


def crystal(graphs: GraphSet, number: int) -> Crystal:
    """Take one of the full graphs, every edge as often as it occurs."""
    nodes = np.arange(*graphs.node_offset[number : number + 2])
    edges = np.arange(*graphs.edge_offset[number : number + 2])
    edges = np.repeat(edges, graphs.edge_multiplicity[edges])
    return Crystal(
        torch.from_numpy(feature_table()[graphs.atomic_number[nodes]]),
        graphs.source[edges].astype(np.int64),
        graphs.target[edges].astype(np.int64),
        graphs.distances[graphs.edge_distance[edges]],
        float(graphs.settings["radius"]),
        torch.tensor([graphs.label[number]], dtype=torch.float32),
    )


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer that all implementations use."""
    return torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)


class Ours:
    """Our network: a training step, on a GPU captured if possible, or logits in evaluation."""

    def __init__(self, task: Task) -> None:
        keep_memory()
        self.evaluates = task.name == "inference"
        self.smooth = task.name == "defectpool_smooth"
        self.dataset = _dataset(task)
        radius = float(task.graphs.settings["radius"])
        convolution = "smooth" if self.smooth else "gated"
        self.network = initial_network("mean", convolution, SIZE, radius, 0).to(task.device)
        self.optimizer = optimizer_of(self.network)
        self.captured: CapturedSteps | None = None
        if task.captured and isinstance(self.dataset, GPUDataset):
            self.captured = CapturedSteps(self.network, self.dataset, Binary())

    def __call__(self, rows: Rows) -> None:
        """Take a training step, or predict."""
        if self.evaluates:
            predict(self.network, self.dataset, rows)
        elif self.captured is None:
            train_step(self.network, self.optimizer, self.dataset, rows)
        else:
            self.captured(rows)
            self.optimizer.step()

    def messages(self, rows: Rows) -> int:
        """Messages of all convolutions."""
        return sum(len(layer.messages) for layer in self.dataset.batch(rows).layers)

    def compiled_work(self, rows: Rows) -> Work:
        """Work of compiled sums over neighbors, where the batch has them."""
        inputs = self.dataset.batch(rows).inputs
        if not (isinstance(inputs, NeighborLists) and compiled.kernel_maker()):
            return Work()
        training = "training with `smooth`" if self.smooth else "training"
        kernels = KERNELS["evaluation" if self.evaluates else training]
        passes, nearest = SIZE.n_convolutions * kernels, NEAREST[torch.float32]
        return compiled_work(passes, len(inputs.pairs.other), len(inputs), SIZE.width, nearest)


def _dataset(task: Task) -> Dataset:
    sizes = SIZE.n_convolutions, SIZE.gaussians
    if task.name == "sparse":
        return CPUDataset(task.graphs, *sizes, merge=False, device=task.device)
    return dataset_on(task.device, task.graphs, *sizes)


class Theirs:
    """A network of others, on graphs with every site and edge; no sums of theirs are compiled."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.optimizer = network, optimizer_of(network)

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Put a batch together; return logits and labels."""
        raise NotImplementedError

    def __call__(self, rows: Rows) -> None:
        """Take a training step."""
        self.optimizer.zero_grad(set_to_none=True)
        output, label = self.forward(rows)
        F.binary_cross_entropy_with_logits(output.view(-1), label.view(-1)).backward()
        self.optimizer.step()

    def compiled_work(self, rows: Rows) -> Work:
        """Return nothing: all they do is operations of torch."""
        return Work()


class Cgcnn2(Theirs):
    """The network of cgcnn2, batches from its `collate_pool`."""

    def __init__(self, task: Task) -> None:
        from cgcnn2.data import collate_pool
        from cgcnn2.model import CrystalGraphConvNet

        network = CrystalGraphConvNet(
            92, SIZE.gaussians, SIZE.width, SIZE.n_convolutions, SIZE.hidden
        )
        super().__init__(network.to(task.device))
        self.device, self.collate = task.device, collate_pool
        crystals = (crystal(task.graphs, number) for number in range(len(task.graphs)))
        self.samples = [one.cgcnn2(task.neighbors) for one in crystals]

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Put a batch together; return logits and labels."""
        inputs, label, _ = self.collate([self.samples[row] for row in rows])
        *tensors, sites = inputs
        tensors = [tensor.to(self.device) for tensor in tensors]
        output = self.network(*tensors, [one.to(self.device) for one in sites])[0]
        return output, label.to(self.device)

    def messages(self, rows: Rows) -> int:
        """Messages of all convolutions, those of padding included."""
        return SIZE.n_convolutions * sum(self.samples[row][0][2].numel() for row in rows)


class PyG(Theirs):
    """The same sizes with torch_geometric's convolution, batches from its `Batch`."""

    def __init__(self, task: Task) -> None:
        super().__init__(cgconv_network().to(task.device))
        self.device = task.device
        self.data = [crystal(task.graphs, number).pyg() for number in range(len(task.graphs))]

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Put a batch together; return logits and labels."""
        from torch_geometric.data import Batch

        batch = Batch.from_data_list([self.data[row] for row in rows]).to(self.device)
        return self.network(batch), batch.y

    def messages(self, rows: Rows) -> int:
        """Messages of all convolutions."""
        return SIZE.n_convolutions * sum(self.data[row].num_edges for row in rows)


def cgconv_network() -> nn.Module:
    """Network of `CGConv`, as users of torch_geometric put it together."""
    from torch_geometric.nn import CGConv, global_mean_pool

    class CGConvNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Linear(92, SIZE.width)
            self.convs = nn.ModuleList(
                CGConv(SIZE.width, dim=SIZE.gaussians, batch_norm=True)
                for _ in range(SIZE.n_convolutions)
            )
            self.hidden = nn.Linear(SIZE.width, SIZE.hidden)
            self.out = nn.Linear(SIZE.hidden, 1)

        def forward(self, batch: "Data") -> Tensor:
            x = self.embedding(batch.x)
            for conv in self.convs:
                x = conv(x, batch.edge_index, batch.edge_attr)
            pooled = global_mean_pool(x, batch.batch)
            return self.out(F.softplus(self.hidden(F.softplus(pooled)))).squeeze(1)

    return CGConvNetwork()


def implementation(task: Task) -> Step:
    """Return what takes steps on the graphs of a task.

    Numbers below the normal range are taken for 0, since processors of Intel take a hundred times
    as long for them, and expansions of Gaussians, as others make them, are full of such numbers.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(task.threads)
    kinds: dict[str, Callable[[Task], Step]] = {"cgcnn2": Cgcnn2, "pyg_cgconv": PyG}
    return kinds.get(task.name, Ours)(task)


def serve(end: Connection, task: Task) -> None:
    """Take steps on the batches that are sent, tell the shortest on each, until None comes.

    With the batches comes the time in seconds that is spent on them at least. At the end, tell what
    a graph of the last batch amounts to.
    """
    step = implementation(task)

    def timed(rows: Rows) -> float:
        begin = clock(task.device, task.threads)
        step(rows)
        return clock(task.device, task.threads) - begin

    rows = np.arange(0)
    while (request := end.recv()) is not None:
        batches, seconds = request
        rows = batches[-1]
        passes = [[timed(rows) for rows in batches]]
        while np.sum(passes) < seconds:
            passes.append([timed(rows) for rows in batches])
        end.send(np.min(passes, axis=0).tolist())
    end.send(load(task, step, rows))


def load(task: Task, step: Step, rows: Rows) -> Load:
    """Count what a graph of a batch amounts to; what is captured is counted as a plain step."""
    if task.device.type == "cuda":
        step = implementation(replace(task, captured=False))
    with Counter() as counter:
        step(rows)
    work = counter.work + step.compiled_work(rows)
    return Load(step.messages(rows) / len(rows), work / len(rows))
