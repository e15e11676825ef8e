"""Several runs in one job: the results of separate jobs, whatever fails or interrupts them."""

import os
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from crystal_examples import campaign

from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.errors import DefectpoolError
from defectpool.training import cross_validation, stepper
from defectpool.training.cross_validation import Interrupted, Run, SharedDataset
from defectpool.training.objective import objective_of
from defectpool.training.together import Entry, train_together

NETWORK = NetworkSettings(width=8, hidden=8, gaussians=11)
TRAINING = TrainingSettings(epochs=3, folds=3, batch_size=8, device="cpu")
FILES = {
    "model": "model.pt",
    "history": "history.csv",
    "predictions": "predictions.csv",
    "audit": "audit.json",
}
# A pooling of the user's whose networks learn nothing, and one with a mistake in it.
POOLINGS = """
def nothing(sites):
    return sites.crystals.max(sites.features) * float("nan")


def mistaken(sites):
    return sites.crystals.middle(sites.features)
"""


@pytest.fixture(scope="module")
def graphs():
    return campaign(12)


def entry(folder, pooling, convolution="gated"):
    name = pooling.rpartition(":")[2]
    run = Run(pooling, convolution, NETWORK, TRAINING, objective_of(pooling), title=name)
    files = {key: folder / "results" / name / file for key, file in FILES.items()}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    return Entry(run, folder / "state" / name, files)


def entries(folder, *poolings):
    return [entry(folder, pooling) for pooling in poolings]


def assert_same(one, two):
    """Compare all results but for seconds."""
    for name in ("model", "predictions"):
        assert one.files[name].read_bytes() == two.files[name].read_bytes()
    histories = [pd.read_csv(each.files["history"]).drop(columns="seconds") for each in (one, two)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


@pytest.fixture(scope="module")
def separate(graphs, tmp_path_factory):
    """Return entries that were trained in a call of their own each, by name."""
    found = entries(tmp_path_factory.mktemp("separate"), "mean", "max", "sites")
    for one in found:
        train_together(graphs, [one])
    return {one.run.title: one for one in found}


def made_data_sets(monkeypatch):
    """Return a list that grows by every data set that is made."""
    made, real = [], cross_validation.dataset_on

    def counting(*arguments):
        made.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(cross_validation, "dataset_on", counting)
    return made


def test_results_are_those_of_separate_jobs(graphs, separate, tmp_path, monkeypatch):
    made = made_data_sets(monkeypatch)
    together = entries(tmp_path, *separate)
    train_together(graphs, together)
    assert len(made) == 1
    for one in together:
        assert_same(one, separate[one.run.title])


def test_a_data_set_is_shared_by_equal_labels_and_sizes_alone(graphs, monkeypatch):
    made, shared, cpu = made_data_sets(monkeypatch), SharedDataset(), torch.device("cpu")
    first = shared.of(cpu, graphs, NETWORK)
    assert shared.of(cpu, objective_of("sites").labeled(graphs), NETWORK) is first
    others = replace(graphs, label=2 * np.asarray(graphs.label))
    assert shared.of(cpu, others, NETWORK).label.max() == 2
    assert shared.of(cpu, others, NETWORK.model_copy(update={"gaussians": 5})) is not first
    assert len(made) == 3


def test_one_that_fails_takes_no_other_with_it(graphs, separate, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(POOLINGS)
    together = entries(tmp_path, "mean", "mine.py:nothing", "mine.py:mistaken", "max")
    with pytest.raises(DefectpoolError) as failed:
        train_together(graphs, together)
    first, *reasons, advice = str(failed.value).splitlines()
    assert first == "2 of 4 entries of this job failed; the others are trained"
    assert reasons[0].startswith("nothing: the loss is not finite in epoch 1; lower training.")
    assert reasons[1].startswith("mistaken: AttributeError(")
    assert "set training.entries_per_job: 1" in advice and "without training" in advice
    assert "in mistaken" in capsys.readouterr().err, "a mistake in code has its traceback"
    for one in (together[0], together[3]):
        assert_same(one, separate[one.run.title])
        one.files["model"].unlink()
    assert not any(path.exists() for one in together[1:3] for path in one.files.values())
    # what the advice promises: steps are taken by nobody
    monkeypatch.setattr(stepper, "train_step", None)
    for one in (together[0], together[3]):
        train_together(graphs, [one])
        assert_same(one, separate[one.run.title])


def test_a_reason_that_all_have_is_said_once(tmp_path):
    with pytest.raises(DefectpoolError) as failed:
        train_together(campaign(2), entries(tmp_path, "mean", "max"))
    first, reason = str(failed.value).splitlines()
    assert first == "all 2 entries of this job failed"
    assert reason.startswith("mean, max: training.folds:")


def test_interrupted_it_goes_on_where_it_was(graphs, separate, tmp_path, monkeypatch, capsys):
    taken, real = [], stepper.train_step

    def counting(*arguments):
        taken.append(arguments)
        if len(taken) == 21:  # of 18 steps for each entry
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(stepper, "train_step", counting)
    together = entries(tmp_path, *separate)
    with pytest.raises(Interrupted):
        train_together(graphs, together)
    assert [one.files["model"].exists() for one in together] == [True, False, False]
    train_together(graphs, together)
    assert len(taken) == 3 * 18
    said = capsys.readouterr().out
    assert "mean: goes on after 3 of 3 folds" in said and "max: goes on after 0 of 3" in said
    for one in together:
        assert_same(one, separate[one.run.title])
