"""Another workflow imports this one with `module`, as a part of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from .conftest import TINY, Clone

IMPORTING = """
configfile: "config.yaml"

module defectpool:
    snakefile: "{snakefile}"
    config: config["defectpool"]
    prefix: "defects"

use rule * from defectpool as defectpool_*

rule best:
    default_target: True
    input:
        "defects/results/table.csv",
    output:
        "best.txt",
    shell:
        "sort {{input}} | tail -n 1 > {{output}}"
"""


@pytest.fixture
def importing(tmp_path):
    """Return the folder of a workflow of ten lines that imports a fresh clone."""
    clone = Clone(tmp_path / "clone")
    folder = tmp_path / "importing"
    folder.mkdir()
    (folder / "Snakefile").write_text(IMPORTING.format(snakefile=clone.folder / "Snakefile"))
    with (folder / "config.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"defectpool": TINY | {"defects": ["vacancy"]}}, file)
    return folder


def run(folder, *arguments, **environment):
    done = subprocess.run(
        ["snakemake", "--cores", "1", "--show-failed-logs", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            **environment,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_workflow_that_imports_this_one_runs_a_campaign(importing):
    run(importing)
    assert "vacancy" in (importing / "best.txt").read_text()
    made = sorted(path.name for path in importing.iterdir())
    assert made == [".snakemake", "Snakefile", "best.txt", "config.yaml", "defects"]
    assert (importing / "defects/results/state/vacancy/2x2/max/gated").is_dir()
    assert "Nothing to be done" in run(importing)
    assert "defectpool_locate_defects" in run(importing, "defectpool_evidence", "--dry-run")


def test_jobs_import_the_library_beside_the_rules_and_no_other(importing, tmp_path):
    other = tmp_path / "other"
    (other / "defectpool").mkdir(parents=True)
    (other / "defectpool/__init__.py").write_text("raise ImportError('the wrong library')")
    run(importing, "defects/results/materials/selected.csv", PYTHONPATH=str(other))
