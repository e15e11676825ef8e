"""Words of the map: the best methods at each point, lattice against network, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from defectpool.evaluation.map_statistics import CALIBRATED
from defectpool.reporting.plots_map import AXES, value_text
from defectpool.reporting.style import rows_of

GUESSING = 0.5

BEST = (
    "Balanced accuracy in percent: half the share of defective structures that are found plus half "
    "the share of pristine ones that raise no alarm; a missing answer counts as wrong. *Best* are "
    "all methods within the 95 % interval of the best one. *Network* is the one that is best on "
    "the other half of the formulas; its difference to the lattice is paired over formulas."
)
BEST_HEAD = ("axis", "value", "best", "lattice", "network", "difference", "who wins")
TRUST = (
    "All structures on which the networks of the campaign were asked, by what the lattice says of "
    "them, and the share in percent that lattice and network classify correctly."
)
TRUST_HEAD = ("the lattice says", "structures", "lattice", "network")
COSTS = (
    "One structure at a time, one thread: processor time. `combined` asks a network only where the "
    "lattice has no answer, and its seconds are those of all networks."
)
COSTS_HEAD = ("method", "seconds to train", "µs an atom", "below 50 atoms", "from 200 atoms")


def page(
    table: pd.DataFrame,
    differences: pd.DataFrame,
    trust: pd.DataFrame,
    costs: pd.DataFrame,
    thresholds: Mapping[str, tuple[float, float]],
) -> str:
    """Page in Markdown, `results/map.md`.

    Parameters
    ----------
    table
        Rows of `results/map.csv` on all types of defects together.
    differences, trust, costs, thresholds
        As `evaluation.map_statistics` gives them.
    """
    return "\n".join(
        [
            "# Which method is right where",
            "",
            BEST,
            "",
            *markdown(BEST_HEAD, best_rows(table, differences)),
            "",
            "## When to trust which",
            "",
            TRUST,
            "",
            *markdown(TRUST_HEAD, trust_rows(trust)),
            "",
            "## Costs",
            "",
            COSTS,
            "",
            *markdown(COSTS_HEAD, costs_rows(costs)),
            "",
            *(f"{sentence}\n" for sentence in chosen(thresholds)),
        ]
    )


def trust_rows(trust: pd.DataFrame) -> list[list[str]]:
    """Rows of the table `TRUST_HEAD`."""
    return [
        [str(says), f"{number:,}", *(_number(100 * share) for share in shares)]
        for says, number, *shares in trust.itertuples(index=False)
    ]


def costs_rows(costs: pd.DataFrame) -> list[list[str]]:
    """Rows of the table `COSTS_HEAD`."""
    return [
        [str(method), *map(_number, numbers)] for method, *numbers in costs.itertuples(index=False)
    ]


def winner(lattice: float, network: float, low: float, high: float) -> str:
    """Who wins at a point: lattice, network, or no difference; neither if both may be guessing.

    Parameters
    ----------
    lattice, network
        Lower ends of the intervals of both balanced accuracies, 0 to 1.
    low, high
        Interval of the difference, network minus lattice.
    """
    if max(lattice, network) <= GUESSING:
        return "neither is better than guessing"
    if low > 0:
        return "network"
    return "lattice" if high < 0 else "no difference"


def best_rows(table: pd.DataFrame, differences: pd.DataFrame) -> list[list[str]]:
    """Rows of the table `BEST_HEAD`."""
    rows = []
    for axis, value in dict.fromkeys(zip(table["axis"], table["value"], strict=True)):
        part = rows_of(table, axis=axis, value=value)
        top = part.sort_values("balanced_accuracy", kind="stable").iloc[-1]
        near = part[part["balanced_accuracy"] >= top["balanced_accuracy_low"]]
        names = near.sort_values("balanced_accuracy", ascending=False, kind="stable")["method"]
        found = rows_of(differences, axis=axis, value=value).iloc[0]
        wins = winner(
            found["lattice_low"],
            found["network_low"],
            found["difference_low"],
            found["difference_high"],
        )
        shares = [_interval(found, name) for name in ("lattice", "network")]
        difference = _interval(found, "difference", "+")
        rows.append(
            [AXES[axis][0], value_text(axis, value), ", ".join(names), *shares, difference, wins]
        )
    return rows


def chosen(thresholds: Mapping[str, tuple[float, float]]) -> list[str]:
    """Sentences on thresholds that were chosen."""
    return [
        f"Threshold of {method}, chosen on the other half of the formulas: {first:.4g} and "
        f"{second:.4g}{' Å' if method == 'spglib' else ''}."
        for method, (first, second) in thresholds.items()
        if method in CALIBRATED
    ]


def _interval(row: Any, name: str, sign: str = "") -> str:
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:{sign}.0f} ({low:{sign}.0f} to {high:{sign}.0f})"


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:,.0f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
