"""A fresh clone in which real Snakemake runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "rules", "scripts", "config", "profiles", "envs", "README.md", "Makefile")

# A campaign of seconds that still has every stage.
TINY = {
    "materials": {"limit": 16},
    "defects": ["vacancy", "interstitial"],
    "supercells": ["2x2"],
    "training": {"epochs": 2, "folds": 2},
}


class Clone:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, folder / part, ignore=ignored)
            else:
                shutil.copy2(source, folder / part)

    def configure(self, **changes: object) -> Path:
        """Write a config with these keys, and return its path."""
        path = self.folder / "my.yaml"
        with path.open("w") as file:
            YAML(typ="safe", pure=True).dump(changes, file)
        return path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `snakemake` with these arguments, as typed in the clone."""
        return subprocess.run(
            ["snakemake", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "OMP_NUM_THREADS": "1",
                **environment,
            },
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Return a fresh clone."""
    return Clone(tmp_path / "clone")


@pytest.fixture(scope="session")
def new_clone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Clone]:
    """Return a maker of fresh clones."""
    return lambda: Clone(tmp_path_factory.mktemp("campaign") / "clone")


@pytest.fixture(scope="session")
def finished(new_clone: Callable[[], Clone]) -> Clone:
    """Return a clone in which the tiny campaign has run to its end; not to be changed."""
    clone = new_clone()
    clone.configure(**TINY)
    done = clone.run("--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return clone
