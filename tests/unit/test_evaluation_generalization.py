"""Generalization: the network of the correct fold for each host, and consistent accuracies."""

import numpy as np
import pandas as pd
import pytest
import torch
from crystal_examples import graphs, pair

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import generalization
from defectpool.evaluation.tables import RUN_KEY, write_csv
from defectpool.network.model_file import load_models
from defectpool.reporting import plots_generalization
from defectpool.supercell_labels import cells
from defectpool.training.cross_validation import Run, cross_validate

NETWORK = NetworkSettings(width=8, hidden=8, gaussians=11)
TRAINING = TrainingSettings(epochs=2, folds=3, repeats=2, batch_size=8, device="cpu")


def campaign(size, hosts=12):
    return graphs([one for i in range(hosts) for one in pair(i, "vacancy", size)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    outcome = cross_validate(campaign(2), Run("max", "gated", NETWORK, TRAINING), folder / "state")
    files = {n: folder / n for n in ("model", "history", "predictions", "audit")}
    outcome.write(**files)
    return outcome, files


def test_where_it_was_trained_nothing_changes(trained):
    """On the very structures of the test folds, the predictions are the stored ones."""
    outcome, files = trained
    same = campaign(2)
    found = generalization.test(
        load_models(files["model"]), outcome.predictions, same, CPUDataset(same, 3, 11)
    )
    for column in ("structure", "host", "repeat", "fold", "label"):
        assert (found[column] == outcome.predictions[column]).all()
    np.testing.assert_allclose(found["probability"], outcome.predictions["probability"], atol=2e-6)


def test_each_host_goes_to_the_network_that_never_saw_it(trained):
    outcome, files = trained
    other = campaign(3, hosts=15)  # three of them unknown to the networks
    models = load_models(files["model"])
    found = generalization.test(models, outcome.predictions, other, CPUDataset(other, 3, 11))
    assert set(found["host"]) == set(outcome.predictions["host"])
    trained_in = outcome.predictions.set_index(["repeat", "host"])["fold"]
    for row in found.itertuples():
        assert (trained_in.loc[(row.repeat, row.host)] == row.fold).all()
    # one by one, by the network itself
    plain = CPUDataset(other, 3, 11, merge=False)
    networks = {(repeat, fold): network for repeat, fold, network in models}
    for row in found.sample(8, random_state=0).itertuples():
        number = list(other.structure).index(row.structure)
        with torch.inference_mode():
            logit = networks[row.repeat, row.fold](plain.batch([number], gradients=False))
        assert row.probability == pytest.approx(torch.sigmoid(logit).item(), abs=1e-5)
        assert row.sites == other.site_offset[number + 1] - other.site_offset[number]


def test_a_random_split_is_refused(trained):
    outcome, files = trained
    mixed = outcome.predictions.copy()
    mixed.loc[mixed["label"] == 1, "fold"] = (mixed["fold"] + 1) % 3
    other = campaign(2)
    with pytest.raises(DefectpoolError, match=r"training\.split"):
        generalization.test(load_models(files["model"]), mixed, other, CPUDataset(other, 3, 11))


def test_no_host_in_common(trained):
    outcome, files = trained
    other = graphs(pair(20, "vacancy", 2))
    with pytest.raises(DefectpoolError, match="no structure could be built of a host"):
        generalization.test(
            load_models(files["model"]), outcome.predictions, other, CPUDataset(other, 3, 11)
        )


def test_from_files_to_accuracies(trained, tmp_path):
    _, files = trained
    run = dict(zip(RUN_KEY, ("vacancy", "2x2", "max", "gated"), strict=True)) | files
    parts = []
    for size in (1, 2, 3):
        part = generalization.test_runs([run], campaign(size))
        part.insert(2, "tested", f"{size}x{size}")
        write_csv(part, tmp_path / f"{size}.csv")
        parts.append(generalization.read(tmp_path / f"{size}.csv"))
    everything = pd.concat(parts)
    found = generalization.accuracies(everything, "tested", 200)
    assert list(found["tested"]) == ["1x1", "2x2", "3x3"]
    for row in found.itertuples():
        part = everything[everything["tested"] == row.tested]
        correct = (part["probability"] > 0.5) == (part["label"] == 1)
        assert row.accuracy == pytest.approx(correct.mean())
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high
        pristine = part[part["label"] == 0].drop_duplicates("structure")
        assert row.sites == pytest.approx(pristine["sites"].mean())
    paths = [tmp_path / "matrix.svg", tmp_path / "line.svg", tmp_path / "again.svg"]
    plots_generalization.heat_maps(found, paths[:1])
    plots_generalization.accuracy_by_concentration(found, paths[1:2])
    plots_generalization.heat_maps(found, paths[2:])
    assert all(path.read_text().lstrip().startswith("<?xml") for path in paths)
    assert paths[0].read_bytes() == paths[2].read_bytes()


def test_cells():
    assert cells("3x2") == 6
    assert cells("2_1x-1_1") == 3
