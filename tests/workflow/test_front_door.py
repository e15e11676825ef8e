"""What a newcomer types, and what is said to one who errs."""

import re

import pandas as pd
import pytest

from .conftest import TINY


def text(done):
    return done.stdout + done.stderr


def test_the_home_command_as_typed(clone):
    done = clone.run("-n", "results/table.csv")
    assert done.returncode == 0, text(done)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text(done), flags=re.M))
    assert (jobs["select_materials"], jobs["train"], jobs["make_table"]) == ("1", "16", "1")


def test_the_cluster_command_as_typed(clone):
    done = clone.run("-n", "--profile", "profiles/slurm")
    assert done.returncode == 0, text(done)


def test_lint_is_clean(clone):
    done = clone.run("--lint")
    assert done.returncode == 0, text(done)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"suprcells": ["2x2"]}, "suprcells: unknown key"),
        ({"materials": {"source": "database", "path": "no.db"}}, "materials.path: there is no"),
    ],
)
def test_a_config_that_cannot_be_meant(clone, config, said):
    clone.configure(**config)
    done = clone.run("-n", "--configfile", "my.yaml")
    assert done.returncode != 0
    assert said in text(done)
    assert "Traceback" not in text(done)


def test_an_empty_selection(clone):
    clone.configure(**TINY | {"materials": {"max_atoms": 1}})
    done = clone.run("--configfile", "my.yaml")
    assert done.returncode != 0
    log = (clone.folder / "results/logs/select_materials.log").read_text()
    assert "max_atoms" in log and "Traceback" not in log + text(done)
    # what failed, in its own words, and how to go on
    assert text(done).count("max_atoms") > 0
    assert "snakemake --configfile my.yaml" in text(done)


def test_one_host_and_two_folds(clone):
    clone.configure(**TINY | {"materials": {"limit": 1}, "defects": ["vacancy"]})
    done = clone.run("--configfile", "my.yaml")
    assert done.returncode != 0
    log = (clone.folder / "results/logs/train/vacancy/2x2/max/gated.log").read_text()
    assert "training.folds" in log and "Traceback" not in log


def test_the_tiny_campaign(finished):
    table = pd.read_csv(finished.folder / "results/table.csv")
    assert list(table.columns[:13]) == [
        "defect", "supercell", "pooling", "convolution", "accuracy", "accuracy_low",
        "accuracy_high", "accuracy_best_epoch", "n_hosts", "n_test", "published", "seconds",
        "device",
    ]  # fmt: skip
    assert list(table.defect) == ["vacancy"] * 2 + ["interstitial"] * 2
    assert list(table.pooling) == ["mean", "max"] * 2
    assert table.accuracy.between(0, 1).all()
    assert (table.accuracy_low <= table.accuracy).all()
    assert (table.accuracy <= table.accuracy_high).all()
    assert (table.accuracy <= table.accuracy_best_epoch).all()
    assert (table.n_test == 2 * table.n_hosts).all()
    assert table.published[0] == 0.625 and pd.isna(table.published[2])
    for name in ("table.md", "plots/accuracy.svg", "plots/learning_curves.png"):
        assert (finished.folder / "results" / name).stat().st_size > 0


def test_labels_are_balanced_and_no_formula_is_on_both_sides(finished):
    for path in sorted((finished.folder / "results/training").rglob("predictions.csv")):
        predictions = pd.read_csv(path, keep_default_na=False)
        assert predictions.label.mean() == 0.5
        assert predictions.groupby("formula").fold.nunique().max() == 1
        assert not predictions.structure.duplicated().any()


def test_a_second_call_does_nothing(finished):
    done = finished.run("--configfile", "my.yaml")
    assert done.returncode == 0
    assert "Nothing to be done" in text(done)


def test_same_bytes_whatever_the_hash_seed_and_the_cores(finished, clone):
    clone.configure(**TINY)
    done = clone.run("--configfile", "my.yaml", "--cores", "1", PYTHONHASHSEED="12345")
    assert done.returncode == 0, text(done)
    ours, theirs = (c.folder / "results" for c in (clone, finished))
    tables = [pd.read_csv(r / "table.csv").drop(columns="seconds") for r in (ours, theirs)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    suffixes = ("*.xyz", "*.xyz.gz", "*.h5", "predictions.csv", "selected.csv", "rejected.csv")
    files = [path for suffix in suffixes for path in sorted(ours.rglob(suffix))]
    assert len(files) == 14
    for path in files:
        assert path.read_bytes() == (theirs / path.relative_to(ours)).read_bytes(), path


def test_defects_that_a_host_cannot_have_are_recorded(clone):
    clone.configure(**TINY | {"materials": {}, "defects": ["antisite"]})
    done = clone.run("--configfile", "my.yaml", "--until", "build_structures")
    assert done.returncode == 0, text(done)
    folder = clone.folder / "results/structures/antisite/2x2"
    skipped = pd.concat(pd.read_csv(path) for path in sorted(folder.glob("*.skipped.csv")))
    hosts = pd.read_csv(clone.folder / "results/materials/selected.csv", keep_default_na=False)
    elemental = hosts[~hosts.formula.str.contains(r"[A-Z].*[A-Z]", regex=True)]
    assert len(elemental) > 0
    assert set(skipped.host) == set(elemental.id)
