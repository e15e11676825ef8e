"""One page with all figures of a campaign, its hosts, settings, versions and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from defectpool.reporting.table import KEY, percent

SHOWN = 200

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0; }
main { max-width: 75em; margin: 0 auto; padding: 12px 18px 40px; }
h1 { font-size: 22px; }
h2 { font-size: 18px; margin: 28px 0 4px; }
p { max-width: 60em; margin: 4px 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; margin: 8px 0; }
th, td { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
td:last-child { white-space: normal; }
thead th { border-bottom: 2px solid #444; }
pre { background: #f4f4f4; padding: 10px; font-size: 13px; overflow-x: auto; }
"""


def page(
    table: pd.DataFrame,
    comparisons: pd.DataFrame,
    statistics: pd.DataFrame,
    baselines: pd.DataFrame,
    localization: pd.DataFrame,
    *,
    rejected: pd.DataFrame,
    audits: Sequence[Mapping[str, Any]],
    settings: str,
) -> str:
    """Return the page as HTML that needs nothing else.

    Parameters
    ----------
    table, comparisons, statistics, baselines, localization
        As the files of these names under `results/` hold them.
    rejected
        Hosts left out: id, reason, message.
    audits
        Audit records of the trainings, in the order of the table.
    settings
        The campaign's configuration as YAML.
    """
    counts = rejected["reason"].value_counts().rename_axis("reason").reset_index(name="hosts")
    cost = table[KEY].assign(
        **{
            "training and testing (s)": [f"{audit['seconds']:.0f}" for audit in audits],
            "graphs a second": [_number(audit.get("graphs_per_second")) for audit in audits],
            "peak memory (MiB)": [_number(audit.get("peak_memory_mib")) for audit in audits],
            "device": [str(audit["device"]) for audit in audits],
            "node": [str(audit.get("node", "")) for audit in audits],
        }
    )
    versions = sorted({item for audit in audits for item in audit.get("versions", {}).items()})
    sections = [
        _section(
            "Accuracy",
            "Per cent, on hosts whose formula was not trained on, with 95 % intervals from a "
            "bootstrap over hosts; half of the structures are pristine, so guessing gives 50. Best "
            "epoch: chosen on the test hosts, as the published figures were.",
            table[KEY].assign(
                accuracy=_interval(table, "accuracy"),
                **{
                    "best epoch": table["accuracy_best_epoch"].map(percent),
                    "published": table["published"].map(percent),
                    "hosts": table["n_hosts"],
                    "test structures": table["n_test"],
                },
            ),
        ),
        _section(
            "Differences",
            "Accuracy of the second network less that of the first, in percentage points, paired "
            "by structure; how many structures only one of the two had right; p-value of the exact "
            "McNemar test.",
            comparisons[["defect", "supercell"]].assign(
                first=comparisons["first_pooling"] + ", " + comparisons["first_convolution"],
                second=comparisons["second_pooling"] + ", " + comparisons["second_convolution"],
                difference=_interval(comparisons, "difference"),
                **{
                    "only first right": comparisons["only_first_right"],
                    "only second right": comparisons["only_second_right"],
                    "McNemar p": comparisons["mcnemar_p"].map("{:.1e}".format),
                },
            ),
        ),
        _section(
            "Other measures",
            "Sensitivity and specificity are the shares of defective and of pristine structures "
            "found as such; Brier score: 0 is perfect, 0.25 says one half.",
            statistics[KEY].assign(
                **{
                    "balanced accuracy (%)": statistics["balanced_accuracy"].map(percent),
                    "sensitivity (%)": statistics["sensitivity"].map(percent),
                    "specificity (%)": statistics["specificity"].map(percent),
                    "ROC AUC": statistics["roc_auc"].map("{:.3f}".format),
                    "Brier": statistics["brier"].map("{:.3f}".format),
                    "worst fold (%)": statistics["accuracy_worst_fold"].map(percent),
                    "best fold (%)": statistics["accuracy_best_fold"].map(percent),
                }
            ),
        ),
        _section(
            "Without a graph",
            "Accuracy (%) of what sees composition and number of atoms alone, on the same "
            "structures. Divisibility learns nothing: it calls a supercell pristine if its number "
            "of cells divides the number of atoms of each element.",
            baselines[["defect", "supercell", "baseline", "split"]].assign(
                accuracy=_interval(baselines, "accuracy")
            ),
        ),
        _section(
            "Where the defect is",
            "How often (%) the site that a network picks in a defective structure is the defect "
            "(for a vacancy: a neighbor), or the defect or a neighbor, against a site drawn at "
            "random; distance to the defect in Å.",
            localization[[*KEY, "method"]].assign(
                hit=_interval(localization, "hit_rate"),
                **{
                    "hit by chance": localization["hit_rate_chance"].map(percent),
                    "near": _interval(localization, "near_rate"),
                    "near by chance": localization["near_rate_chance"].map(percent),
                    "median distance (Å)": localization["distance_median"].map("{:.2f}".format),
                    "mean distance (Å)": localization["distance_mean"].map("{:.2f}".format),
                    "at random (Å)": localization["distance_chance"].map("{:.2f}".format),
                },
            ),
        ),
        _section("Cost", "One row an entry of the table.", cost),
        _section(
            "Hosts left out",
            f"{len(rejected)} in all; materials/rejected.csv has every one.",
            counts,
        ),
        _section("", f"The first {SHOWN}:" if len(rejected) > SHOWN else "", rejected.head(SHOWN)),
        f"<h2>Settings</h2><pre>{escape(settings)}</pre>",
        _section("Software", "", pd.DataFrame(versions, columns=["package", "version"])),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<link rel="icon" href="data:,"><title>Campaign</title>'
        f"<style>{STYLE}</style></head><body><main><h1>The campaign in figures</h1>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def _section(title: str, note: str, frame: pd.DataFrame) -> str:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    body = frame.to_html(index=False, border=0, na_rep="–") if len(frame) else "<p>none</p>"
    return f'{heading}<p>{escape(note)}</p><div class="wide">{body}</div>'


def _interval(frame: pd.DataFrame, name: str) -> pd.Series:
    ends = [frame[f"{name}{end}"].map(percent) for end in ("", "_low", "_high")]
    return ends[0] + " (" + ends[1] + " to " + ends[2] + ")"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.0f}"
