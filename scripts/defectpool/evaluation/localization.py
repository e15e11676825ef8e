"""Where the network sees the defect: the site that it picks in each defective test structure.

Ways to score sites, all on the features after the last convolution:

- `wins`, for max pooling: the number of features of which the site is the largest in the crystal;
  tied sites share a feature;
- `deviation`, for contrast pooling: the length of the difference between the site's features and
  the mean features of the sites of its element;
- `standardized`, for outlier pooling: the same, each feature in units of its standard deviation;
- `gradient`, for any pooling: how much the site's features add to the logit of "defective" to
  first order, gradient times feature, summed over features (Pope et al., "Explainability methods
  for graph convolutional neural networks", CVPR 2019).

The site with the highest score is what the network picks. It is held against the true defect, and
against chance, which is a site drawn at random. Sites that the network cannot tell apart tie for
the pick, and what is reported is then their mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from defectpool.batching.batch import Batch
from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.model_file import load_models
from defectpool.network.pooling import Sites, deviation, z_scores

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet
    from defectpool.structures.structure_files import DefectStructure

# A neighbor is no farther from the defect than this times the nearest one.
FIRST_SHELL = 1.25

# Scores that differ by less, relative to the largest, tie: rounding of single precision.
TIE = 1e-5

AT_A_TIME = 64

METHODS = ("wins", "deviation", "standardized", "gradient")


class _Leaves(Sites):
    """Sites whose last features are one tensor of their own, so that they have a gradient."""

    def __init__(self, rows: list[Tensor], batch: Batch) -> None:
        super().__init__(rows, batch)
        self.leaves = super().features.detach().requires_grad_()

    @property
    def features(self) -> Tensor:
        return self.leaves


def methods(pooling: str) -> tuple[str, ...]:
    """Ways to score sites that a pooling has; the first is its own."""
    own = {"max": ("wins",), "contrast": ("deviation",), "outlier": ("standardized",)}
    return (*own.get(pooling, ()), "gradient")


def site_scores(network: CrystalGraphNetwork, batch: Batch, method: str) -> Tensor:
    """Score of one site of each node.

    Parameters
    ----------
    network
        A trained network, in evaluation mode.
    batch
        Crystals.
    method
        `wins`, `deviation`, `standardized` or `gradient`.

    Returns
    -------
    Tensor
        [nodes]; higher means more telling. All sites of a node have the same score.
    """
    with torch.no_grad():
        sites = _Leaves(network.rows(batch), batch)
    if method == "gradient":
        (gradient,) = torch.autograd.grad(network.classify(sites).sum(), sites.leaves)
        return (gradient * sites.leaves.detach()).sum(1) / sites.multiplicity[:, 0]
    features = sites.leaves.detach()
    if method in ("deviation", "standardized"):
        with torch.no_grad():
            apart = deviation(sites) if method == "deviation" else z_scores(sites)
        return torch.linalg.vector_norm(apart, dim=1)
    if method == "wins":
        won = (features == sites.crystals.spread(sites.crystals.max(features))).to(features.dtype)
        tied = sites.crystals.spread(sites.crystals.sum(won * sites.multiplicity))
        return (won / tied).sum(1)
    raise DefectpoolError(f"method {method!r} is unknown: choose from {list(METHODS)}")


@dataclass(frozen=True)
class Surroundings:
    """Where the sites of a defective structure are, seen from the defect.

    Attributes
    ----------
    distance
        Of each site to the (nearest) defect, in Å, periodic, [sites].
    defect
        Whether the site is the defect, [sites]; nowhere for a vacancy.
    near
        Whether it is the defect or a neighbor of it, [sites].
    """

    distance: NDArray[np.float64]
    defect: NDArray[np.bool_]
    near: NDArray[np.bool_]

    @property
    def target(self) -> NDArray[np.bool_]:
        """The sites that count as a hit: the defect, or the neighbors of a vacancy."""
        return self.defect if self.defect.any() else self.near


def surroundings(structure: DefectStructure) -> Surroundings:
    """Distances in Å of all sites to the defect, and which of them are neighbors of it."""
    from ase.geometry import get_distances

    atoms = structure.atoms
    defect = np.zeros(len(atoms), dtype=bool)
    defect[list(structure.defect_sites)] = True
    origin = atoms.positions[defect] if defect.any() else structure.position[None]
    _, distance = get_distances(origin, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    others = np.where(defect[None], np.inf, distance)
    near = others <= FIRST_SHELL * others.min(axis=1, keepdims=True)
    return Surroundings(distance.min(axis=0), defect, defect | near.any(axis=0))


def all_surroundings(structures: Iterable[DefectStructure]) -> dict[str, Surroundings]:
    """Return the surroundings of the defect in each defective structure, by the structure's id."""
    return {s.structure: surroundings(s) for s in structures if s.label == 1}


