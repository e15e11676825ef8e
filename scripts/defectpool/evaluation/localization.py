"""Defect localization: the site that a network picks in each defective test structure.

Site scores, all computed from the features after the last convolution:

- `argmax_count`, for max pooling: number of features for which the site is the maximum over the
  crystal; tied sites share a feature;
- `deviation`, for contrast pooling: norm of the difference between the site's features and the mean
  features of the sites of its element;
- `z_score`, for outlier pooling: the same, each feature divided by its standard deviation;
- `site_logit`, for networks with a class for every site: the logit to belong to a defect;
- `gradient`, for any pooling: gradient times feature of the logit, summed over the features (Pope
  et al., "Explainability methods for graph convolutional neural networks", CVPR 2019).

The picked site is the one with the highest score. It is compared with the true defect and with a
site sampled at random. Sites that the network cannot distinguish tie, and the reported value is
their mean.

Small supercells limit what the distance to the defect can mean. In a 2x2 supercell each site is
within a few angstrom of several periodic images of the defect, and the most changed site is often
the one midway between three images, not a neighbor of one of them. `n_images` reports this: the
number of periodic images of the defect that are closest to the picked site at the same distance.
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
from defectpool.batching.dataset import cpu_dataset
from defectpool.errors import DefectpoolError
from defectpool.evaluation import statistics
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.model_file import load_models
from defectpool.network.pooling import Sites, deviation, z_scores
from defectpool.network.site_network import SITES, SiteNetwork, defectiveness

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet
    from defectpool.structures.structure_files import DefectStructure

# Neighbors of the defect are at most this many times farther away than the nearest site.
FIRST_SHELL = 1.25

# Periodic images of the defect count as equally far if their distances differ by less (Å).
SAME_DISTANCE = 0.1

# Scores closer than this to the largest, relative to it, tie (rounding of single precision).
TIE = 1e-5

AT_A_TIME = 64

METHODS = ("argmax_count", "deviation", "z_score", "site_logit", "gradient")


class _Leaves(Sites):
    """Sites whose last features are a leaf tensor, so that they have a gradient."""

    def __init__(self, rows: list[Tensor], batch: Batch) -> None:
        super().__init__(rows, batch)
        self.leaves = super().features.detach().requires_grad_()

    @property
    def features(self) -> Tensor:
        return self.leaves


def methods(pooling: str) -> tuple[str, ...]:
    """Methods to score sites that apply to a pooling; the first is specific to it."""
    own = {
        "max": ("argmax_count",),
        "contrast": ("deviation",),
        "outlier": ("z_score",),
        SITES: ("site_logit",),
    }
    return (*own.get(pooling, ()), "gradient")


def site_scores(network: CrystalGraphNetwork, batch: Batch, method: str) -> Tensor:
    """Site score of each node.

    Parameters
    ----------
    network
        A trained network, in evaluation mode.
    batch
        Crystals.
    method
        One of `METHODS`.

    Returns
    -------
    Tensor
        [nodes]; all sites of a node have the same score.
    """
    return scores_of(network, convolved(network, batch), method)


def convolved(network: CrystalGraphNetwork, batch: Batch) -> Sites:
    """Sites of a batch as a network sees them, for `scores_of` and for its head."""
    with torch.no_grad():
        return _Leaves(network.rows(batch), batch)


def scores_of(network: CrystalGraphNetwork, sites: Sites, method: str) -> Tensor:
    """Site score of each node, [nodes], from sites that are convolved already."""
    assert isinstance(sites, _Leaves)
    if method == "gradient":
        (gradient,) = torch.autograd.grad(network.classify(sites).sum(), sites.leaves)
        return (gradient * sites.leaves.detach()).sum(1) / sites.multiplicity[:, 0]
    if method == "site_logit":
        assert isinstance(network, SiteNetwork)
        with torch.no_grad():
            return defectiveness(network.site_logits(sites))
    features = sites.leaves.detach()
    if method in ("deviation", "z_score"):
        with torch.no_grad():
            difference = deviation(sites) if method == "deviation" else z_scores(sites)
        return torch.linalg.vector_norm(difference, dim=1)
    if method == "argmax_count":
        largest = sites.crystals.spread(sites.crystals.max(features))
        is_max = (features == largest).to(features.dtype)
        tied = sites.crystals.spread(sites.crystals.sum(is_max * sites.multiplicity))
        return (is_max / tied).sum(1)
    raise DefectpoolError(f"method {method!r} is unknown: choose from {list(METHODS)}")


@dataclass(frozen=True)
class Surroundings:
    """Positions of the sites of a defective structure relative to its defects.

    Attributes
    ----------
    distance
        Distance in Å of each site to the nearest periodic image of a defect, [sites].
    defect
        Whether the site is the atom of a defect, [sites]; false everywhere for vacancies.
    near
        Whether the site is the atom of a defect or a neighbor of a defect, [sites].
    target
        Sites that count as correct: atoms of defects, and the neighbors of vacancies, [sites].
    n_images
        Number of images of defects at the smallest distance from the site, [sites].
    """

    distance: NDArray[np.float64]
    defect: NDArray[np.bool_]
    near: NDArray[np.bool_]
    target: NDArray[np.bool_]
    n_images: NDArray[np.int64]


def surroundings(structure: DefectStructure) -> Surroundings:
    """Distances of all sites to the defects, their neighbors, and their closest images."""
    from ase.geometry import get_distances

    atoms, labels = structure.atoms, structure.defects
    defect = np.zeros(len(atoms), dtype=bool)
    defect[[label.atom for label in labels if label.atom is not None]] = True
    vacant = np.array([label.atom is None for label in labels])
    origin = np.array(
        [label.position if label.atom is None else atoms.positions[label.atom] for label in labels]
    )
    _, distance = get_distances(origin, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    others = np.where(defect[None], np.inf, distance)
    near = others <= FIRST_SHELL * others.min(axis=1, keepdims=True)
    nearest = distance.min(axis=0)
    images = _image_distances(origin, atoms.positions, atoms.cell.array[:2])
    n_images = (images <= nearest + SAME_DISTANCE).sum(axis=0)
    target = defect | near[vacant].any(axis=0)
    return Surroundings(nearest, defect, defect | near.any(axis=0), target, n_images)


def _image_distances(
    origin: NDArray[np.float64], positions: NDArray[np.float64], plane: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances from the in-plane images of all defects to all sites, [images, sites]."""
    steps = np.arange(-2, 3)
    shifts = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) @ plane
    images = (origin[:, None] + shifts).reshape(-1, 3)
    return np.linalg.norm(positions - images[:, None], axis=2)


