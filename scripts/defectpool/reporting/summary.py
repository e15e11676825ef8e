"""Report page: results table, main plot, details of each run, further tables, settings, versions.

The page is one file that needs no network. `summary.html` is its template; the tables sort, filter
and save themselves as CSV, and a click on a row of the results table shows the run.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from defectpool.evaluation.tables import RUN_KEY
from defectpool.reporting import published
from defectpool.reporting.html_table import Column, columns_of, html_table, number
from defectpool.reporting.page_parts import as_json, filled, inline_svg, link
from defectpool.reporting.table import percent

PAGE = "summary.html"

# Rows of the longest tables that are shown.
SHOWN = 200


@dataclass(frozen=True)
class Inputs:
    """Contents of the page.

    Attributes
    ----------
    table, comparisons, statistics, baselines, localization
        The files of these names under `results/`.
    rejected
        Hosts that were not used: id, reason, message.
    audits, misclassified, run_plots
        For each run in the order of the table: audit record, misclassified structures, and plot as
        SVG.
    accuracy_plot
        SVG of the main plot.
    structures
        Viewer page with structures in 3D (empty: none).
    settings
        Configuration as YAML.
    """

    table: pd.DataFrame
    comparisons: pd.DataFrame
    statistics: pd.DataFrame
    baselines: pd.DataFrame
    localization: pd.DataFrame
    rejected: pd.DataFrame
    audits: Sequence[Mapping[str, Any]]
    misclassified: Sequence[pd.DataFrame]
    run_plots: Sequence[str]
    accuracy_plot: str
    structures: str
    settings: str


def page(inputs: Inputs) -> str:
    """HTML of the page."""
    content = "\n".join(
        [
            "<h1>Accuracy of the campaign</h1>",
            link("map.html", "which method is right where", "snakemake map"),
            _results(inputs),
            '<section id="detail" hidden></section>',
            f'<figure style="margin: 12px 0">{inline_svg(inputs.accuracy_plot)}</figure>',
            _comparisons(inputs.comparisons),
            _statistics(inputs.statistics),
            _baselines(inputs.baselines),
            _localization(inputs.localization),
            _cost(inputs.table, inputs.audits),
            _rejected(inputs.rejected),
            f"<h2>Settings</h2><pre>{escape(inputs.settings)}</pre>",
            _versions(inputs.audits),
            *(_run(inputs, i) for i in range(len(inputs.table))),
        ]
    )
    return filled(PAGE, CONTENT=content, STRUCTURES=as_json(inputs.structures))


def _section(title: str, note: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2><p>{escape(note)}</p>{body}"


def _interval(frame: pd.DataFrame, name: str, title: str = "95 % interval") -> Column:
    low, high = frame[f"{name}_low"], frame[f"{name}_high"]
    texts = [f"{percent(a)} to {percent(b)}" for a, b in zip(low, high, strict=True)]
    return Column(title, list(low), texts)


def _results(inputs: Inputs) -> str:
    table = inputs.table
    differing = str(table["published_differences"].iloc[0])
    wrong = pd.Series([len(one) for one in inputs.misclassified])
    columns = [
        *columns_of(table, RUN_KEY),
        number("accuracy (%)", table["accuracy"], percent, colored=True),
        _interval(table, "accuracy"),
        number("best epoch (%)", table["accuracy_best_epoch"], percent, colored=True),
        number(f"{published.label(differing)} (%)", table["published"], percent, colored=True),
        number("hosts", table["n_hosts"], "{:.0f}"),
        number("test structures", table["n_test"], "{:.0f}"),
        number("misclassified", wrong, "{:.0f}"),
        number("time (s)", table["seconds"], "{:.1f}"),
        Column("device", list(table["device"])),
    ]
    body = html_table("table", columns, [f"run-{i}" for i in range(len(table))])
    return (
        "<p>Binary classification, defective or pristine, on hosts whose formulas were not in the "
        "training set; guessing gives 50 %. Intervals: 95 %, bootstrap over hosts. Best epoch: "
        "chosen on the test hosts, which is biased upward. "
        f"{escape(published.note(differing))} "
        "Click a header to sort, a row to see the run, its plots, its structures in 3D and its "
        f"misclassified structures.</p>{body}"
    )


def _run(inputs: Inputs, i: int) -> str:
    run = inputs.table.iloc[i]
    key = [str(run[name]) for name in RUN_KEY]
    same = (inputs.localization[RUN_KEY] == run[RUN_KEY]).all(axis=1)
    picture = base64.b64encode(inputs.run_plots[i].encode()).decode()
    wrong = inputs.misclassified[i]
    note = f"The first {SHOWN} of {len(wrong)}; predictions.csv has all." * (len(wrong) > SHOWN)
    folder = "/".join(("results/training", *key))
    button = (
        f'<button type="button" class="show-structures" data-defect="{escape(key[0])}" '
        f'data-supercell="{escape(key[1])}">structures in 3D</button>'
    )
    return (
        f'<template id="run-{i}"><h2>{escape(" ".join(key))}</h2>'
        f"<p>Files: {escape(folder)}</p>"
        f'<img alt="learning curves and probabilities" src="data:image/svg+xml;base64,{picture}">'
        f"<p>{button if inputs.structures else ''}</p>"
        '<div class="structures"></div>'
        f"<h3>Localization</h3>{_localization_table(inputs.localization[same])}"
        f"<h3>Misclassified structures: {len(wrong)}</h3><p>{note}</p>{_wrong(wrong)}</template>"
    )


def _wrong(wrong: pd.DataFrame) -> str:
    shown = wrong.head(SHOWN)
    truth = ["defective" if label else "pristine" for label in shown["label"]]
    columns = [
        *columns_of(shown, ["structure", "formula", "name"]),
        Column("truth", truth),
        number("probability of a defect", shown["probability"], "{:.3f}"),
        number("wrong in", shown["n_wrong"], "{:.0f}"),
        number("of repeats", shown["repeats"], "{:.0f}"),
    ]
    return html_table("misclassified", columns)


def _comparisons(frame: pd.DataFrame) -> str:
    columns = [
        *columns_of(frame, ["defect", "supercell"]),
        Column("first", list(frame["first_pooling"] + ", " + frame["first_convolution"])),
        Column("second", list(frame["second_pooling"] + ", " + frame["second_convolution"])),
        number("difference (points)", frame["difference"], percent),
        _interval(frame, "difference"),
        number("only first correct", frame["only_first_correct"], "{:.0f}"),
        number("only second correct", frame["only_second_correct"], "{:.0f}"),
        number("McNemar p", frame["mcnemar_p"], "{:.1e}"),
    ]
    return _section(
        "Paired differences",
        "Accuracy of the second network minus that of the first in percentage points, paired by "
        "structure; number of structures that only one of them classified correctly; p-value of "
        "the exact McNemar test.",
        html_table("comparisons", columns),
    )


def _statistics(frame: pd.DataFrame) -> str:
    shares = {
        "balanced accuracy (%)": "balanced_accuracy",
        "sensitivity (%)": "sensitivity",
        "specificity (%)": "specificity",
        "worst fold (%)": "accuracy_worst_fold",
        "best fold (%)": "accuracy_best_fold",
    }
    columns = [
        *columns_of(frame, RUN_KEY),
        *(number(title, frame[name], percent) for title, name in shares.items()),
        number("ROC AUC", frame["roc_auc"], "{:.3f}"),
        number("Brier score", frame["brier"], "{:.3f}"),
    ]
    return _section(
        "Other metrics",
        "Sensitivity: share of defective structures classified as defective. Specificity: share of "
        "pristine structures classified as pristine. Brier score: 0.25 if every probability is "
        "0.5.",
        html_table("statistics", columns),
    )


def _baselines(frame: pd.DataFrame) -> str:
    columns = [
        *columns_of(frame, ["defect", "supercell", "baseline", "split"]),
        number("accuracy (%)", frame["accuracy"], percent, colored=True),
        _interval(frame, "accuracy"),
        number("undecided", frame["n_undecided"], "{:.0f}"),
        number("right site (%)", frame["site_accuracy"], percent),
        number("right type (%)", frame["type_accuracy"], percent),
    ]
    return _section(
        "Baselines without a network",
        "The same structures, classified without a network. Majority, composition and "
        "divisibility see only the composition and the number of atoms; divisibility calls a "
        "supercell pristine if the number of its cells divides the number of atoms of each "
        "element. Lattice finds the host's own lattice in the structure and compares the sites "
        "one by one; an undecided structure counts as an error, and site and type are judged "
        "where it finds a defect. Divisibility and lattice need no training.",
        html_table("baselines", columns),
    )


def _localization(frame: pd.DataFrame) -> str:
    return _section(
        "Localization",
        "Accuracy: share of defective structures in which the site that the network picks is the "
        "defect or, for a vacancy, a nearest neighbor of it; random: the same for a random site. "
        "Closest images: number of periodic images of the defect at the same smallest distance "
        "from the picked site. In a 2x2 supercell, picks for vacancies are often midway between "
        "several images of the vacancy. They are then farther from it than a random site, which "
        "does not mean that the network misses the vacancy. Judge localization in supercells "
        "where the picks have one closest image.",
        _localization_table(frame, RUN_KEY),
    )


def _localization_table(frame: pd.DataFrame, key: Sequence[str] = ()) -> str:
    columns = [
        *columns_of(frame, [*key, "method"]),
        number("accuracy (%)", frame["accuracy"], percent),
        _interval(frame, "accuracy"),
        number("random (%)", frame["accuracy_chance"], percent),
        number("defect or neighbor (%)", frame["near"], percent),
        number("random (%)", frame["near_chance"], percent),
        number("distance (Å)", frame["distance_mean"], "{:.2f}"),
        number("random (Å)", frame["distance_chance"], "{:.2f}"),
        number("closest images", frame["n_images"], "{:.1f}"),
        number("random", frame["n_images_chance"], "{:.1f}"),
    ]
    return html_table("localization", columns)


def _cost(table: pd.DataFrame, audits: Sequence[Mapping[str, Any]]) -> str:
    def of(name: str) -> pd.Series:
        return pd.Series([audit.get(name) for audit in audits], dtype=float)

    columns = [
        *columns_of(table, RUN_KEY),
        number("training and test (s)", of("seconds"), "{:.1f}"),
        number("graphs per second", of("graphs_per_second"), "{:.0f}"),
        number("peak memory (MiB)", of("peak_memory_mib"), "{:.0f}"),
        Column("device", [str(audit["device"]) for audit in audits]),
        Column("node", [str(audit.get("node", "")) for audit in audits]),
    ]
    return _section("Cost", "Training and test of each run.", html_table("cost", columns))


def _rejected(frame: pd.DataFrame) -> str:
    counts = frame["reason"].value_counts()
    summary = [Column("reason", list(counts.index)), Column("hosts", list(counts))]
    names = [name for name in ("id", "formula", "reason", "message") if name in frame]
    note = f"The first {SHOWN}:" if len(frame) > SHOWN else ""
    return _section(
        "Hosts not used",
        f"{len(frame)} in all; results/materials/rejected.csv lists them.",
        html_table("rejected_reasons", summary)
        + (f"<p>{note}</p>{html_table('rejected', columns_of(frame.head(SHOWN), names))}"
           if len(frame) else ""),
    )  # fmt: skip


def _versions(audits: Sequence[Mapping[str, Any]]) -> str:
    versions = sorted({item for audit in audits for item in audit.get("versions", {}).items()})
    columns = [
        Column("package", [package for package, _ in versions]),
        Column("version", [version for _, version in versions]),
    ]
    return _section("Software", "", html_table("versions", columns))