def locate(
    model: Path,
    graphs: GraphSet,
    around: Mapping[str, Surroundings],
    predictions: pd.DataFrame,
) -> pd.DataFrame:
    """Pick a site in each defective structure, by the network that did not train on its host.

    Parameters
    ----------
    model
        `model.pt` of an entry.
    graphs
        The structures of the entry as graphs.
    around
        Where their sites are, seen from the defect (`all_surroundings`).
    predictions
        Predictions of the entry: which fold each structure was tested in.

    Returns
    -------
    DataFrame
        One row a repeat, defective structure and method: structure, host, formula, name, repeat,
        fold, method, probability; `sites` (numbers of those picked) and `tied` (how many);
        `hit` (share of the picked sites that are the defect, or a neighbor of the vacancy),
        `near` (that are the defect or a neighbor), `distance` (mean, Å); and the same for a site
        drawn at random: `chance_hit`, `chance_near`, `chance_distance`.

    Raises
    ------
    DefectpoolError
        The predictions, the graphs and the structures do not belong together.
    """
    networks = {(repeat, fold): network for repeat, fold, network in load_models(model)}
    wanted = predictions[predictions["label"] == 1]
    number = {str(name): i for i, name in enumerate(graphs.structure)}
    if not set(wanted["structure"]) <= number.keys() & around.keys():
        raise DefectpoolError(
            f"{model}: its predictions are of other structures than the graphs; train again"
        )
    first = next(iter(networks.values()))
    # merged, so that sites with equal surroundings have equal features to the last bit, and tie
    dataset = CPUDataset(
        graphs, first.settings.n_convolutions, first.settings.gaussians, merge=True
    )
    rows: list[dict[str, Any]] = []
    for (repeat, fold), network in networks.items():
        part = wanted[(wanted["repeat"] == repeat) & (wanted["fold"] == fold)]
        for start in range(0, len(part), AT_A_TIME):
            some = part.iloc[start : start + AT_A_TIME]
            chosen = np.array([number[name] for name in some["structure"]])
            batch = dataset.batch(chosen, gradients=False)
            for method in methods(network.pooling):
                scores = site_scores(network, batch, method).numpy()
                for i, entry in enumerate(some.to_dict("records")):
                    begin, end = (int(batch.offset[j]) for j in (i, i + 1))
                    sites = slice(graphs.site_offset[chosen[i]], graphs.site_offset[chosen[i] + 1])
                    score = scores[begin:end][graphs.site_class[sites]]
                    rows.append(
                        {
                            key: entry[key]
                            for key in ("structure", "host", "formula", "name", "repeat", "fold")
                        }
                        | {"method": method, "probability": entry["probability"]}
                        | _judge(score, around[entry["structure"]])
                    )
    return pd.DataFrame(rows)


def _judge(score: NDArray[np.floating[Any]], around: Surroundings) -> dict[str, Any]:
    picked = score >= score.max() - TIE * np.abs(score).max()
    return {
        "sites": " ".join(map(str, np.flatnonzero(picked))),
        "tied": int(picked.sum()),
        "hit": float(around.target[picked].mean()),
        "near": float(around.near[picked].mean()),
        "distance": float(around.distance[picked].mean()),
        "chance_hit": float(around.target.mean()),
        "chance_near": float(around.near.mean()),
        "chance_distance": float(around.distance.mean()),
    }


def read(path: Path) -> pd.DataFrame:
    """Read the rows of `locate` as a CSV file holds them."""
    texts = dict.fromkeys(("structure", "host", "formula", "name", "sites"), str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False)


def summary(located: pd.DataFrame, key: Sequence[str], resamples: int) -> list[dict[str, Any]]:
    """Rows of `results/localization.csv`: one an entry and method, with 95 % intervals.

    Parameters
    ----------
    located
        Rows of `locate` of any number of entries, with columns that say which.
    key
        Those columns.
    resamples
        Bootstrap resamples of the hosts.

    Returns
    -------
    list of dict
        Rates of hits (and of sites that are the defect or near it) with interval and with the rate
        of a site drawn at random; `hit_rate_found` counts only the structures that the network
        calls defective; mean and median distance to the defect in Å.
    """
    rows = []
    for names, part in located.groupby([*key, "method"], sort=False):
        row: dict[str, Any] = dict(zip([*key, "method"], names, strict=True))
        for figure in ("hit", "near"):
            values = part[figure].to_numpy(dtype=float)
            ends = statistics.interval(part["host"], values, resamples, 0)
            row |= {
                **statistics.Estimate(float(values.mean()), *ends).columns(f"{figure}_rate"),
                f"{figure}_rate_chance": part[f"chance_{figure}"].mean(),
            }
        found = part[part["probability"] > 0.5]
        rows.append(
            row
            | {
                "hit_rate_found": found["hit"].mean() if len(found) else np.nan,
                "distance_median": part["distance"].median(),
                "distance_mean": part["distance"].mean(),
                "distance_chance": part["chance_distance"].mean(),
                "n_hosts": part["host"].nunique(),
                "n_structures": part["structure"].nunique(),
            }
        )
    return rows
