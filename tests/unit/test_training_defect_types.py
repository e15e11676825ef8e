"""Defect-type classification: from names, and by one network for all defects."""

import numpy as np
import pandas as pd
import pytest
from crystal_examples import graphs, pair
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from defectpool.config import NetworkSettings, StructuresSettings, TrainingSettings
from defectpool.evaluation import defect_types as classification_metrics
from defectpool.materials.embedded import hosts
from defectpool.reporting import plots_generalization
from defectpool.structures.build import build_structures
from defectpool.structures.labels import PRISTINE, defect_type_of
from defectpool.training.cross_validation import Run, cross_validate
from defectpool.training.objective import DefectTypes

NETWORK = NetworkSettings(width=16, hidden=16, gaussians=21)
TRAINING = TrainingSettings(
    epochs=25, folds=2, batch_size=8, learning_rate=0.01, device="cpu", validation=0.2
)


def test_type_of_every_built_defect():
    """The type that a name says is the type that was built."""
    some = [host for _, host in zip(range(40), hosts(), strict=False)]
    settings = StructuresSettings(choose="all", substitution=["H", "Li", "S", "Mo"])
    for defect in ("vacancy", "antisite", "substitution", "interstitial"):
        built, _ = build_structures(some, defect, "1x1", settings)
        assert built
        for one in built:
            expected = defect if one.label else PRISTINE
            assert defect_type_of(one.name, one.formula, one.label) == expected


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    examples = []
    for i in range(16):
        for defect, name in (("vacancy", "v_X"), ("substitution", "Li_X"), ("adatom", "H_i")):
            for one in pair(i, defect, 3):
                object.__setattr__(one, "name", name)
                examples.append(one)
    objective = DefectTypes.of(["vacancy", "substitution", "interstitial"])
    run = Run("max", "gated", NETWORK, TRAINING, objective)
    return cross_validate(graphs(examples), run, tmp_path_factory.mktemp("types")).predictions


def test_learns_the_type_on_unseen_formulas(predictions):
    assert len(predictions) == 96
    assert predictions.groupby("formula")["fold"].nunique().max() == 1
    right = predictions["defect_type"] == predictions["predicted"]
    assert right.mean() > 0.8  # half are pristine: guessing the most frequent gives 0.5


def test_figures_agree_with_scikit_learn(predictions):
    names = [PRISTINE, "vacancy", "substitution", "interstitial"]
    table = classification_metrics.confusion(predictions, names)
    ours = table.pivot(index="defect_type", columns="predicted", values="count").loc[names, names]
    theirs = confusion_matrix(predictions["defect_type"], predictions["predicted"], labels=names)
    assert (ours.to_numpy() == theirs).all()
    found = classification_metrics.metrics(predictions, names, 200)
    assert found["accuracy"] == pytest.approx(np.trace(theirs) / theirs.sum())
    assert found["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(predictions["defect_type"], predictions["predicted"])
    )
    assert found["accuracy_low"] <= found["accuracy"] <= found["accuracy_high"]


def test_confusion_plot(predictions, tmp_path):
    names = [PRISTINE, "vacancy", "substitution", "interstitial"]
    table = classification_metrics.confusion(predictions, names).assign(
        supercell="3x3", pooling="max", convolution="gated"
    )
    for name in ("one.svg", "two.svg"):
        plots_generalization.confusion_matrices(table, [tmp_path / name])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_found_by_type():
    rows = [
        ("a", 1, 0.9, "vacancy"), ("a", 0, 0.2, "vacancy"),
        ("b", 1, 0.1, "antisite"), ("b", 0, 0.3, "antisite"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["host", "label", "probability", "defect_type"]).assign(
        structure=range(4), formula="X", repeat=0, fold=0
    )
    found = classification_metrics.detection_by_defect_type(table, 100).set_index("defect_type")
    assert found.loc["vacancy", "accuracy"] == 1
    assert found.loc["antisite", "accuracy"] == 0.5
    assert found.loc["antisite", "sensitivity"] == 0
