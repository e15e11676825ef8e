"""Training as a job: artifacts, resuming bit for bit, and what goes wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from crystal_examples import campaign

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.errors import DefectpoolError
from defectpool.network.initial import initial_network
from defectpool.network.model_file import load_models
from defectpool.network.pooling import POOLINGS
from defectpool.training import checkpoint, cross_validation, optimization, stepper
from defectpool.training.artifacts import Artifacts
from defectpool.training.cross_validation import Run
from defectpool.training.objective import Binary
from defectpool.training.step import predict
from defectpool.training.stepper import Limits, Stepper

NETWORK = NetworkSettings(width=8, hidden=8, gaussians=11)
TRAINING = TrainingSettings(epochs=4, folds=3, batch_size=8, learning_rate=0.01, device="cpu")

# Kills in the test of resuming; more of them take a few seconds each.
KILLS = int(os.environ.get("DEFECTPOOL_KILLS", "2"))
LONG = TRAINING.model_copy(update={"epochs": 2 * KILLS})


@pytest.fixture(scope="module")
def graphs():
    return campaign(12)


def train(graphs, folder, pooling="max", training=TRAINING, **options):
    title = options.pop("title", "training")
    run = Run(pooling, "gated", NETWORK, training, title=title)
    return cross_validation.cross_validate(graphs, run, folder, **options)


def same(one: Artifacts, two: Artifacts) -> bool:
    """Tell whether two artifacts are equal bit for bit, but for seconds."""
    tables = all(
        getattr(one, name).drop(columns="seconds", errors="ignore").equals(
            getattr(two, name).drop(columns="seconds", errors="ignore")
        )
        for name in ("history", "predictions")
    )  # fmt: skip
    weights = all(
        torch.equal(a["weights"][key], b["weights"][key])
        for a, b in zip(one.model["models"], two.model["models"], strict=True)
        for key in a["weights"]
    )
    return tables and weights


@pytest.fixture(scope="module")
def reference(graphs, tmp_path_factory):
    return train(graphs, tmp_path_factory.mktemp("reference"))


def test_artifacts(graphs, reference, tmp_path):
    table = reference.predictions
    assert list(table.columns) == [
        "structure", "host", "formula", "pair", "name", "repeat", "fold", "label",
        "probability", "probability_best_epoch",
    ]  # fmt: skip
    assert sorted(table.structure) == sorted(graphs.structure)
    assert dict(zip(table.structure, table.label, strict=True)) == dict(
        zip(map(str, graphs.structure), graphs.label, strict=True)
    )
    assert table.groupby("formula").fold.nunique().max() == 1
    assert table[["probability", "probability_best_epoch"]].stack().between(0, 1).all()
    history = reference.history
    assert list(history.columns) == [
        "repeat", "fold", "epoch", "loss", "train_accuracy", "validation_accuracy",
        "test_accuracy", "seconds",
    ]  # fmt: skip
    assert len(history) == 3 * 4
    # what the predictions say of the test fold is what the history says of the chosen epoch
    for one in reference.model["models"]:
        rows = table[table.fold == one["fold"]]
        of_fold = history[history.fold == one["fold"]].set_index("epoch")
        accuracy = ((rows.probability > 0.5) == (rows.label == 1)).mean()
        assert accuracy == pytest.approx(of_fold.test_accuracy[one["epoch"]])
        window = min(optimization.VALIDATION_WINDOW, len(of_fold))
        smooth = of_fold.validation_accuracy.rolling(window).mean().round(9)
        assert one["epoch"] == smooth[::-1].idxmax()
        best = ((rows.probability_best_epoch > 0.5) == (rows.label == 1)).mean()
        assert best == pytest.approx(of_fold.test_accuracy.max())
    for key in ("versions", "device", "threads", "seconds", "graphs_per_second", "peak_memory_mib"):
        assert reference.audit[key]
    files = [tmp_path / name for name in ("model.pt", "history.csv", "predictions.csv", "a.json")]
    reference.write(*files)
    assert pd.read_csv(files[2]).probability.to_numpy() == pytest.approx(
        table.probability.to_numpy(), rel=1e-8
    )
    dataset = CPUDataset(graphs, 3, 11)
    for repeat, fold, network in load_models(files[0]):
        rows = np.flatnonzero(np.isin(graphs.structure, table.structure[table.fold == fold]))
        logits = predict(network, dataset, rows)
        wanted = table[(table.fold == fold) & (table.repeat == repeat)].probability
        assert logits.double().sigmoid().numpy() == pytest.approx(wanted.to_numpy(), rel=1e-6)


def test_same_bytes_again(graphs, reference, tmp_path):
    again = train(graphs, tmp_path)
    assert same(reference, again)
    for number, artifacts in enumerate((reference, again)):
        folder = tmp_path / str(number)
        artifacts.write(*(folder / name for name in ("m", "h", "p", "a")))
    for name in ("m", "p"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    assert list(tmp_path.rglob("training.state")), "the checkpoint of a finished run stays"


def test_does_not_depend_on_the_threads_that_there_are(graphs, reference, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert same(reference, train(graphs, tmp_path))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_compression_changes_nothing_but_rounding(reference, tmp_path):
    full = train(campaign(12, compression=False), tmp_path)
    one, two = (artifacts.history.loss.to_numpy() for artifacts in (reference, full))
    assert one[:2] == pytest.approx(two[:2], rel=1e-3)


def test_batches_cut_on_the_device_change_nothing_but_rounding(
    graphs, reference, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        cross_validation, "dataset_on", lambda device, *rest: GPUDataset(*rest, device=device)
    )
    resident = train(graphs, tmp_path / "one")
    assert same(resident, train(graphs, tmp_path / "two"))
    one, two = (artifacts.history.loss.to_numpy() for artifacts in (reference, resident))
    assert one[:2] == pytest.approx(two[:2], rel=1e-3)


def test_poolings_share_hosts_and_weights(graphs, reference, tmp_path):
    other = train(graphs, tmp_path, pooling="mean")
    for column in ("structure", "fold"):
        assert other.predictions[column].equals(reference.predictions[column])


def test_repeats_differ(graphs, tmp_path):
    training = TRAINING.model_copy(update={"repeats": 2, "epochs": 1})
    table = train(graphs, tmp_path, training=training).predictions
    folds = [table[table.repeat == r].set_index("structure").fold for r in (0, 1)]
    assert (folds[0] != folds[1].loc[folds[0].index]).any()


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_learns(pooling, tmp_path):
    """A substitution in a small supercell is found by every pooling."""
    training = TRAINING.model_copy(update={"epochs": 30, "folds": 2})
    size = 2 if pooling in ("contrast", "outlier") else 1  # alone in its cell, nothing contrasts
    artifacts = train(campaign(16, "substitution", size), tmp_path, pooling, training)
    table = artifacts.predictions
    assert ((table.probability_best_epoch > 0.5) == table.label).mean() > 0.9


# ------------------------------------------------------------------------------------ resuming

JOB = """
import sys
sys.path[:0] = [{scripts!r}, {here!r}]
from pathlib import Path
from test_training_cross_validation import LONG, NETWORK, Run, campaign, cross_validation
run = Run("max", "gated", NETWORK, LONG)
artifacts = cross_validation.cross_validate(campaign(12), run, Path({state!r}), save_every=0.0)
artifacts.write(*(Path({out!r}) / name for name in ("model.pt", "h.csv", "predictions.csv", "a")))
"""


def start(folder: Path) -> subprocess.Popen:
    here = Path(__file__).parent
    code = JOB.format(
        scripts=str(here.parents[1] / "scripts"),
        here=str(here),
        state=str(folder / "state"),
        out=str(folder / "out"),
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_states(folder: Path, job: subprocess.Popen, changes: int) -> None:
    """Wait until the state file was written so many times, or the job ended."""
    seen: set[int] = set()
    while job.poll() is None and len(seen) < changes:
        for path in (folder / "state").glob("training.state"):
            try:
                seen.add(path.stat().st_mtime_ns)
            except FileNotFoundError:
                continue
        time.sleep(0.002)


@pytest.mark.parametrize(("how", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_killed_at_any_moment_it_gives_the_same(graphs, tmp_path, how, status):
    random = np.random.default_rng(0)
    for _ in range(KILLS):
        job = start(tmp_path)
        wait_for_states(tmp_path, job, int(random.integers(2, 8)))
        time.sleep(float(random.uniform(0, 0.02)))
        job.send_signal(how)
        log = job.communicate()[0]
        assert job.returncode == status, log
        assert ("a checkpoint is saved" in log) == (how == signal.SIGTERM)
    assert not (tmp_path / "out").exists()
    job = start(tmp_path)
    log = job.communicate()[0]
    assert job.returncode == 0 and "goes on" in log
    folder = tmp_path / "reference"
    reference = train(graphs, folder / "state", training=LONG)
    reference.write(*(folder / name for name in ("model.pt", "h.csv", "predictions.csv", "a")))
    for name in ("model.pt", "predictions.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


class StopAfter:
    """Ask a training in this process to stop after some steps."""

    def __init__(self, monkeypatch, steps: int) -> None:
        self.steps, self.count, real = steps, 0, stepper.train_step

        def counting(*arguments):
            self.count += 1
            if self.count == self.steps:
                os.kill(os.getpid(), signal.SIGUSR1)
            return real(*arguments)

        monkeypatch.setattr(stepper, "train_step", counting)


def test_goes_on_in_the_middle_of_an_epoch(graphs, reference, tmp_path, monkeypatch):
    stop = StopAfter(monkeypatch, 12)
    with pytest.raises(cross_validation.Interrupted) as stopped:
        train(graphs, tmp_path)
    assert stopped.value.code == 75
    assert stop.count == 12
    resumed = train(graphs, tmp_path)
    assert same(reference, resumed)
    assert resumed.audit["resumed"] == 1
    total = 3 * 4 * 2  # folds, epochs, batches
    assert stop.count <= total + 3, "steps were taken twice"


def test_damaged_state_is_set_aside(graphs, reference, tmp_path, monkeypatch, capsys):
    StopAfter(monkeypatch, 16)
    with pytest.raises(cross_validation.Interrupted):
        train(graphs, tmp_path, save_every=0.0)
    path = tmp_path / "training.state"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    resumed = train(graphs, tmp_path)
    assert "is damaged and was set aside" in capsys.readouterr().out
    assert (tmp_path / "training.state.damaged").exists()
    assert same(reference, resumed) and resumed.audit["resumed"] == 1


def test_state_of_another_training_is_not_used(graphs, tmp_path, monkeypatch, capsys):
    StopAfter(monkeypatch, 10)
    with pytest.raises(cross_validation.Interrupted):
        train(graphs, tmp_path)
    other = train(graphs, tmp_path, training=TRAINING.model_copy(update={"seed": 1}))
    assert "other settings, data or code" in capsys.readouterr().out
    assert other.audit["resumed"] == 0


def test_state_generations(tmp_path):
    path = tmp_path / "x.state"
    assert checkpoint.load(path, "a") == (None, [])
    for number in range(3):
        checkpoint.save(path, "a", {"number": number})
    assert checkpoint.load(path, "a")[0] == {"number": 2}
    path.write_bytes(path.read_bytes()[:-3])
    assert checkpoint.load(path, "a")[0] == {"number": 1}
    (tmp_path / ".0123abcd.x.state").write_bytes(b"what a killed writer leaves")
    assert checkpoint.load(path, "b")[0] is None
    assert len(checkpoint.load(path, "b")[1]) == 1, (
        "the damaged one is set aside, the other is named"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.state.damaged", "x.state.previous"]
    for file in tmp_path.iterdir():
        file.unlink()
    assert checkpoint.load(path, "a") == (None, [])


# ------------------------------------------------------------------------------ what goes wrong


def test_a_state_saved_on_a_gpu_is_read_without_one(tmp_path, monkeypatch):
    path, tensor = tmp_path / "training.state", torch.arange(3.0)
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    checkpoint.save(path, "key", {"moments": tensor})
    monkeypatch.undo()
    content, _ = checkpoint.load(path, "key")
    assert content is not None and torch.equal(content["moments"], tensor)


def test_one_class(graphs, tmp_path):
    from dataclasses import replace

    with pytest.raises(DefectpoolError, match="not both defective and pristine"):
        train(replace(graphs, label=np.zeros_like(graphs.label)), tmp_path)


def test_one_host(tmp_path):
    with pytest.raises(DefectpoolError, match=r"training\.folds"):
        train(campaign(1), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(graphs, tmp_path):
    with pytest.raises(DefectpoolError, match="cuda was asked for"):
        train(graphs, tmp_path, training=TRAINING.model_copy(update={"device": "cuda"}))


def test_loss_that_is_not_finite(graphs, tmp_path):
    from dataclasses import replace

    broken = graphs.distances.copy()
    broken[0] = np.nan
    with pytest.raises(DefectpoolError, match=r"not finite.*h\d+:vacancy"):
        train(replace(graphs, distances=broken), tmp_path)


def test_graphs_compressed_for_fewer_convolutions(graphs):
    with pytest.raises(DefectpoolError, match="compressed for 3 convolutions"):
        CPUDataset(graphs, 4, 41)


def stepper_of(graphs, say=print):
    """Stepper of a network on the CPU that takes itself for one on a GPU."""
    network = initial_network("max", "gated", NETWORK, 6.0, 0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    dataset = CPUDataset(graphs, 3, 11)
    found = Stepper(network, optimizer, dataset, Binary(), Limits(), say)
    found.on_cpu = False
    return found


def test_out_of_gpu_memory_doubles_the_micro_batches(graphs, monkeypatch):
    """The step is taken once, in the micro-batches that fit, and statistics count it once."""
    said: list[str] = []
    one = stepper_of(graphs, said.append)
    real, seen = stepper.train_step, []

    def scarce(network, optimizer, dataset, indices, objective, micro_batches):
        seen.append(micro_batches)
        if micro_batches < 4:
            network(dataset.batch(indices))  # moves the running statistics, then fails
            raise torch.OutOfMemoryError("out of memory")
        return real(network, optimizer, dataset, indices, objective, micro_batches)

    monkeypatch.setattr(stepper, "train_step", scarce)
    one.step(np.arange(8))
    assert seen == [1, 2, 4] and one.limits.micro_batches == 4
    assert int(one.network.convs[0].bn1.num_batches_tracked) == 4
    assert "computed in 4 micro-batches" in said[-1]
    with pytest.raises(DefectpoolError, match="GPU's memory"):
        one.limits.micro_batches = 2
        one.step(np.arange(2))


def test_out_of_gpu_memory_evaluates_fewer_at_a_time(graphs, monkeypatch):
    said: list[str] = []
    one, indices = stepper_of(graphs, said.append), np.arange(10)
    wanted = one.evaluate(indices)
    real, most = stepper.logits_of, 3

    def scarce(network, batches):
        if max(len(batch) for batch in batches) > most:
            raise torch.OutOfMemoryError("out of memory")
        return real(network, batches)

    monkeypatch.setattr(stepper, "logits_of", scarce)
    torch.testing.assert_close(one.evaluate(indices), wanted)
    assert one.limits.evaluated_together == 2
    assert "2 graphs are evaluated at a time" in said[-1]
    most = 0
    with pytest.raises(DefectpoolError, match="GPU's memory"):
        one.evaluate(indices)


def test_micro_batches_have_the_same_loss_scale(graphs):
    """Without batch normalization (eq. 4) micro-batches are exactly the batch."""
    dataset = CPUDataset(graphs, 3, 11, dtype=torch.float64)
    found = []
    for parts in (1, 2, 5):
        network = initial_network("max", "summed", NETWORK, 6.0, 0).double()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        loss, _ = stepper.train_step(network, optimizer, dataset, np.arange(10), Binary(), parts)
        found.append((loss, network.fc_out.weight.detach().clone()))
    for loss, weight in found[1:]:
        torch.testing.assert_close(loss, found[0][0].to(loss.dtype), rtol=1e-6, atol=0)
        torch.testing.assert_close(weight, found[0][1], rtol=1e-10, atol=1e-12)


def test_a_bar_on_a_terminal(graphs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(graphs, tmp_path, title="max gated", training=TRAINING.model_copy(update={"epochs": 1}))
    captured = capsys.readouterr()
    assert "max gated" in captured.err and "graph/s" in captured.err
    assert "validation accuracy" in captured.err


def test_lines_in_a_log(graphs, tmp_path, capsys):
    train(graphs, tmp_path, title="max gated")
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("max gated: repeat 1/1, fold 3/3, epoch 4/4, loss ")
    assert "graphs/s" in out[-1] and out[-1].endswith("0:00:00 left")
