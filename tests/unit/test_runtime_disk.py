"""A full disk and a missing permission: one line that says where, and never damage."""

import errno
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import mx2
from test_graphs_hdf5 import vacancy_pair

from defectpool.config import GraphSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation.predictions import read_audit, read_history, read_predictions
from defectpool.graphs import hdf5
from defectpool.graphs.disk_array import DiskArray
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.network import model_file
from defectpool.runtime.atomic_write import replacing, write_bytes
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures
from defectpool.training import checkpoint


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_shard(path: Path) -> None:
    """Write a shard where other files have left no room."""
    (path.parents[1] / "others").write_bytes(bytes(1_000_000))
    settings = GraphSettings(compression=False)
    hdf5.write_shard(path, vacancy_pair("a", mx2("MoS2", vacuum=8), 20), settings, 3)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, bytes(3_000_000)),
        lambda path: model_file.write_models(path, {"x": torch.zeros(10**6)}),
        lambda path: checkpoint.save(path, "key", {"x": torch.zeros(10**6)}),
        write_shard,
        lambda path: DiskArray(10**6, np.int32, path.parent).__setitem__(
            slice(0, 10**6), np.ones(10**6, np.int32)
        ),
    ],
)
def test_a_full_disk_is_one_line_in_the_log_and_on_the_screen(small_disk, capsys, write):
    path, log = small_disk / "here" / "result", small_disk / "job.log"
    with pytest.raises(SystemExit) as caught, logging_to(log):
        write(path)
    assert caught.value.code == 1
    text = capsys.readouterr().err
    assert log.read_text() == text and text.count("\n") == 1
    assert re.fullmatch(
        rf"error: {small_disk}/here: the disk or quota is full \(\d\.\d MB free, "
        r"\d\.\d MB needed, \d\.\d MB missing\); free some space and run the same command again\n",
        text,
    )
    assert list(path.parent.iterdir()) == []


def test_a_log_that_fills_the_disk(small_disk, capsys):
    with pytest.raises(SystemExit), logging_to(small_disk / "job.log"):
        for _ in range(2000):
            print("x" * 1000)
    said = capsys.readouterr().err
    assert f"error: {small_disk}: the disk or quota is full (0.0 MB free)" in said


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_missing_permission_names_the_folder(tmp_path, capsys, number):
    target = tmp_path / "results" / "a.csv"
    with (
        pytest.raises(SystemExit),
        logging_to(tmp_path / "job.log"),
        replacing(target) as temporary,
    ):
        raise OSError(number, os.strerror(number), str(temporary))
    said = f"error: {tmp_path}/results: {os.strerror(number).lower()}\n"
    assert capsys.readouterr().err == said == (tmp_path / "job.log").read_text()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize(
    ("read", "module"),
    [
        (lambda path: hdf5.read_shards([path]), "h5py.File"),
        (model_file.load_models, "torch.load"),
        (read_predictions, "pandas.read_csv"),
        (read_history, "pandas.read_csv"),
        (read_prototypes, "pandas.read_csv"),
        (read_audit, "pathlib.Path.read_text"),
        (lambda path: list(read_structures(path)), "gzip.open"),
    ],
)
def test_a_file_that_the_system_does_not_give_is_not_damaged(
    tmp_path, monkeypatch, read, module, number
):
    path = tmp_path / "file.xyz.gz"
    path.touch()

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(module, fail)
    with pytest.raises(DefectpoolError) as caught:
        read(path)
    why = os.strerror(number).lower()
    expected = f"{path}: cannot be read: {why}; check its permissions and the file system"
    assert str(caught.value) == expected


def test_other_errors_of_the_system_keep_their_traceback(tmp_path):
    with pytest.raises(FileNotFoundError), logging_to(tmp_path / "job.log"):
        (tmp_path / "no").read_text()
    assert "Traceback" in (tmp_path / "job.log").read_text()
