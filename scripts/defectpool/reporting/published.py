"""Published accuracies, and where a campaign differs from the protocol behind them.

`published.md` says where the values come from and what is not known about them.
"""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from defectpool.config import Config

FILE = Path(__file__).with_name("published.csv")

# Sources of hosts that are materials of C2DB, as the published ones are.
C2DB_SOURCES = ("embedded", "database")

# Keys of the published protocol; their default values are the published ones.
PROTOCOL = (
    "structures.choose",
    "structures.substitution",
    "structures.interstitial",
    "structures.count",
    "structures.rattle",
    "structures.displacements",
    "structures.strain",
    "structures.alloy",
    "graph.radius",
    "graph.max_neighbors",
    "graph.shells",
    "network.width",
    "network.n_convolutions",
    "network.hidden",
    "network.gaussians",
    "training.epochs",
    "training.split",
)


def differences(config: Config) -> list[str]:
    """Keys of the configuration in which a campaign differs from the published protocol.

    Parameters
    ----------
    config
        The campaign's configuration.

    Returns
    -------
    list of str
        Empty if the hosts are from C2DB and the protocol is the published one.
    """
    default = type(config)()
    other_hosts = [] if config.materials.source in C2DB_SOURCES else ["materials.source"]
    return other_hosts + [key for key in PROTOCOL if _value(config, key) != _value(default, key)]


def label(differing: str) -> str:
    """Name of the published values in a table or legend.

    Parameters
    ----------
    differing
        Keys from `differences`, separated by spaces, as `results/table.csv` has them.
    """
    keys = differing.split()
    if not keys:
        return "published"
    hosts = ["hosts"] if "materials.source" in keys else []
    protocol = ["protocol"] if len(keys) > len(hosts) else []
    return f"published (other {' and '.join(hosts + protocol)})"


def note(differing: str) -> str:
    """Sentences that say how far the published values can be compared with a campaign's."""
    text = (
        "Published: randomly selected materials of C2DB, which are not known, and the epoch chosen "
        "on the test structures."
    )
    if differing:
        text += f" This campaign differs from the published protocol in {_listed(differing)}."
    return text


def accuracies() -> pd.DataFrame:
    """Accuracies as published, as fractions of 1; NaN where none is reported."""
    import pandas as pd

    return pd.read_csv(FILE, keep_default_na=True)


def accuracy(defect: str, supercell: str, pooling: str, convolution: str) -> float:
    """Accuracy published for a run as a fraction of 1, or NaN (all used the gated convolution)."""
    if convolution != "gated":
        return nan
    rows = accuracies().query(
        "defect == @defect and supercell == @supercell and pooling == @pooling"
    )
    return float(rows["accuracy"].iloc[0]) if len(rows) else nan


def _value(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _listed(differing: str) -> str:
    *others, last = differing.split()
    return f"{', '.join(others)} and {last}" if others else last
