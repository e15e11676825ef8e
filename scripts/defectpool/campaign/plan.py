"""What a campaign will cost, before it is run: jobs, hours and bytes.

An estimate, good to a factor of two or three: it tells an afternoon from a month. It goes by
figures measured on one core of a server of 2023 with C2DB's hosts; entries that are finished give
better ones for the training.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from defectpool.config import Config
from defectpool.errors import DefectpoolError
from defectpool.supercell_labels import cells

# Sites in a C2DB host's primitive cell, on average.
SITES = 6.0
# Structures a host and defect type when all inequivalent ones are taken, on average.
ALL = {"vacancy": 2.6, "antisite": 3.5, "substitution": 5.2, "interstitial": 12.0}
# From host to graph, one core: milliseconds a structure, and more for each of its sites.
BUILD_MS, BUILD_MS_SITE = 2.0, 0.03
# Bytes a structure (gzipped text and graph), and more for each of its sites.
BYTES, BYTES_SITE = 600.0, 14.0
# A training step, forward and backward, one core: exact compression makes large supercells cost
# no more than this many sites (a vacancy's surroundings, as far as three convolutions see).
STEP_MS, STEP_MS_SITE, STEP_SITES = 0.5, 0.05, 60.0
# How many times faster a GPU is, where no entry of this campaign was trained on one yet.
GPU = 20.0
# Seconds that each job takes besides, and bytes that an entry's networks take, a fold and repeat.
JOB_SECONDS, NETWORK_BYTES = 20.0, 1.2e6


@dataclass(frozen=True)
class Plan:
    """The cost of a campaign.

    Attributes
    ----------
    hosts
        Hosts that it was made for.
    jobs
        Jobs of each rule.
    structures
        Structures in all, the pristine ones among them.
    hours
        Hours of each rule: processor hours, and for training hours of a GPU, all jobs together.
    longest
        Hours of the longest training.
    disk
        Bytes of everything under results/.
    cpu_training
        Hours that the training would take on single cores instead.
    """

    hosts: int
    jobs: dict[str, int]
    structures: int
    hours: dict[str, float]
    longest: float
    disk: float
    cpu_training: float


def count_hosts(config: Config, results: Path, embedded: Path) -> tuple[int, str]:
    """Return how many hosts there will be, and how that is known.

    Parameters
    ----------
    results
        The campaign's results, where the hosts may have been selected already.
    embedded
        The table of embedded monolayers.

    Raises
    ------
    DefectpoolError
        The database cannot be read.
    """
    selected = results / "materials/selected.csv"
    if selected.is_file():
        return _rows(selected), f"as selected in {selected}"
    settings = config.materials
    if settings.source == "embedded":
        found, how = _rows(embedded), "embedded, before any filter"
    elif settings.source == "database" and settings.path:
        try:
            with sqlite3.connect(f"file:{settings.path}?mode=ro", uri=True) as connection:
                found = connection.execute("select count(*) from systems").fetchone()[0]
        except sqlite3.Error as error:
            raise DefectpoolError(f"materials.path: {settings.path}: {error}") from None
        how = "in the database, before any filter"
    else:
        found, how = 17000, "all of C2DB, since the source has not been counted yet"
    if settings.limit and settings.limit < found:
        return settings.limit, "materials.limit"
    return found, how


def _rows(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for line in file if line.strip() and not line.startswith("#")) - 1


def measured(results: Path) -> dict[str, float]:
    """Return graphs a second, by device (cpu or gpu), of the entries that were trained."""
    rates: dict[str, list[float]] = {}
    for path in sorted((results / "training").rglob("audit.json")):
        audit = json.loads(path.read_text(encoding="utf-8"))
        # a tiny training is all start-up
        if audit.get("graphs", 0) >= 500 and audit.get("graphs_per_second"):
            kind = "cpu" if audit["device"] == "cpu" else "gpu"
            rates.setdefault(kind, []).append(float(audit["graphs_per_second"]))
    return {kind: sum(values) / len(values) for kind, values in rates.items()}


def estimate(config: Config, hosts: int, rates: Mapping[str, float] | None = None) -> Plan:
    """Estimate what a campaign costs.

    Parameters
    ----------
    hosts
        Number of hosts.
    rates
        Graphs a second that were measured in training, by device (cpu or gpu).
    """
    rates = rates or {}
    training = config.training
    entries_each = len(config.poolings) * len(config.convolutions)
    shards = len(config.defects) * len(config.supercells) * config.shards
    total, build_ms, disk, cpu, longest = 0.0, 0.0, 0.0, 0.0, 0.0
    gpu = 0.0
    for label in config.supercells:
        sites = SITES * cells(label)
        for defect in config.defects:
            each = ALL[defect] if config.structures.choose == "all" else config.structures.choose
            structures = 2.0 * hosts * min(each, ALL[defect])
            total += structures
            build_ms += structures * (BUILD_MS + BUILD_MS_SITE * sites)
            disk += structures * (BYTES + BYTES_SITE * sites)
            # a fold trains on all but one, and looks at two more parts at a third of the cost
            passes = training.repeats * training.epochs * (training.folds - 1 + 0.4)
            step_ms = STEP_MS + STEP_MS_SITE * min(
                sites, STEP_SITES if config.graph.compression else sites
            )
            ms = 1000 / rates["cpu"] if "cpu" in rates else step_ms
            gpu_ms = 1000 / rates["gpu"] if "gpu" in rates else ms / GPU
            cpu += entries_each * structures * passes * ms
            gpu += entries_each * structures * passes * gpu_ms
            longest = max(longest, structures * passes * gpu_ms)
            models = training.repeats * training.folds * NETWORK_BYTES
            disk += entries_each * (models + 150 * training.repeats * structures)
    jobs = {
        "select_materials": 1,
        "build_structures": shards,
        "build_graphs": shards,
        "train": len(config.defects) * len(config.supercells) * entries_each,
    }
    hour = 3.6e6
    start = {rule: number * JOB_SECONDS / 3600 for rule, number in jobs.items()}
    return Plan(
        hosts,
        jobs,
        round(total),
        {
            "select_materials": start["select_materials"] + hosts * 10 / hour,
            "build_structures": start["build_structures"] + 0.7 * build_ms / hour,
            "build_graphs": start["build_graphs"] + 0.3 * build_ms / hour,
            "train": start["train"] + gpu / hour,
        },
        longest / hour,
        disk,
        start["train"] + cpu / hour,
    )


def describe(plan: Plan, how: str, rates: Mapping[str, float] | None = None) -> str:
    """Return the plan as a user reads it.

    Parameters
    ----------
    how
        Where the number of hosts comes from.
    rates
        As for `estimate`.
    """
    source = (
        f"{', '.join(sorted(rates))} training measured on finished entries" if rates
        else "training speeds assumed; finished entries will give better ones"
    )  # fmt: skip
    lines = [f"{plan.hosts:,} hosts ({how}), {plan.structures:,} structures", ""]
    for rule, number in plan.jobs.items():
        unit = "GPU h" if rule == "train" else "core h"
        lines.append(f"{rule:<18}{number:>6,} jobs {plan.hours[rule]:>9.2f} {unit}")
    lines += [
        f"{'in all':<18}{sum(plan.jobs.values()):>6,} jobs",
        "",
        f"longest training: {plan.longest:.2f} h on a GPU; all of it on CPUs: "
        f"{plan.cpu_training:.1f} core h",
        f"disk: {plan.disk / 1e9:.2f} GB",
        f"({source})",
    ]
    return "\n".join(lines)
