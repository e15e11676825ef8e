"""The commands of the README do what it says."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from .conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.M | re.S)
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "envs/README.md",
        "profiles/README.md",
    )
]
PAGES += [*(ROOT / "config").glob("*.md"), ROOT / "results/README.md"]
MAKE_TARGETS = sorted(set(re.findall(r"\bmake ([a-z][a-z-]*)", README)) - {"jobs"})


@pytest.fixture
def ready(clone):
    """Return a clone whose virtual environment is the one that runs the tests."""
    (clone.folder / ".venv").symlink_to(sys.prefix)
    (clone.folder / "c2db.db").touch()
    return clone


def typed(clone, line):
    return subprocess.run(
        ["bash", "-c", f". .venv/bin/activate && {line}"],
        cwd=clone.folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("snakemake")])
def test_every_snakemake_command_resolves_as_typed(ready, line):
    [example] = [text for kind, text in BLOCKS if kind == "yaml"]
    (ready.folder / "my.yaml").write_text(example)
    done = typed(ready, f"{line} -n")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", range(len([kind for kind, _ in BLOCKS if kind == "python"])))
def test_every_python_example_runs(finished, number):
    example = [text for kind, text in BLOCKS if kind == "python"][number]
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=finished.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_two_commands_are_there():
    assert {"snakemake results/table.csv", "snakemake --profile profiles/slurm"} <= set(COMMANDS)
    assert "make test" in COMMANDS


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", MAKE_TARGETS)
def test_every_target_of_make_exists(ready, target):
    done = typed(ready, f"make -n {target}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_path_that_a_page_links_to_exists():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for name in re.findall(r"`(scripts/[\w/]+\.py)`", README + CONTRIBUTING):
        assert (ROOT / name).is_file(), name


def test_twenty_questions_have_a_file_each():
    table = CONTRIBUTING.partition("| question | file |")[2].partition("\n\n")[0]
    files = re.findall(r"\| `([^`]+)` \|$", table, flags=re.M)
    assert len(files) == len(set(files)) >= 20
    for name in files:
        assert (ROOT / name).is_file(), name