def all_surroundings(structures: Iterable[DefectStructure]) -> dict[str, Surroundings]:
    """Surroundings of the defects in each defective structure, by the structure's id."""
    return {s.structure: surroundings(s) for s in structures if s.label == 1}


def locate(
    model: Path,
    graphs: GraphSet,
    around: Mapping[str, Surroundings],
    predictions: pd.DataFrame,
) -> pd.DataFrame:
    """Pick a site in each defective structure with the network that did not train on its host.

    Parameters
    ----------
    model
        `model.pt` of a run.
    graphs
        Graphs of the run's structures.
    around
        Positions of their sites relative to the defect (`all_surroundings`).
    predictions
        Predictions of the run, which tell the fold in which each structure was tested.

    Returns
    -------
    DataFrame
        One row per repeat, defective structure and method: the structure, its prediction, the
        method; `sites` (indices of the picked sites) and `tied` (their number); means over the
        picked sites of `correct` (is the defect, or a neighbor of the vacancy), `near` (is the
        defect or a neighbor), `distance` (Å) and `n_images`; the same means over all sites:
        `chance_correct`, `chance_near`, `chance_distance`, `chance_n_images`.

    Raises
    ------
    DefectpoolError
        The predictions, the graphs and the structures do not belong together.
    """
    networks = {(repeat, fold): network for repeat, fold, network in load_models(model)}
    wanted = predictions[predictions["label"] == 1]
    index = {str(name): i for i, name in enumerate(graphs.structure)}
    if not set(wanted["structure"]) <= index.keys() & around.keys():
        raise DefectpoolError(
            f"{model}: its predictions are of other structures than the graphs; train again"
        )
    size = next(iter(networks.values())).settings
    # merged, so that equivalent sites have equal features to the last bit, and tie
    dataset = cpu_dataset(graphs, size.n_convolutions, size.gaussians, merge=True)
    rows: list[dict[str, Any]] = []
    for (repeat, fold), network in networks.items():
        part = wanted[(wanted["repeat"] == repeat) & (wanted["fold"] == fold)]
        for start in range(0, len(part), AT_A_TIME):
            some = part.iloc[start : start + AT_A_TIME]
            chosen = np.array([index[name] for name in some["structure"]])
            batch = dataset.batch(chosen, gradients=False)
            for method in methods(network.pooling):
                scores = site_scores(network, batch, method).numpy()
                for i, prediction in enumerate(some.to_dict("records")):
                    begin, end = (int(batch.offset[j]) for j in (i, i + 1))
                    sites = slice(graphs.site_offset[chosen[i]], graphs.site_offset[chosen[i] + 1])
                    score = scores[begin:end][graphs.site_class[sites]]
                    judged = _judge(score, around[prediction["structure"]])
                    rows.append(_row(prediction, method) | judged)
    return pd.DataFrame(rows)


