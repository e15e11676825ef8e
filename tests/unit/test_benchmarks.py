"""Benchmark scripts: help, options, and what the one of a training step writes."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import structure_to_graph
import training_step

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.parametrize("script", [training_step, structure_to_graph])
def test_help_is_no_folder(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(script.main, ["--help"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Usage")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        ["--supercells", "2x3"],
        ["--cells", "ordered"],
        ["--implementations", "alignn"],
        ["--cells", "ideal", "--implementations", "sparse"],
        ["--threads", "0"],
    ],
)
def test_wrong_options_are_refused(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(training_step.main, ["out", *options])
    assert done.exit_code == 2, done.output
    assert not list(tmp_path.iterdir())


def test_quick_run_writes_table_report_and_plot(tmp_path):
    chosen = ["--cells", "disordered", "--implementations", "defectpool,cgcnn2"]
    script = [sys.executable, training_step.__file__, "out"]
    environment = {
        "PYTHONPATH": str(SCRIPTS),
        "DEFECTPOOL_SHARED": str(tmp_path / "nothing"),  # on the embedded monolayers
    }
    done = subprocess.run(
        [*script, "--quick", "--supercells", "2x2", *chosen],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "training_step.csv")
    assert list(table.columns) == ["cells", "supercell", "implementation", "ms_per_graph"]
    assert table.iloc[:, :3].to_numpy().tolist() == [
        ["disordered", "2x2", "defectpool"],
        ["disordered", "2x2", "cgcnn2"],
    ]
    assert (table.ms_per_graph > 0).all()
    text = (tmp_path / "out" / "training_step.md").read_text(encoding="utf-8")
    assert "GB/s" in text and "GFLOP/s" in text and "## Aims" in text
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".md", ".svg", ".png"}
