"""Training on graphs whose edges do not fit into memory: the bytes of a training in memory."""

import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from crystal_examples import graphs, pair

from defectpool.batching.batch import SparseInputs, on_device
from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.dataset import cpu_dataset
from defectpool.batching.merging import global_edges
from defectpool.batching.neighbor_dataset import NeighborDataset
from defectpool.config import GraphSettings, NetworkSettings, TrainingSettings
from defectpool.graphs import graph_set as graph_set_module
from defectpool.graphs.disk_array import DiskArray
from defectpool.graphs.graph_set import edges_of_nodes, graph_set, pieces_of_graphs
from defectpool.graphs.hdf5 import read_shards, write_shard
from defectpool.network.initial import initial_network
from defectpool.training import cross_validation
from defectpool.training.cross_validation import Run
from defectpool.training.step import train_step

NETWORK = NetworkSettings(width=8, hidden=8, gaussians=11)
TRAINING = TrainingSettings(epochs=3, folds=3, batch_size=8, device="cpu")
EDGE_BYTES = 16
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(SCRIPTS)}


def displaced(hosts, size=3):
    """Vacancies and pristine cells in which no site repeats another."""
    random = np.random.default_rng(0)
    found = [one for number in range(hosts) for one in pair(number, "vacancy", size)]
    for one in found:
        one.atoms.positions += random.normal(0, 0.05, one.atoms.positions.shape)
    return found


def ideal(hosts, size=3):
    return [one for number in range(hosts) for one in pair(number, "vacancy", size)]