def _row(prediction: Mapping[Any, Any], method: str) -> dict[str, Any]:
    names = ("structure", "host", "formula", "name", "repeat", "fold")
    own = {name: prediction[name] for name in names}
    return own | {"method": method, "probability": prediction["probability"]}


def picked_sites(score: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Whether each site has the highest score, [sites]; sites that cannot be told apart tie."""
    return np.asarray(score >= score.max() - TIE * np.abs(score).max())


def _judge(score: NDArray[np.floating[Any]], around: Surroundings) -> dict[str, Any]:
    picked = picked_sites(score)
    measures: dict[str, NDArray[Any]] = {
        "correct": around.target,
        "near": around.near,
        "distance": around.distance,
        "n_images": around.n_images,
    }
    return {
        "sites": " ".join(map(str, np.flatnonzero(picked))),
        "tied": int(picked.sum()),
        **{name: float(values[picked].mean()) for name, values in measures.items()},
        **{f"chance_{name}": float(values.mean()) for name, values in measures.items()},
    }


def read(path: Path) -> pd.DataFrame:
    """Read the rows of `locate` from a CSV file."""
    texts = dict.fromkeys(("structure", "host", "formula", "name", "sites"), str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False)


def summary(located: pd.DataFrame, key: Sequence[str], resamples: int) -> list[dict[str, Any]]:
    """Rows of `results/localization.csv`: one per run and method, with 95 % intervals.

    Parameters
    ----------
    located
        Rows of `locate` of any number of runs, with the columns that identify the run.
    key
        Names of these columns.
    resamples
        Bootstrap resamples of the hosts.

    Returns
    -------
    list of dict
        Localization accuracy (share of correct picks) and share of picks that are the defect or
        near it, each with its interval and the value for a random site; `accuracy_detected`
        counts only structures that the network classifies as defective; mean and median distance
        to the defect in Å; mean number of closest periodic images of the defect.
    """
    rows = []
    for names, part in located.groupby([*key, "method"], sort=False):
        row: dict[str, Any] = dict(zip([*key, "method"], names, strict=True))
        for column, measure in (("accuracy", "correct"), ("near", "near")):
            values = part[measure].to_numpy(dtype=float)
            row |= {
                **statistics.mean(part["host"], values, resamples).columns(column),
                f"{column}_chance": part[f"chance_{measure}"].mean(),
            }
        detected = part[part["probability"] > 0.5]
        rows.append(
            row
            | {
                "accuracy_detected": detected["correct"].mean() if len(detected) else np.nan,
                "distance_median": part["distance"].median(),
                "distance_mean": part["distance"].mean(),
                "distance_chance": part["chance_distance"].mean(),
                "n_images": part["n_images"].mean(),
                "n_images_chance": part["chance_n_images"].mean(),
                "n_hosts": part["host"].nunique(),
                "n_structures": part["structure"].nunique(),
            }
        )
    return rows
