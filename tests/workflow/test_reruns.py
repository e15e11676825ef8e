"""What is done again, and what is not, when something has changed beside finished results."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from .conftest import PARTS, TINY, Clone

EVERYTHING = {"select_materials", "build_structures", "build_graphs", "train", "make_table"}


@pytest.fixture
def copy(finished, clone) -> Clone:
    """Return a fresh clone, every file of its code new, with the finished results in it."""
    shutil.rmtree(clone.folder)
    clone.folder.mkdir()
    for part in PARTS:
        source, target = finished.folder / part, clone.folder / part
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copy)
        else:
            shutil.copy(source, target)
    for part in ("results", ".snakemake", "my.yaml"):
        subprocess.run(["cp", "-a", finished.folder / part, clone.folder], check=True)
    return clone


def jobs(clone: Clone, **changes: object) -> dict[str, int]:
    """Return how many jobs of each rule would run for the table and the plots."""
    if changes:
        with (clone.folder / "my.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(TINY | changes, file)
    done = clone.run("-n", "--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    if "Nothing to be done" in text:
        return {}
    found = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", text, flags=re.M)}
    return {rule: n for rule, n in found.items() if rule not in ("total", "all")}


def change(clone: Clone, module: str, line: str = "CHANGED = 1\n") -> None:
    """Add a line to a module of the library."""
    path = clone.folder / "scripts" / "defectpool" / f"{module}.py"
    path.write_text(path.read_text() + "\n\n" + line)


def test_a_fresh_clone_does_nothing(copy):
    assert jobs(copy) == {}


def test_results_without_their_provenance_are_good_too(copy):
    shutil.rmtree(copy.folder / ".snakemake")
    assert jobs(copy) == {}


def test_what_changes_no_result_does_nothing(copy):
    """Times, comments, docstrings, and modules that only wait, report or plan."""
    for folder in ("rules", "scripts", "config", "profiles", "envs"):
        for path in (copy.folder / folder).rglob("*"):
            os.utime(path)
    for module in ("runtime/lease", "campaign/plan", "runtime/run_record"):
        change(copy, module)
    change(copy, "network/pooling", "# a comment\n")
    path = copy.folder / "scripts/defectpool/structures/build.py"
    path.write_text(re.sub(r'"""(.)', r'"""Reworded: \1', path.read_text(), count=1))
    assert jobs(copy) == {}


@pytest.mark.parametrize(
    ("module", "reruns"),
    [
        ("materials/slab", EVERYTHING),
        ("structures/supercell", EVERYTHING - {"select_materials"}),
        ("graphs/neighbors", {"build_graphs", "train", "make_table"}),
        ("network/pooling", {"train", "make_table"}),
        ("reporting/table", {"make_table"}),
        ("reporting/plots", set()),
    ],
)
def test_a_changed_line_reruns_what_depends_on_it(copy, module, reruns):
    change(copy, module)
    found = set(jobs(copy))
    assert found & EVERYTHING == reruns
    assert "draw_plots" in found


def test_a_new_supercell_adds_only_its_own(copy):
    found = jobs(copy, supercells=["2x2", "3x3"])
    assert {rule: found.get(rule, 0) for rule in EVERYTHING} == {
        "select_materials": 0,
        "build_structures": 2,
        "build_graphs": 2,
        "train": 4,
        "make_table": 1,
    }


def test_a_new_defect_adds_only_its_own(copy):
    found = jobs(copy, defects=["vacancy", "interstitial", "antisite"])
    assert {rule: found.get(rule, 0) for rule in EVERYTHING} == {
        "select_materials": 0,
        "build_structures": 1,
        "build_graphs": 1,
        "train": 2,
        "make_table": 1,
    }


def test_a_new_pooling_adds_only_its_own(copy):
    found = jobs(copy, poolings=["mean", "max", "contrast"])
    assert {rule: found.get(rule, 0) for rule in EVERYTHING} == {
        "select_materials": 0,
        "build_structures": 0,
        "build_graphs": 0,
        "train": 2,
        "make_table": 1,
    }


def test_device_and_memory_are_no_reason_to_train_again(copy):
    assert jobs(copy, training=TINY["training"] | {"device": "cpu", "memory": 1000}) == {}


def test_more_epochs_are(copy):
    assert jobs(copy, training=TINY["training"] | {"epochs": 3}).get("train") == 4


def test_entries_in_one_job_are_those_of_separate_jobs_and_none_is_trained_again(copy):
    results = copy.folder / "results"
    files = [*(results / "training").rglob("*.pt"), *(results / "training").rglob("pred*.csv")]
    before = {path: path.read_bytes() for path in files}
    for part in ("training", "state"):
        shutil.rmtree(results / part / "interstitial/2x2/max")
    together = TINY["training"] | {"entries_per_job": "all"}
    copy.configure(**TINY | {"training": together})
    done = copy.run("results/table.csv", "--configfile", "my.yaml")
    said = done.stdout + done.stderr
    assert done.returncode == 0 and re.search(r"^train +2$", said, flags=re.M), said
    assert {path: path.read_bytes() for path in files} == before
    logs = {defect: results / f"logs/train/{defect}/2x2.log" for defect in TINY["defects"]}
    assert logs["vacancy"].read_text().count("goes on after 2 of 2 folds") == 2
    trained = logs["interstitial"].read_text()
    assert "mean gated: goes on after 2 of 2 folds" in trained and "max gated: repeat" in trained
    # the other way
    assert jobs(copy, training=TINY["training"])["train"] == 4
    copy.run("--touch", "--configfile", "my.yaml")
    assert jobs(copy) == {}


def test_a_lost_shard_is_made_again_and_nothing_is_trained_again(copy):
    """Trainings after it are made again from their finished states, byte for byte."""
    results = copy.folder / "results"
    before = {p: p.read_bytes() for p in sorted((results / "training").rglob("predictions.csv"))}
    shard = Path(results / "graphs/vacancy/2x2/000.h5")
    content = shard.read_bytes()
    shard.unlink()
    done = copy.run("--configfile", "my.yaml", "--forcerun", "build_graphs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert shard.read_bytes() == content
    assert {path: path.read_bytes() for path in before} == before
    for pooling in ("mean", "max"):
        log = (results / f"logs/train/vacancy/2x2/{pooling}/gated.log").read_text()
        assert "goes on after 2 of 2 folds" in log
