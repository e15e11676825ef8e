"""What goes beyond the table, in a tiny campaign."""

import pandas as pd
import pytest

from .conftest import TINY


@pytest.mark.slow
def test_beyond_the_table(clone):
    clone.configure(
        materials={"limit": 24},
        defects=["vacancy", "interstitial"],
        supercells=["2x2"],
        poolings=["outlier"],
        training={"epochs": 1, "folds": 2},
        generalization={
            "supercells": ["3x3"],
            "rattle": [0.0, 0.05],
            "splits": ["random", "prototype"],
        },
        shards=1,
    )
    done = clone.run("beyond", "--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    results = clone.folder / "results"

    def read(name):
        return pd.read_csv(results / name)

    other = read("generalization.csv")
    assert set(other["tested"]) == {"2x2", "3x3"}
    assert set(other["trained"]) == {"2x2"}
    rattle = read("rattle.csv")
    assert sorted(set(rattle["rattle"])) == [0.0, 0.05]
    splits = read("splits.csv")
    assert set(splits["split"]) == {"formula", "random", "prototype"}
    # what was trained is where all of these say it is: the same figures by different ways
    keys = ["defect", "pooling", "convolution"]
    table = splits[splits["split"] == "formula"].set_index(keys)["accuracy"]
    same = other[other["tested"] == "2x2"].set_index(keys)["accuracy"]
    still = rattle[rattle["rattle"] == 0].set_index(keys)["accuracy"]
    assert abs(same - table).max() < 0.05
    assert abs(still - table).max() < 0.05
    confusion = read("confusion.csv")
    types = {"pristine", "vacancy", "interstitial"}
    assert set(confusion["defect_type"]) == set(confusion["predicted"]) == types
    assert confusion["count"].sum() == read("defect_types.csv")["n_test"].sum()
    assert set(read("any.csv")["defect_type"]) == types - {"pristine"}
    wrong = splits[splits["split"] == "formula"]
    expected = ((1 - wrong["accuracy"]) * wrong["n_test"]).round().sum()
    assert read("misclassified.csv")["n_wrong"].sum() == expected
    for plot in ("generalization", "concentration", "rattle", "splits", "confusion"):
        for suffix in (".svg", ".png"):
            assert (results / "plots" / f"{plot}{suffix}").stat().st_size > 1000
    # and nothing of it belongs to the campaign itself
    assert not (results / "table.csv").exists()
    again = clone.run("-n", "beyond", "--configfile", "my.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr
    done = clone.run("beyond", "--report", "results/report.html", "--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (results / "report.html").read_text()
    for plot in ("generalization", "concentration", "rattle", "splits", "confusion"):
        assert f"results/plots/{plot}.svg" in page


@pytest.mark.slow
def test_lists_of_defects_of_all_test_structures(clone):
    clone.configure(
        **TINY,
        poolings=["sites"],
        convolutions=["smooth"],
        graph={"radius": 5.0, "max_neighbors": None},
        structures={"displacements": ["none", {"model": "static", "sigma": 0.03}]},
        shards=1,
    )
    done = clone.run("results/defect_lists.csv", "--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(clone.folder / "results/defect_lists.csv")
    assert set(table["pooling"]) == {"sites"} and set(table["defect"]) == set(TINY["defects"])
    assert set(table["displacements"]) == {"all", "none", "static 0.03 Å"}
    assert (table.loc[table["displacements"] == "all", "n_hosts"] == 16).all()
    again = clone.run("-n", "beyond", "--configfile", "my.yaml")
    text = again.stdout + again.stderr
    assert again.returncode == 0 and "compare_generalization" in text, text
    assert "compare_defect_lists" not in text and "list_defects" not in text
    clone.configure(**TINY)
    done = clone.run("-n", "results/defect_lists.csv", "--configfile", "my.yaml")
    assert done.returncode != 0
    assert "poolings: networks list defects only with a class" in done.stdout + done.stderr
