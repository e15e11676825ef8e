"""Plots: values at their positions, tooltips, and reproducible bytes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting_examples import predictions

from defectpool.reporting import plots, published
from defectpool.reporting.style import STYLES, style_of

DEFECTS, SUPERCELLS = ("vacancy", "interstitial"), ("2x2", "6x6")


def accuracies():
    rng = np.random.default_rng(0)
    rows = []
    for d in DEFECTS:
        for s in SUPERCELLS:
            for p in ("mean", "max"):
                value = 0.5 + 0.4 * rng.random()
                rows.append(
                    {
                        "defect": d,
                        "supercell": s,
                        "pooling": p,
                        "convolution": "gated",
                        "accuracy": value,
                        "accuracy_low": value - 0.03,
                        "accuracy_high": value + 0.02,
                        "published": published.accuracy(d, s, p, "gated"),
                        "published_differences": "",
                    }
                )
    return pd.DataFrame(rows)


def histories():
    rng = np.random.default_rng(1)
    return pd.concat(
        pd.DataFrame(
            {
                "defect": d, "supercell": s, "pooling": p, "convolution": "gated",
                "repeat": 0, "fold": fold, "epoch": np.arange(1, 11),
                "train_accuracy": 0.5 + rng.random(10) / 2,
                "test_accuracy": 0.5 + rng.random(10) / 2,
            }
        )
        for d in DEFECTS for s in SUPERCELLS for p in ("mean", "max") for fold in range(3)
    )  # fmt: skip


def of(frame, **key):
    for name, value in key.items():
        frame = frame[frame[name] == value]
    return frame


@pytest.fixture
def drawn(monkeypatch):
    """Collect the figures."""
    kept, save = [], plots.save

    def keep(figure, paths):
        kept.append(figure)
        save(figure, paths)

    monkeypatch.setattr(plots, "save", keep)
    return kept


def test_accuracy_is_plotted_with_its_interval(tmp_path, drawn):
    frame = accuracies()
    plots.accuracy_by_supercell(frame, [tmp_path / "a.png"])
    axes = drawn[0].axes
    assert [a.get_title() for a in axes] == list(DEFECTS)
    assert "%" in axes[0].get_ylabel() and axes[0].get_xlabel() == "supercell"
    for a, defect in zip(axes, DEFECTS, strict=True):
        for container, pooling in zip(a.containers, ("mean", "max"), strict=True):
            rows = of(frame, defect=defect, pooling=pooling)
            line, _, (bars,) = container
            np.testing.assert_allclose(line.get_ydata(), 100 * rows["accuracy"])
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            np.testing.assert_allclose(
                ends, 100 * rows[["accuracy_low", "accuracy_high"]].to_numpy()
            )
        published = [
            line
            for line in a.lines
            if line.get_markerfacecolor() == "none" and len(line.get_xdata())
        ]
        shown = np.concatenate([line.get_ydata() for line in published])
        np.testing.assert_allclose(
            np.sort(shown),
            np.sort(100 * of(frame, defect=defect)["published"].to_numpy()),
        )
        low, high = a.get_ylim()
        assert low < 100 * frame["accuracy_low"].min() and high > 100


def test_learning_curves_are_means_over_folds(tmp_path, drawn):
    frame = histories()
    plots.learning_curves(frame, [tmp_path / "l.svg"])
    axes = drawn[0].axes
    assert len(axes) == 4 and axes[-1].get_xlabel() == "epoch"
    means = of(frame, defect="vacancy", supercell="2x2", pooling="max")
    means = 100 * means.groupby("epoch")["test_accuracy"].mean()
    assert any(
        len(line.get_ydata()) == 10 and np.allclose(line.get_ydata(), means)
        for line in axes[0].lines
    )


def runs():
    return pd.concat(
        predictions(hosts=30, skill=skill).assign(
            defect=d, supercell="2x2", pooling=p, convolution="gated"
        )
        for d in DEFECTS
        for p, skill in (("mean", 0.0), ("max", 2.0))
    )


def test_calibration_shows_shares_of_bins_with_their_intervals(tmp_path, drawn):
    frame = runs()
    plots.calibration(frame, [tmp_path / "c.png"], bins=4)
    axes = drawn[0].axes[0]
    for container, pooling in zip(axes.containers, ("mean", "max"), strict=True):
        line, _, (bars,) = container
        part = of(frame, defect="vacancy", pooling=pooling).sort_values("probability")
        bins = np.array_split(part[["probability", "label"]].to_numpy(), 4)
        np.testing.assert_allclose(line.get_xdata(), [b[:, 0].mean() for b in bins])
        np.testing.assert_allclose(line.get_ydata(), [b[:, 1].mean() for b in bins])
        for segment, y in zip(bars.get_segments(), line.get_ydata(), strict=True):
            assert segment[0, 1] - 1e-9 <= y <= segment[1, 1] + 1e-9


def test_distances_are_shares_of_structures_by_the_poolings_own_pick(tmp_path, drawn):
    located = pd.DataFrame(
        {
            "defect": "vacancy", "supercell": "6x6", "pooling": "max", "convolution": "gated",
            "method": ["argmax_count"] * 4 + ["gradient"] * 4,
            "distance": [0.5, 2.4, 2.5, 6.1, 9, 9, 9, 9], "chance_distance": 7.5,
        }
    )  # fmt: skip
    plots.distances_to_defect(located, [tmp_path / "d.png"])
    axes = drawn[0].axes[0]
    shares = {round(x, 1): y for x, y in zip(*axes.lines[0].get_data(), strict=True) if y}
    assert shares == {0.5: 25, 2.5: 50, 6.5: 25}
    assert any(set(line.get_xdata()) == {7.5} for line in axes.lines)
    assert "Å" in axes.get_xlabel()


def test_cost_is_the_seconds_of_the_table(tmp_path, drawn):
    frame = accuracies().assign(seconds=np.arange(1.0, 9.0), device="cpu")
    plots.cost(frame, [tmp_path / "cost.png"])
    axes = drawn[0].axes[0]
    lengths = sorted(bar.get_width() for bar in axes.patches)
    np.testing.assert_allclose(lengths, frame["seconds"])
    assert "(s)" in axes.get_xlabel() and "cpu" in axes.get_xlabel()


def test_a_run_shows_every_prediction_and_fold(tmp_path, drawn):
    frame = predictions(hosts=30)
    history = of(histories(), defect="vacancy", supercell="2x2", pooling="max")
    plots.run(history, frame, "vacancy 2x2 max", tmp_path / "e.svg")
    left, right = drawn[0].axes
    assert sum(bar.get_height() for bar in right.patches) == len(frame)
    assert sum(len(line.get_ydata()) == 10 for line in left.lines) == 2 * (3 + 1)


def test_styles_differ_in_gray_and_in_shape():
    """Two poolings never share a marker; colors differ in lightness or have markers to tell."""
    markers = [style["marker"] for style in STYLES.values()]
    assert len(set(markers)) == len(markers)
    assert len({style["color"] for style in STYLES.values()}) == len(markers)


def test_a_pooling_that_is_not_listed_has_a_style_of_its_own(tmp_path):
    assert style_of("power_mean") == style_of("power_mean")
    assert style_of("power_mean")["marker"] not in {s["marker"] for s in STYLES.values()}
    frame = accuracies().replace({"pooling": {"max": "power_mean"}})
    plots.accuracy_by_supercell(frame, [tmp_path / "a.svg"])
    plots.cost(frame.assign(seconds=1.0, device="cpu"), [tmp_path / "c.svg"])


def test_values_have_tooltips_in_svg(tmp_path):
    frame = accuracies()
    plots.accuracy_by_supercell(frame, [tmp_path / "a.svg"])
    titles = re.findall("<title>(.*?)</title>", (tmp_path / "a.svg").read_text())
    for row in frame.itertuples():
        start = f"{row.defect} {row.supercell}, {row.pooling}: {100 * row.accuracy:.1f} % ("
        assert sum(title.startswith(start) for title in titles) == 1
    assert sum("published" in title for title in titles) == frame["published"].notna().sum()


def test_published_values_of_another_protocol_are_labeled(tmp_path, drawn):
    for keys, expected in (
        ("", "published, open markers"),
        ("materials.source", "published (other hosts), open markers"),
    ):
        plots.accuracy_by_supercell(
            accuracies().assign(published_differences=keys), [tmp_path / "a.png"]
        )
        (legend,) = drawn[-1].legends
        assert expected in [text.get_text() for text in legend.get_texts()]


DRAW = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from defectpool.reporting import plots
from test_reporting_plots import accuracies, histories
folder = Path(sys.argv[1])
plots.accuracy_by_supercell(accuracies(), [folder / "a.svg", folder / "a.png"])
plots.learning_curves(histories(), [folder / "l.svg", folder / "l.png"])
"""


def test_same_data_same_bytes_in_any_process(tmp_path):
    here = Path(__file__).parent
    scripts = here.parents[1] / "scripts"
    for run in ("1", "2"):
        (tmp_path / run).mkdir()
        subprocess.run(
            [sys.executable, "-c", DRAW, str(tmp_path / run), str(scripts), str(here)],
            check=True,
            env={"PYTHONHASHSEED": run, "PATH": "", "HOME": str(tmp_path)},
        )
    for name in ("a.svg", "a.png", "l.svg", "l.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert b"<dc:date>" not in (tmp_path / "1" / "a.svg").read_bytes()
