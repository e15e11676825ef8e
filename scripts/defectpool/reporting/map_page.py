"""Page of the map, the second of the report: which method is right where, and what it looks like.

The page is one file that needs no network (`page_parts`); `map.html` is its template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from defectpool.evaluation import map_confusion, map_coverage
from defectpool.reporting import map_words
from defectpool.reporting.html_table import Column, html_table, number
from defectpool.reporting.map_drawing import STEPS, picture
from defectpool.reporting.page_parts import as_json, filled, inline_svg, link
from defectpool.reporting.plots_map import AXES, value_text
from defectpool.reporting.style import ordered, rows_of
from defectpool.reporting.table import percent

PAGE = "map.html"


@dataclass(frozen=True)
class Inputs:
    """Contents of the page.

    Attributes
    ----------
    named
        Rows of `map_confusion.with_names`, those of the combined method among them.
    plot, coverage_plot
        SVG of the map and of the coverage curves.
    best, trust, costs
        Rows of the tables of `map_words`.
    thresholds
        Sentences on the thresholds that were chosen.
    network, probabilities
        Method that scores the sites; whether its scores are probabilities.
    found, relaxed, lattice_mistakes, network_mistakes
        Structures to show, in the form of `map_drawing.drawing`.
    """

    named: pd.DataFrame
    plot: str
    coverage_plot: str
    best: Sequence[Sequence[str]]
    trust: Sequence[Sequence[str]]
    costs: Sequence[Sequence[str]]
    thresholds: Sequence[str]
    network: str
    probabilities: bool
    found: Sequence[Mapping[str, Any]]
    relaxed: Sequence[Mapping[str, Any]]
    lattice_mistakes: Sequence[Mapping[str, Any]]
    network_mistakes: Sequence[Mapping[str, Any]]


def page(inputs: Inputs) -> str:
    """HTML of the page."""
    shown = [
        *inputs.found,
        *inputs.relaxed,
        *inputs.lattice_mistakes,
        *inputs.network_mistakes,
    ]
    cards = iter(_card(number, drawn) for number, drawn in enumerate(shown))
    groups = [inputs.found, inputs.relaxed, inputs.lattice_mistakes, inputs.network_mistakes]
    found, relaxed, of_lattice, of_network = ([next(cards) for _ in group] for group in groups)
    content = "\n".join(
        [
            "<h1>Which method is right where</h1>",
            link("summary.html", "accuracy of the campaign", "snakemake evidence"),
            _lead(inputs),
            f'<figure class="figure">{inline_svg(inputs.plot)}</figure>',
            _table("The best at each point", map_words.BEST, map_words.BEST_HEAD, inputs.best),
            _table("When to trust which", map_words.TRUST, map_words.TRUST_HEAD, inputs.trust),
            _confusion(),
            _coverage(inputs),
            _found(inputs, found, relaxed),
            _mistakes(inputs, of_lattice, of_network),
            _table("Costs", map_words.COSTS, map_words.COSTS_HEAD, inputs.costs),
            *(f"<p>{escape(sentence)}</p>" for sentence in inputs.thresholds),
        ]
    )
    data = {"matrices": matrices(inputs.named), "examples": shown}
    return filled(PAGE, CONTENT=content, DATA=as_json(data))


def matrices(named: pd.DataFrame) -> dict[str, Any]:
    """Confusion matrices of all methods that name types, for each choice of cells.

    Parameters
    ----------
    named
        Rows of `map_confusion.with_names`.

    Returns
    -------
    dict
        rows, columns (names; no column that is empty everywhere), methods, start (which choice is
        shown first), and choices: group, label, counts (of each method, a list of rows).
    """
    one = map_confusion.single(named)
    methods = map_confusion.naming(one)
    one = one[one["method"].isin(methods)]
    chosen: list[tuple[str, str, pd.DataFrame]] = [("", "all cells with one defect", one)]
    for axis in ordered(one["axis"]):
        part = rows_of(one, axis=axis)
        chosen.append((AXES[axis][0], "all values", part))
        for value in ordered(part["value"]):
            chosen.append((AXES[axis][0], value_text(axis, value), rows_of(part, value=value)))
    used = one["called"].unique()
    columns = [name for name in map_confusion.CALLED if name in used or name in map_confusion.TRUE]
    choices = []
    for group, label, part in chosen:
        counts = {
            method: map_confusion.confusion(rows_of(part, method=method))[columns].values.tolist()
            for method in methods
        }
        choices.append({"group": group, "label": label, "counts": counts})
    thermal = [AXES["temperature"][0] == group for group, *_ in chosen]
    start = thermal.index(True) if any(thermal) else 0
    rows = list(map_confusion.TRUE)
    return {
        "rows": rows, "columns": columns, "methods": methods, "start": start, "choices": choices
    }  # fmt: skip


def _lead(inputs: Inputs) -> str:
    named = inputs.named
    methods = ", ".join(ordered(named["method"]))
    n_structures = len(named[["axis", "structure"]].drop_duplicates())
    return (
        f"<p>{n_structures:,} structures of {named['formula'].nunique()} formulas, half of them "
        f"defective, answered by {escape(methods)}. Each method gets one structure at a time, "
        "without a reference. The networks and the thresholds have not seen the formula. Along "
        "each axis one thing changes; all else stays at one defect in a thermal cell at 300 K. "
        "Bands are 95 % intervals over formulas; a missing answer counts as wrong.</p>"
    )


def _table(heading: str, note: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns = [Column(name, [row[i] for row in rows]) for i, name in enumerate(head)]
    body = html_table(heading.lower().replace(" ", "_"), columns)
    plain = escape(note.replace("*", "").replace("`", ""))
    return f"<h2>{escape(heading)}</h2><p>{plain}</p>{body}"


def _confusion() -> str:
    return (
        '<h2 id="confusion">What is called what</h2>'
        "<p>Rows: what a structure is. Columns: what the method calls it. Structures are counted; "
        "blue is right, orange is wrong, gray is no answer, the darker the larger the share of "
        "the row. The types of a network are those of its list of defects.</p>"
        '<p class="tools"><label>Cells <select id="cells"></select></label></p>'
        '<div id="matrices"></div>'
    )


def _coverage(inputs: Inputs) -> str:
    told = map_coverage.coverage_table(inputs.named)
    columns = [
        Column("axis", [AXES[axis][0] for axis in told["axis"]]),
        Column("method", list(told["method"])),
        number("structures", told["n_structures"], "{:,.0f}"),
        number("answered (%)", told["answered"], percent),
        number("right of these (%)", told["accuracy"], percent),
        number("99 % right: answered (%)", told["coverage"], percent),
        number("least confidence of these", told["confidence"], "{:.3f}"),
    ]
    words = "".join(f"<li>{escape(words)}</li>" for words in _coverage_words(told))
    return (
        "<h2>Withholding the least certain answers</h2>"
        "<p>Share of right verdicts among the answers that are left, against the share of all "
        "structures that they are. Curves begin with the most certain answers and end with a "
        "marker where there are no more. Confidence: of the lattice the lowest score of its "
        "defects, 1 where it finds none; of a network its probability of its verdict; combined "
        "takes that of the method that answers.</p>"
        "<p>Share of the structures that are answered while 99 % of these answers are right:</p>"
        f"<ul>{words}</ul>"
        f'<figure class="figure narrow">{inline_svg(inputs.coverage_plot)}</figure>'
        f"{html_table('coverage', columns)}"
    )


def _coverage_words(told: pd.DataFrame) -> list[str]:
    """For each method, the share that it answers along each axis while 99 % of that is right."""
    parts = []
    for method in ordered(told["method"]):
        own = rows_of(told, method=method)
        listed = [
            f"{AXES[axis][0].partition(' (')[0]} {100 * share:.0f} %"
            for axis, share in zip(own["axis"], own["coverage"], strict=True)
        ]
        parts.append(f"{method}: {', '.join(listed)}")
    return parts


def _found(inputs: Inputs, cards: Sequence[str], relaxed: Sequence[str]) -> str:
    of_relaxed = (
        "<h3>Relaxed cells</h3><p>The first of each type in the order of a hash, whatever the "
        f'verdict.</p><div class="cards">{"".join(relaxed)}</div>'
    )
    more = of_relaxed if relaxed else ""
    scores = "its probability to belong to a defect" if inputs.probabilities else "its score"
    return (
        "<h2>Found defects</h2>"
        f"<p>Each site has the color of {scores}, as the networks {escape(inputs.network)} give "
        "it; beside a vacancy, that of its neighbors. One structure of each type and a pristine "
        "one are shown, at the temperature nearest to 300 K: the first, in the order of a hash, of "
        "which the verdict of these networks is right. Seen from above; a click shows a structure "
        "in 3D.</p>"
        f'{_key(inputs.probabilities)}<section><div class="cards">{"".join(cards)}</div>{more}'
        '<div class="stage"></div></section>'
    )


def _mistakes(inputs: Inputs, of_lattice: Sequence[str], of_network: Sequence[str]) -> str:
    sections = "".join(
        f'<section class="mistakes"><h3>{escape(name)}</h3>'
        f'<div class="cards">{"".join(cards) or "<p>none</p>"}</div>'
        '<div class="stage"></div></section>'
        for name, cards in (("lattice", of_lattice), (inputs.network, of_network))
    )
    return (
        "<h2>The most confident mistakes</h2>"
        "<p>Of each method the wrong verdict that it is most sure of along each axis, or, where "
        "no verdict is wrong, the wrong type; no pair of structures twice. Of equally sure ones "
        "the earlier value is shown.</p>"
        f"{_key(inputs.probabilities)}{sections}"
    )


def _key(probabilities: bool) -> str:
    low, high = ("0", "1") if probabilities else ("lowest", "highest")
    what = "probability of a defect" if probabilities else "score of the site"
    return (
        f'<p class="key"><span>{low} <i class="scale" style="background: linear-gradient(90deg, '
        f'{", ".join(STEPS)})"></i> {high} {what}</span>'
        '<span><i class="ring"></i>defect</span>'
        '<span><i class="square"></i>defect found by the lattice</span></p>'
    )


def _card(number: int, drawn: Mapping[str, Any]) -> str:
    said = "".join(
        f'<li class="{"right" if right else "wrong"}"><b>{escape(method)}</b> {escape(text)}</li>'
        for method, text, right in drawn["said"]
    )
    return (
        f'<figure class="card" data-example="{number}"><button type="button">{picture(drawn)}'
        f"</button><figcaption><strong>{escape(drawn['title'])}</strong><ul>{said}</ul>"
        "</figcaption></figure>"
    )
