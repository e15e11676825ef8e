"""Networks of a run, asked for single structures whose formulas they have not seen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from defectpool.batching.dataset import cpu_dataset
from defectpool.errors import DefectpoolError
from defectpool.evaluation.localization import class_probabilities, methods, site_scores
from defectpool.graphs.graph_set import graph_set
from defectpool.network.model_file import graph_settings, load_models
from defectpool.network.site_network import SiteNetwork
from defectpool.structures.defect_labels import DEFECT_TYPES

if TYPE_CHECKING:
    from defectpool.structures.structure_files import DefectStructure


@dataclass(frozen=True)
class NetworkAnswer:
    """Answer of some networks for a structure.

    Attributes
    ----------
    probability
        Mean probability that it is defective.
    site_scores
        Mean score of each atom (`evaluation.localization`), [atoms]; for networks with a class for
        every site its logit to belong to a defect.
    defect_type
        Its most probable type, for networks with a class for every site.
    classes
        Mean probability of each class of each site, [sites, 5], for such networks.
    seconds
        Processor time of the graph and of the probability.
    """

    probability: float
    site_scores: NDArray[Any]
    defect_type: str | None
    classes: NDArray[np.float64] | None
    seconds: float

    @property
    def atom(self) -> int:
        """Atom with the highest mean score."""
        return int(self.site_scores.argmax())


class UnseenNetworks:
    """Trained networks of a run; each formula is answered by those that did not train on it.

    Parameters
    ----------
    model
        `model.pt` of the run.
    predictions
        Predictions of the run, which tell the fold in which each formula was tested.

    Raises
    ------
    DefectpoolError
        The model file cannot be used, or every network has trained on all formulas.
    """

    def __init__(self, model: Path, predictions: pd.DataFrame) -> None:
        self.networks = load_models(model)
        self.graph = graph_settings(model)
        folds = predictions[["repeat", "fold", "host", "formula"]].drop_duplicates()
        if folds.duplicated(["repeat", "host"]).any():
            raise DefectpoolError(
                "training.split: with a random split every network has trained on all formulas; "
                "choose formula, element or prototype"
            )
        self.tested_host, self.tested_formula = _tested(folds, "host"), _tested(folds, "formula")

    @property
    def names_types(self) -> bool:
        """Whether the networks have a class for every site, so that they name types of defects."""
        return all(isinstance(network, SiteNetwork) for _, _, network in self.networks)

    def answer(self, structure: DefectStructure, formula: str) -> NetworkAnswer | None:
        """Answer for a structure of a formula; None where no graph can be made of it.

        A host of the campaign is answered by the networks that it was tested with.
        """
        unseen = self.tested_host.get(structure.host) or self.tested_formula.get(formula)
        networks = [
            network
            for repeat, fold, network in self.networks
            if unseen is None or (repeat, fold) in unseen
        ]
        size = networks[0].settings
        started = time.process_time()
        graphs = graph_set([structure], self.graph, size.n_convolutions)
        if not len(graphs):
            return None
        dataset = cpu_dataset(graphs, size.n_convolutions, size.gaussians)
        batch = dataset.batch([0], gradients=False)
        with torch.inference_mode():
            logits = torch.stack([network(batch).double() for network in networks])
        probability = float(logits.sigmoid().mean())
        seconds = time.process_time() - started
        method = methods(networks[0].pooling)[0]
        scores = torch.stack([site_scores(network, batch, method) for network in networks])
        of_atoms = scores.mean(0).numpy()[graphs.site_class]
        classes, found = class_probabilities(networks, batch), None
        if classes is not None:
            classes = classes[graphs.site_class]
            found = DEFECT_TYPES[int(classes[int(of_atoms.argmax()), 1:].argmax())]
        return NetworkAnswer(probability, of_atoms, found, classes, seconds)


def _tested(folds: pd.DataFrame, column: str) -> dict[str, set[tuple[int, int]]]:
    """Repeats and folds in which each host or formula was tested."""
    return {
        str(name): set(zip(part["repeat"], part["fold"], strict=True))
        for name, part in folds.groupby(column)
    }
