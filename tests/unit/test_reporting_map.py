"""Figure and words of the map."""

import numpy as np
import pandas as pd
import pytest

from defectpool.reporting import map_words, plots_map


def table(**shares):
    rows = []
    for axis, value in (("displacement", "0"), ("displacement", "0.4"), ("supercells", "2x2")):
        for method, share in shares.items():
            ends = {"_low": max(share - 0.05, 0), "_high": min(share + 0.05, 1), "": share}
            quantities = ("found", "false_alarms", "balanced_accuracy", "site_accuracy")
            rows.append(
                {"axis": axis, "value": value, "method": method}
                | {f"{name}{end}": share for name in quantities for end, share in ends.items()}
            )
    return pd.DataFrame(rows)


def differences(shares):
    points = shares[["axis", "value"]].drop_duplicates()
    for name, number in (("lattice", 0.98), ("network", 0.7), ("difference", -0.28)):
        columns = {f"{name}{end}": number + step for end, step in (("", 0), ("_low", -0.02))}
        points = points.assign(**columns, **{f"{name}_high": number + 0.02})
    return points


def test_the_figure_shows_every_method(tmp_path):
    shares = table(lattice=0.98, combined=0.99, sites_4x4=0.7, mine=0.5)
    shares.loc[shares["method"] == "mine", "site_accuracy"] = np.nan
    plots_map.draw(shares, [tmp_path / "map.svg", tmp_path / "again.svg"])
    assert (tmp_path / "map.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    text = (tmp_path / "map.svg").read_text()
    for method in ("lattice", "combined", "sites_4x4", "mine"):
        assert f"<title>{method}, 0.4: " in text
    assert plots_map.method_style("sites_4x4") == plots_map.method_style("sites")
    assert plots_map.positions("supercells", ["6x6"]) == {"6x6": 6}
    assert plots_map.positions("strain", ["-0.02"]) == {"-0.02": -2}


def test_the_words_name_the_best_methods_and_the_winner():
    shares = table(lattice=0.98, combined=0.99, max=0.7)
    costs = pd.DataFrame(
        {"method": ["lattice", "max"], "seconds_to_train": [0.0, 61.2], "microseconds": [900, 90.4],
         "microseconds_small": [1.0, np.nan], "microseconds_large": [1200.0, 3]}
    )  # fmt: skip
    trust = pd.DataFrame(
        {"lattice_says": ["defective", "near melting"], "n_structures": [1200, 3],
         "lattice": [0.99, 0.0], "network": [0.7, 1.0]}
    )  # fmt: skip
    chosen = {"lattice": (0.5, 0.5), "spglib": (0.2, 0.4)}
    words = map_words.page(shares, differences(shares), trust, costs, chosen)
    line = next(line for line in words.splitlines() if "| 0.4 |" in line)
    assert line == (
        "| static displacement (Å) | 0.4 | combined, lattice | 98 (96 to 100) | 70 (68 to 72) | "
        "-28 (-30 to -26) | lattice |"
    )
    assert "| defective | 1,200 | 99 | 70 |" in words and "| near melting | 3 | 0 | 100 |" in words
    assert "| max | 61 | 90 |  | 3 |" in words
    assert "Threshold of spglib, chosen on the other half of the formulas: 0.2 and 0.4 Å." in words
    assert "Threshold of lattice" not in words


@pytest.mark.parametrize(
    ("lows", "interval", "said"),
    [
        ((0.9, 0.6), (-0.4, -0.2), "lattice"),
        ((0.0, 0.8), (0.5, 0.9), "network"),
        ((0.8, 0.8), (-0.1, 0.1), "no difference"),
        ((0.0, 0.5), (0.5, 0.5), "neither is better than guessing"),
    ],
)
def test_the_winner(lows, interval, said):
    assert map_words.winner(*lows, *interval) == said
