"""Objectives: what a network is trained to tell, and what is kept of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from defectpool.batching.batch import Batch
from defectpool.errors import DefectpoolError
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.pooling import Sites
from defectpool.network.site_network import N_SITE_CLASSES, SITES, SiteNetwork
from defectpool.structures.labels import PRISTINE, defect_type_of
from defectpool.training.temperature import fitted_temperature

if TYPE_CHECKING:
    from defectpool.graphs.graph_set import GraphSet


class Objective(Protocol):
    """What a network is trained to tell.

    Attributes
    ----------
    n_outputs
        Outputs of the network.
    """

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""

    def labeled(self, graphs: GraphSet) -> GraphSet:
        """Return the graphs with the labels that are learned."""

    def loss(self, network: CrystalGraphNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sum of the losses of the graphs of a batch, and their logits."""

    def correct(self, logits: Tensor, label: Tensor) -> Tensor:
        """Whether each graph is predicted correctly, [C]."""

    def temperature(self, logits: Tensor, label: Tensor) -> float | None:
        """Temperature of the network, from logits of validation graphs; None for none."""

    def answers(self, logits: Tensor) -> Tensor:
        """What is kept of the logits of test graphs, on the CPU, [C]."""

    def columns(self, label: NDArray[Any], best: Tensor, best_on_test: Tensor) -> dict[str, Any]:
        """Columns of `predictions.csv`: labels, and answers at the two epochs that are kept."""


@dataclass(frozen=True)
class Binary:
    """Defective or pristine: one logit and the binary cross entropy."""

    n_outputs: int = 1

    def labeled(self, graphs: GraphSet) -> GraphSet:
        """Return the graphs as they are: 1 defective, 0 pristine.

        Raises
        ------
        DefectpoolError
            All graphs have the same label.
        """
        if len(np.unique(graphs.label)) < 2:
            raise DefectpoolError(
                f"there are {len(graphs)} graphs to train on, and not both defective and pristine "
                "ones; see the lists of skipped and rejected structures"
            )
        return graphs

    def loss(self, network: CrystalGraphNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sum of the binary cross entropies, and the logits."""
        logits = labeled_logits(network, batch)
        return F.binary_cross_entropy_with_logits(logits, batch.label, reduction="sum"), logits

    def correct(self, logits: Tensor, label: Tensor) -> Tensor:
        """Whether each logit has the right sign."""
        return (logits > 0) == (label > 0.5)

    def temperature(self, logits: Tensor, label: Tensor) -> float | None:
        """None: the published networks are not calibrated."""
        return None

    def answers(self, logits: Tensor) -> Tensor:
        """Probability that each graph is defective, float64."""
        return logits.double().sigmoid().cpu()

    def columns(self, label: NDArray[Any], best: Tensor, best_on_test: Tensor) -> dict[str, Any]:
        """label, probability, probability_best_epoch."""
        return {
            "label": label.astype(int),
            "probability": best.numpy(),
            "probability_best_epoch": best_on_test.numpy(),
        }


@dataclass(frozen=True)
class SiteClasses(Binary):
    """Defective or pristine, and the class of every site: a cross entropy for each.

    Probabilities are calibrated (`training.temperature`). The cross entropy of the sites is
    averaged within each graph over the sites that belong to a defect and over those that do not,
    so that one defect counts in a cell of any size.
    """

    n_outputs: int = N_SITE_CLASSES

    def loss(self, network: CrystalGraphNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sum of the cross entropies of crystals and sites, and the logits of the crystals."""
        assert isinstance(network, SiteNetwork) and batch.site_label is not None
        sites = Sites(network.rows(batch), batch)
        of_sites = network.site_logits(sites)
        entropy = F.cross_entropy(of_sites, batch.site_label, reduction="none")[:, None]
        of_class = [(batch.site_label > 0), (batch.site_label == 0)]
        weights = [sites.multiplicity * members[:, None] for members in of_class]
        totals = torch.cat([entropy * weight for weight in weights], dim=1)
        counts = torch.cat(weights, dim=1)
        means = sites.crystals.sum(totals) / sites.crystals.sum(counts).clamp_min(1)
        graphs = len(batch.label)  # a padding graph has no label
        logits = network.crystal_logits(of_sites, sites)[:graphs]
        crystals = F.binary_cross_entropy_with_logits(logits, batch.label, reduction="sum")
        return crystals + means[:graphs].sum(), logits

    def temperature(self, logits: Tensor, label: Tensor) -> float | None:
        """Temperature that fits the validation graphs."""
        return fitted_temperature(logits, label)


@dataclass(frozen=True)
class DefectTypes:
    """Which type of defect, if any: one logit a type, and the cross entropy.

    Attributes
    ----------
    types
        Pristine and the defect types, in the order of the outputs.
    """

    types: tuple[str, ...]

    @classmethod
    def of(cls, defects: Sequence[str]) -> DefectTypes:
        """Return the objective for these defect types beside pristine structures."""
        return cls((PRISTINE, *defects))

    @property
    def n_outputs(self) -> int:
        """Number of types."""
        return len(self.types)

    def labeled(self, graphs: GraphSet) -> GraphSet:
        """Return the graphs labeled by the number of their type."""
        rows = zip(graphs.name, graphs.formula, graphs.label, strict=True)
        found = [defect_type_of(str(n), str(f), int(label)) for n, f, label in rows]
        return replace(graphs, label=np.array([self.types.index(one) for one in found]))

    def loss(self, network: CrystalGraphNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sum of the cross entropies, and the logits."""
        logits = labeled_logits(network, batch)
        return F.cross_entropy(logits, batch.label.long(), reduction="sum"), logits

    def correct(self, logits: Tensor, label: Tensor) -> Tensor:
        """Whether the largest logit is that of the type."""
        return logits.argmax(1) == label.long()

    def temperature(self, logits: Tensor, label: Tensor) -> float | None:
        """None: types have no probabilities."""
        return None

    def answers(self, logits: Tensor) -> Tensor:
        """Number of the predicted type."""
        return logits.argmax(1).to(torch.int64).cpu()

    def columns(self, label: NDArray[Any], best: Tensor, best_on_test: Tensor) -> dict[str, Any]:
        """defect_type, predicted, predicted_best_epoch."""
        names = np.array(self.types)
        return {
            "defect_type": names[label.astype(int)],
            "predicted": names[best.numpy()],
            "predicted_best_epoch": names[best_on_test.numpy()],
        }


def objective_of(pooling: str) -> Objective:
    """Return what the networks of the table learn: with `sites` the class of every site as well."""
    return SiteClasses() if pooling == SITES else Binary()


def labeled_logits(network: CrystalGraphNetwork, batch: Batch) -> Tensor:
    """Logits of the graphs of a batch that have a label: the padding graph has none."""
    logits: Tensor = network(batch)
    return logits[: len(batch.label)]
