"""Networks of a run, asked for single structures whose formulas they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from defectpool.errors import DefectpoolError
from defectpool.evaluation.network_answers import NetworkAnswers, ask
from defectpool.network.model_file import graph_settings, load_models
from defectpool.network.site_network import SiteNetwork

if TYPE_CHECKING:
    from defectpool.structures.structure_files import DefectStructure


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

    def answer(self, structure: DefectStructure, formula: str) -> NetworkAnswers | None:
        """Answer for a structure of a formula; None where no graph can be made of it.

        A host of the campaign is answered by the networks that it was tested with.
        """
        unseen = self.tested_host.get(structure.host) or self.tested_formula.get(formula)
        networks = [
            network
            for repeat, fold, network in self.networks
            if unseen is None or (repeat, fold) in unseen
        ]
        return ask(networks, structure, self.graph)


def _tested(folds: pd.DataFrame, column: str) -> dict[str, set[tuple[int, int]]]:
    """Repeats and folds in which each host or formula was tested."""
    return {
        str(name): set(zip(part["repeat"], part["fold"], strict=True))
        for name, part in folds.groupby(column)
    }
