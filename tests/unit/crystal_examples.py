"""Small defect structures for the tests of the training, and the plain network on full graphs."""

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.build import graphene, mx2
from torch.nn import functional as F

from defectpool.config import GraphSettings
from defectpool.graphs.elements import feature_table
from defectpool.graphs.graph_set import GraphSet, graph_set
from defectpool.structures.defect_labels import DefectLabel, labels_of

SULFIDES = [
    (metal + anion + "2", kind, a, thickness)
    for metal, a0 in [("Mo", 3.18), ("W", 3.19), ("Nb", 3.34), ("Ta", 3.32), ("Zr", 3.68),
                      ("Hf", 3.64), ("Ti", 3.41), ("V", 3.18)]
    for anion, factor, thickness in [("S", 1.0, 3.13), ("Se", 1.04, 3.34), ("Te", 1.11, 3.61)]
    for kind, a in [("2H", a0 * factor)]
]  # fmt: skip


@dataclass(frozen=True)
class Example:
    atoms: Atoms
    structure: str
    pair: str
    host: str
    formula: str
    name: str
    label: int
    defect_site: int
    position: np.ndarray
    defects: tuple[DefectLabel, ...] = ()


def host(number: int) -> tuple[str, Atoms]:
    if number == 0:
        return "C", graphene(vacuum=7.5)
    formula, kind, a, thickness = SULFIDES[(number - 1) % len(SULFIDES)]
    return formula, mx2(formula, kind, a, thickness, vacuum=7.5)


def pair(
    number: int, defect: str, size: int, rattle: float = 0.0, seed: int = 0, site: int | None = None
) -> list[Example]:
    """Return the defective and the pristine supercell, rattled alike, atoms in random order."""
    random = np.random.default_rng([number, size, seed])
    formula, cell = host(number)
    pristine = cell.repeat((size, size, 1))
    pristine.pbc = (True, True, False)
    pristine.positions += rattle * random.standard_normal(pristine.positions.shape)
    defective = pristine.copy()
    site = int(random.integers(len(cell))) if site is None else site
    position = pristine.positions[site].copy()
    if defect == "vacancy":
        del defective[site]
    elif defect == "substitution":
        defective.numbers[site] = 3
    else:
        defective += Atoms("H", positions=[position + np.array([0.4, 0.6, 1.7])])
    found = []
    for label, atoms in ((1, defective), (0, pristine)):
        order = random.permutation(len(atoms)) if seed else np.arange(len(atoms))
        base = f"h{number}:{defect}:{size}:{seed}"
        atoms = atoms[order]
        row = {"vacancy": -1, "substitution": site}.get(defect, len(order) - 1)
        rows = [row if row < 0 else int(np.flatnonzero(order == row)[0])]
        kind = defect if defect in ("vacancy", "substitution") else "interstitial"
        labels = labels_of(atoms, [kind], [defect], position[None], rows) if label else ()
        found.append(
            Example(atoms, f"{base}:{label}", base, f"h{number}", formula,
                    defect, label, -1, position, labels)
        )  # fmt: skip
    return found


def graphs(
    examples: list[Example],
    *,
    compression: bool = True,
    rounds: int = 3,
    shells: str = "truncated",
    radius: float = 6.0,
    max_neighbors: int | None = 12,
) -> GraphSet:
    settings = GraphSettings(
        radius=radius, max_neighbors=max_neighbors, shells=shells, compression=compression
    )
    return graph_set(examples, settings, rounds)


def campaign(hosts: int, defect: str = "vacancy", size: int = 2, **options) -> GraphSet:
    return graphs([one for i in range(hosts) for one in pair(i, defect, size)], **options)


@dataclass
class Full:
    """Full graphs in the plainest form: one row a site, one row an edge."""

    x: torch.Tensor
    element: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    distance: torch.Tensor
    crystal: torch.Tensor
    label: torch.Tensor

    @classmethod
    def of(cls, graphs: GraphSet, chosen, dtype=torch.float64) -> "Full":
        assert (graphs.node_multiplicity == 1).all()
        x, element, source, target, distance, crystal, shift = [], [], [], [], [], [], 0
        for number, g in enumerate(chosen):
            nodes = slice(graphs.node_offset[g], graphs.node_offset[g + 1])
            edges = np.arange(graphs.edge_offset[g], graphs.edge_offset[g + 1])
            edges = np.repeat(edges, graphs.edge_multiplicity[edges])
            z = graphs.atomic_number[nodes]
            x.append(feature_table()[z])
            element.append(z)
            source.append(graphs.source[edges] + shift)
            target.append(graphs.target[edges] + shift)
            distance.append(graphs.distances[graphs.edge_distance[edges]])
            crystal.append(np.full(len(z), number))
            shift += len(z)
        tensors = [torch.as_tensor(np.concatenate(v)) for v in
                   (x, element, source, target, distance, crystal)]  # fmt: skip
        tensors[0], tensors[4] = tensors[0].to(dtype), tensors[4].to(dtype)
        tensors[1:4] = [t.long() for t in tensors[1:4]]
        label = torch.as_tensor(graphs.label[np.asarray(chosen)]).to(dtype)
        return cls(*tensors, label)


def plain_forward(network, full: Full, radius: float) -> torch.Tensor:
    """Forward pass by torch's own layers, with the weights of `network` (whose BN it updates)."""
    size = network.settings
    step = radius / (size.gaussians - 1)
    centers = torch.arange(size.gaussians, dtype=full.x.dtype) * step
    u = torch.exp(-(((full.distance[:, None] - centers) / step) ** 2))
    x = network.embedding(full.x)
    layers = [x]
    for conv in network.convs:
        total = torch.zeros_like(x)
        if network.convolution == "gated":
            z = conv.bn1(conv.fc_full(torch.cat([x[full.target], x[full.source], u], 1)))
            gate, core = z.chunk(2, 1)
            message = torch.sigmoid(gate) * F.softplus(core)
            x = F.softplus(x + conv.bn2(total.index_add(0, full.target, message)))
        else:
            inputs = torch.cat([x[full.source], u], 1)
            summed = torch.zeros(len(x), inputs.shape[1], dtype=x.dtype)
            summed = summed.index_add(0, full.target, inputs)
            x = F.softplus(conv.neighbors(summed) + conv.own(x))
        layers.append(x)
    pooled = []
    for c in range(len(full.label)):
        here = full.crystal == c
        v, z = x[here], full.element[here]
        if network.pooling == "mean":
            pooled.append(v.mean(0))
        elif network.pooling == "sum":
            pooled.append(v.sum(0))
        elif network.pooling == "max":
            pooled.append(v.amax(0))
        elif network.pooling == "softmax":
            every = torch.cat([layer[here] for layer in layers])
            pooled.append((torch.softmax(every, 0) * every).sum(0))
        else:
            deviation = torch.empty_like(v)
            for element in z.unique():
                same = v[z == element]
                deviation[z == element] = same - same.mean(0)
                if network.pooling == "outlier":
                    deviation[z == element] /= (same.var(0, correction=0) + 1e-4).sqrt()
            pooled.append(deviation.abs().amax(0))
    hidden = F.softplus(network.conv_to_fc(F.softplus(torch.stack(pooled))))
    return network.fc_out(hidden).squeeze(1)