def shards(examples, folder, settings=None, parts=3):
    paths = [folder / f"{number:03d}.h5" for number in range(parts)]
    for number, path in enumerate(paths):
        cut = slice(*(2 * (len(examples) // 2 * n // parts) for n in (number, number + 1)))
        write_shard(path, examples[cut], settings or GraphSettings(radius=6.0), 3)
    return paths


def tenth(paths):
    """A tenth of what the edges of some shards take."""
    return len(read_shards(paths).source) * EDGE_BYTES // 10


def trained(graph_set, folder, pooling="max"):
    """Files of a training, but for its seconds."""
    run = Run(pooling, "gated", NETWORK, TRAINING)
    artifacts = cross_validation.cross_validate(graph_set, run, folder / "state")
    files = [folder / name for name in ("model.pt", "history.csv", "predictions.csv", "a.json")]
    replace(artifacts, history=artifacts.history.drop(columns="seconds")).write(*files)
    return [path.read_bytes() for path in files[:3]]


@pytest.mark.parametrize("examples", [displaced, ideal])
def test_ten_times_the_memory_gives_the_bytes_of_a_training_in_memory(
    tmp_path, monkeypatch, examples
):
    paths = shards(examples(9), tmp_path)
    monkeypatch.setattr(graph_set_module, "PIECE", 1000)
    on_disk = read_shards(paths, tenth(paths), tmp_path / "scratch")
    assert on_disk.on_disk
    assert trained(on_disk, tmp_path / "1") == trained(read_shards(paths), tmp_path / "2")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_training_goes_on_with_another_limit(tmp_path, capsys):
    paths = shards(displaced(6), tmp_path)
    begun = trained(read_shards(paths), tmp_path)
    assert trained(read_shards(paths, tenth(paths), tmp_path), tmp_path) == begun
    assert "goes on after 3 of 3 folds" in capsys.readouterr().out


@pytest.mark.parametrize("piece", [1, 100, 1000, 10**6])
@pytest.mark.parametrize("compression", [True, False])
def test_pieces_leave_no_trace(tmp_path, monkeypatch, piece, compression):
    settings = GraphSettings(radius=6.0, compression=compression)
    examples = ideal(3, size=2) + displaced(2, size=2)
    wanted = graph_set(examples, settings, 3)
    degrees = np.bincount(global_edges(wanted)[1], minlength=len(wanted.atomic_number))
    paths = shards(examples, tmp_path, settings)
    monkeypatch.setattr(graph_set_module, "PIECE", piece)
    for memory in (None, len(wanted.source) * EDGE_BYTES, 1):
        read = read_shards(paths, memory, tmp_path)
        assert read.on_disk == (memory == 1)
        for key, values in vars(wanted).items():
            assert np.array_equal(np.asarray(getattr(read, key)), values), key
        assert np.array_equal(edges_of_nodes(read), degrees)


def test_pieces_are_whole_graphs():
    offset = np.array([0, 2, 2, 9, 10, 10])
    assert [*pieces_of_graphs(offset)] == [(0, 5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_set_module, "PIECE", 3)
        assert [*pieces_of_graphs(offset)] == [(0, 2), (2, 3), (3, 5)]
    assert [*pieces_of_graphs(offset[:1])] == []


def test_an_array_on_disk_is_read_and_written_by_slices(tmp_path):
    random = np.random.default_rng(0)
    values = np.zeros(1000, dtype=np.int32)
    array = DiskArray(len(values), np.int32, tmp_path)
    for begin, end in random.integers(0, 1001, (50, 2)):
        new = random.integers(0, 100, max(end - begin, 0))
        array[begin : begin + len(new)] = values[begin : begin + len(new)] = new
    array[0:1000] = values
    for begin, end in random.integers(-1100, 1100, (50, 2)):
        assert np.array_equal(array[begin:end], values[begin:end])
    assert array[:0].dtype == values.dtype and len(array) == len(values)
    assert np.array_equal(np.asarray(array), values)
    assert list(tmp_path.iterdir()) == []


def test_reading_takes_less_memory_than_the_edges(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_set_module, "PIECE", 1000)
    paths = shards(displaced(24, size=6), tmp_path, GraphSettings(radius=5.0, max_neighbors=None))
    edges = len(read_shards(paths).source) * EDGE_BYTES

    def peak(memory):
        tracemalloc.start()
        read = read_shards(paths, memory, tmp_path)
        dataset = NeighborDataset(read, 3, 11)
        cross_validation.fingerprint(read, Run("max", "gated", NETWORK, TRAINING), [])
        assert [len(dataset.batch([graph])) for graph in range(len(dataset))] == [1] * len(dataset)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(edges) > edges
    assert peak(edges // 10) < peak(edges) - 0.9 * edges


def test_a_step_on_a_device_asks_it_for_nothing(tmp_path):
    """Batches of graphs on disk for a GPU: a meta tensor has no values, so nothing may wait."""
    paths = shards(displaced(4, size=2), tmp_path)
    dataset = cpu_dataset(read_shards(paths, 1, tmp_path), 3, 11, device="meta")
    assert isinstance(dataset, NeighborDataset) and dataset.on_disk
    network = initial_network("max", "gated", NETWORK, 6.0, 0).to("meta")
    loss, _ = train_step(network, torch.optim.AdamW(network.parameters()), dataset, np.arange(4))
    assert loss.device.type == "meta"


def test_batches_for_a_device_are_those_of_the_cpu():
    graph_set = graphs(displaced(3))
    network = initial_network("outlier", "gated", NETWORK, 6.0, 0).double()
    plain = CPUDataset(graph_set, 3, 11, merge=False, dtype=torch.float64)
    wanted = network(plain.batch([2, 0]))
    batch = NeighborDataset(graph_set, 3, 11, dtype=torch.float64).batch([2, 0])
    sparse = replace(batch, inputs=SparseInputs(batch.expanded, batch.layers))
    sent = on_device(sparse, torch.device("cpu"))
    assert sent.layers[0] is sent.layers[2]
    torch.testing.assert_close(network(sent), wanted, rtol=1e-10, atol=1e-10)


def test_nothing_remains_of_a_job_that_is_killed(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
import numpy as np
from defectpool.graphs.disk_array import DiskArray
array = DiskArray(1000, np.int32, Path(sys.argv[1]))
array[0:1000] = np.ones(1000)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
