"""Artifacts of runs, the table as CSV and Markdown, and the published accuracies."""

import json

import numpy as np
import pandas as pd
import pytest
from reporting_examples import predictions

from defectpool.config import Config
from defectpool.errors import DefectpoolError
from defectpool.evaluation.predictions import read_audit, read_history, read_predictions
from defectpool.evaluation.tables import write_csv
from defectpool.reporting import published, table

AUDIT = {"seconds": 12.5, "device": "cpu"}


def key(defect="vacancy", supercell="6x6", pooling="mean", convolution="gated"):
    return {
        "defect": defect,
        "supercell": supercell,
        "pooling": pooling,
        "convolution": convolution,
    }


def rows():
    return [
        table.run_row(predictions(hosts=20, skill=skill), AUDIT, key(d, s, p), 200)
        for d in ("vacancy", "interstitial")
        for s in ("2x2", "6x6")
        for p, skill in (("mean", 0.0), ("max", 1.5))
    ]


def test_columns_stand_in_the_promised_order():
    first = [
        "defect",
        "supercell",
        "pooling",
        "convolution",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "accuracy_best_epoch",
        "n_hosts",
        "n_test",
        "published",
        "seconds",
        "device",
    ]
    assert list(table.table(rows()).columns[: len(first)]) == first


def test_row_of_a_run():
    frame = predictions(hosts=20)
    row = table.run_row(frame, AUDIT, key(pooling="max"), 300)
    correct = (frame["probability"] > 0.5) == frame["label"]
    best = (frame["probability_best_epoch"] > 0.5) == frame["label"]
    assert row["accuracy"] == pytest.approx(correct.mean())
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert row["accuracy_best_epoch"] == pytest.approx(best.mean())
    assert (row["n_hosts"], row["n_test"]) == (20, frame["structure"].nunique())
    assert (row["published"], row["seconds"], row["device"]) == (0.918, 12.5, "cpu")


def test_published_accuracies_are_fractions_of_the_gated_convolution():
    values = published.accuracies()
    assert len(values) == 16 and values["accuracy"].isna().sum() == 2
    assert values["accuracy"].dropna().between(0.45, 1).all()
    assert published.accuracy(**key()) == 0.492
    assert np.isnan(published.accuracy(**key(convolution="summed")))
    assert np.isnan(published.accuracy(**key(defect="interstitial", supercell="2x2")))
    assert np.isnan(published.accuracy(**key(supercell="12x12")))


def test_published_figures_are_those_of_the_reference(shared_data):
    path = shared_data.parent / "reference" / "seed_table.csv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    reference = pd.read_csv(path)
    ours = published.accuracies()
    assert ours[["defect", "supercell", "pooling"]].equals(
        reference[["defect", "supercell", "pooling"]]
    )
    np.testing.assert_allclose(100 * ours["accuracy"], reference["accuracy_percent"], rtol=1e-12)


