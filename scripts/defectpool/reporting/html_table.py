"""HTML tables that the report page sorts, filters, colors and saves as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Column:
    """Column of an HTML table.

    Attributes
    ----------
    title
        Text of the header.
    values
        Values by which the column is sorted.
    texts
        Text of each cell; the value itself if not given.
    colored
        Whether the background shows the value, from 0.5 to 1.
    """

    title: str
    values: Sequence[Any]
    texts: Sequence[str] | None = None
    colored: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the column is aligned to the right."""
        return pd.api.types.is_numeric_dtype(pd.Series(list(self.values)))


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> list[Column]:
    """Columns of a table as they are, with underscores in the titles replaced by spaces."""
    return [Column(name.replace("_", " "), list(frame[name])) for name in names]


def number(
    title: str, values: pd.Series, form: str | Callable[[float], str], colored: bool = False
) -> Column:
    """Numeric column.

    Parameters
    ----------
    title
        Text of the header.
    values
        Numbers; NaN is shown as a dash.
    form
        Format string such as `{:.2f}`, or a function.
    colored
        See `Column`.
    """
    write = form.format if isinstance(form, str) else form
    texts = ["–" if pd.isna(value) else write(value) for value in values]
    return Column(title, list(values), texts, colored)


def html_table(name: str, columns: Sequence[Column], runs: Sequence[str] = ()) -> str:
    """HTML of a table; without rows, the word "none".

    Parameters
    ----------
    name
        Name of the CSV file that the page saves, without suffix.
    columns
        Columns of equal length.
    runs
        Id of the element that a click on each row shows (empty: none).
    """
    if not columns or not len(columns[0].values):
        return "<p>none</p>"
    heads = "".join(
        f"<th{_class(column)} scope='col'>{escape(column.title)}</th>" for column in columns
    )
    rows = []
    for i in range(len(columns[0].values)):
        opening = f'<tr class="run" data-run="{escape(runs[i])}">' if runs else "<tr>"
        rows.append(f"{opening}{''.join(_cell(column, i) for column in columns)}</tr>")
    return (
        f'<div class="wide"><table class="data" data-name="{escape(name)}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _class(column: Column) -> str:
    return ' class="number"' if column.is_number else ""


def _cell(column: Column, i: int) -> str:
    value = column.values[i]
    missing = pd.isna(value)
    text = column.texts[i] if column.texts is not None else ("–" if missing else str(value))
    sort_by = f' data-value="{value:.9g}"' if column.is_number and not missing else ""
    color = f' data-color="{value:.4g}"' if column.colored and not missing else ""
    return f"<td{_class(column)}{sort_by}{color}>{escape(text)}</td>"
