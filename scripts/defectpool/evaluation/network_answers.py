"""Answers of trained networks for one structure: probability, scores and classes of its sites."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from defectpool.batching.dataset import cpu_dataset
from defectpool.evaluation.localization import convolved, methods, scores_of
from defectpool.graphs.graph_set import graph_set
from defectpool.network.site_network import SiteNetwork

if TYPE_CHECKING:
    from defectpool.config import GraphSettings
    from defectpool.network.cgcnn import CrystalGraphNetwork
    from defectpool.structures.structure_files import DefectStructure


@dataclass(frozen=True)
class NetworkAnswers:
    """Answers of some networks for a structure.

    Attributes
    ----------
    probabilities
        Probability of each network that it is defective, [networks].
    site_scores
        Mean score of each atom (`evaluation.localization`), [atoms]; for networks with a class for
        every site its logit to belong to a defect.
    classes
        Mean probability of each class of each site, [atoms, 5]; None without such a class.
    seconds
        Processor time of the graph and of the probabilities.
    """

    probabilities: NDArray[np.float64]
    site_scores: NDArray[np.float64]
    classes: NDArray[np.float64] | None
    seconds: float

    @property
    def probability(self) -> float:
        """Mean probability that the structure is defective."""
        return float(self.probabilities.mean())

    @property
    def atom(self) -> int:
        """Atom with the highest score."""
        return int(self.site_scores.argmax())


def ask(
    networks: Sequence[CrystalGraphNetwork],
    structure: DefectStructure,
    settings: GraphSettings,
    *,
    merge: bool | None = None,
) -> NetworkAnswers | None:
    """Ask networks for a structure; None where no graph can be made of it.

    Parameters
    ----------
    networks
        Networks of one model file, in evaluation mode.
    structure
        The structure.
    settings
        Settings of the graphs that they were trained on.
    merge
        As for `cpu_dataset`.
    """
    started, size = time.process_time(), networks[0].settings
    graphs = graph_set([structure], settings, size.n_convolutions)
    if not len(graphs):
        return None
    dataset = cpu_dataset(graphs, size.n_convolutions, size.gaussians, merge=merge)
    batch = dataset.batch([0], gradients=False)
    sites = [convolved(network, batch) for network in networks]
    pairs = list(zip(networks, sites, strict=True))
    with torch.no_grad():
        logits = torch.cat([network.classify(own).double() for network, own in pairs])
    probabilities = logits.sigmoid().numpy()
    seconds = time.process_time() - started
    method = methods(networks[0].pooling)[0]
    scores = [scores_of(network, own, method).double().numpy() for network, own in pairs]
    with torch.no_grad():
        classes = [
            network.site_logits(own).double().softmax(1).numpy()
            for network, own in pairs
            if isinstance(network, SiteNetwork)
        ]
    return NetworkAnswers(
        probabilities,
        np.mean(scores, axis=0)[graphs.site_class],
        np.mean(classes, axis=0)[graphs.site_class] if classes else None,
        seconds,
    )