def test_csv_comes_back_and_is_the_same_bytes_each_time(tmp_path):
    frame = table.table(rows())
    write_csv(frame, tmp_path / "a.csv")
    write_csv(table.read_csv(tmp_path / "a.csv"), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    back = table.read_csv(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(back, frame, atol=1e-6)


def cells(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_markdown_has_the_layout_of_the_published_table():
    header, _, *body = cells(table.markdown(table.table(rows())))
    assert header[:2] == ["Defect", "Supercell"]
    assert header[2:5] == ["**mean**", "mean, best epoch", "mean, published"]
    assert [line[:2] for line in body] == [
        ["vacancy", "2x2x1"],
        ["vacancy", "6x6x1"],
        ["interstitial", "2x2x1"],
        ["interstitial", "6x6x1"],
    ]
    assert [line[4] for line in body] == ["62.5", "49.2", "–", "50.8"]
    assert all(len(line) == len(header) for line in body)


def test_published_values_are_labeled_where_hosts_or_protocol_differ():
    assert published.differences(Config()) == []
    for section, values, expected in (
        ("materials", {"source": "files", "path": "x"}, "other hosts"),
        ("training", {"epochs": 3}, "other protocol"),
        ("graph", {"max_neighbors": 6}, "other protocol"),
        ("structures", {"rattle": 0.1}, "other protocol"),
    ):
        config = Config.model_validate({section: values})
        (key_,) = published.differences(config)
        assert key_ == f"{section}.{next(iter(values))}"
        assert published.label(key_) == f"published ({expected})"
        row = table.run_row(predictions(hosts=8), AUDIT, key(), 100, [key_])
        text = table.markdown(table.table([row]))
        assert f"mean, published ({expected})" in text and key_ in text
    unchanged = Config.model_validate({"shards": 3, "materials": {"limit": 9}})
    assert published.differences(unchanged) == []
    text = table.markdown(table.table(rows()))
    assert "mean, published |" in text and "which are not known" in text
    assert published.label("materials.source graph.ties") == "published (other hosts and protocol)"


def test_markdown_names_the_convolution_where_there_are_two_and_leaves_gaps():
    some = [
        table.run_row(predictions(hosts=8), AUDIT, key(), 100),
        table.run_row(
            predictions(hosts=8), AUDIT, key(supercell="2_1x-1_1", convolution="summed"), 100
        ),
    ]
    header, _, first, second = cells(table.markdown(table.table(some)))
    assert header[2] == "**mean, gated**" and header[5] == "**mean, summed**"
    assert first[5:] == ["–"] * 3 and second[2:5] == ["–"] * 3
    assert second[1] == "2_1x-1_1"


def test_each_two_poolings_are_compared_within_a_defect_and_supercell():
    runs = [
        (key(supercell=s, pooling=p), predictions(hosts=12, seed=i))
        for s in ("2x2", "6x6")
        for i, p in enumerate(("mean", "max", "contrast"))
    ]
    found = pd.DataFrame(table.comparison_rows(runs, 100), columns=table.COMPARISON_COLUMNS)
    assert not found.isna().any().any()
    pairs = list(
        zip(found["supercell"], found["first_pooling"], found["second_pooling"], strict=True)
    )
    expected = [("mean", "max"), ("mean", "contrast"), ("max", "contrast")]
    assert pairs == [(s, *pair) for s in ("2x2", "6x6") for pair in expected]


def test_predictions_come_back_as_written(tmp_path):
    frame = predictions(hosts=5).assign(formula="NaN", name="v_N")  # sodium nitride is no gap
    frame.to_csv(tmp_path / "p.csv", index=False)
    pd.testing.assert_frame_equal(
        read_predictions(tmp_path / "p.csv"), frame, check_dtype=False, rtol=1e-12
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.drop(columns="fold"), "lacks fold"),
        (lambda f: f.iloc[:0], "empty"),
        (lambda f: f.assign(probability=1.5), "outside 0 to 1"),
        (lambda f: f.assign(probability=np.nan), "not numbers|outside 0 to 1"),
        (lambda f: f.assign(label=2), "neither 0 nor 1"),
        (lambda f: pd.concat([f, f]), "twice"),
        (lambda f: f.assign(probability="much"), "not numbers"),
    ],
)
def test_damaged_predictions_are_named_and_refused(tmp_path, damage, message):
    path = tmp_path / "predictions.csv"
    damage(predictions(hosts=4)).to_csv(path, index=False)
    with pytest.raises(DefectpoolError, match=message) as error:
        read_predictions(path)
    assert str(path) in str(error.value)


def test_missing_and_cut_files_are_named(tmp_path):
    for read, name in ((read_predictions, "p.csv"), (read_history, "h.csv"), (read_audit, "a")):
        with pytest.raises(DefectpoolError, match=name):
            read(tmp_path / name)
    (tmp_path / "a").write_text(json.dumps(AUDIT)[:-4])
    with pytest.raises(DefectpoolError, match="delete it and run again"):
        read_audit(tmp_path / "a")
