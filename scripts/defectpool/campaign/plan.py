"""Cost estimate of a campaign before it is run: jobs, hours and bytes.

The estimate is good to a factor of two or three. It starts from times measured on one core of a
server of 2023 with hosts of C2DB. Where an earlier run in the same folder has left benchmark files
and audit records, the estimate is calibrated with them.
"""

import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from defectpool.config import Config, needs_calculator
from defectpool.errors import DefectpoolError
from defectpool.runtime.hashing import shard_labels
from defectpool.supercell_labels import cells

# Sites in a C2DB host's primitive cell, on average.
SITES = 6.0
# Structures a host and defect type when all inequivalent ones are taken, on average.
ALL = {"vacancy": 2.6, "antisite": 3.5, "substitution": 5.2, "interstitial": 12.0}
# From host to graph, one core: milliseconds a structure, and more for each of its sites.
BUILD_MS, BUILD_MS_SITE = 2.0, 0.03
# Seconds of a relaxation or of dynamics for each site, one core (CHGNet, 63 steps).
RELAX_SITE = 0.25
# Bytes a structure (gzipped text and graph), and more for each of its sites.
BYTES, BYTES_SITE = 600.0, 14.0
# A training step, forward and backward, one core: exact compression makes large supercells cost
# no more than this many sites (a vacancy's surroundings, as far as three convolutions see).
STEP_MS, STEP_MS_SITE, STEP_SITES = 0.5, 0.05, 60.0
# How many times faster a GPU is, where no run of this campaign was trained on one yet.
GPU = 20.0
# Most seconds that a job needs to import its libraries, and those that Snakemake needs for it,
# which are in no benchmark file.
IMPORT_SECONDS, SNAKEMAKE_SECONDS = 18.0, 2.0
# Bytes of the networks of a run, for each fold and repeat.
NETWORK_BYTES = 1.2e6
# Trainings on fewer graphs are too short to measure a speed.
LEAST_GRAPHS = 100


@dataclass(frozen=True)
class Plan:
    """Cost of a campaign.

    Attributes
    ----------
    hosts
        Number of hosts.
    jobs
        Jobs of each rule.
    structures
        Number of structures, including the pristine ones.
    hours
        Hours of each rule, all jobs together: core hours, or GPU hours for training on a GPU.
    longest
        Hours of the longest training.
    disk
        Bytes of everything under results/.
    cpu_training
        Core hours of the training on CPUs.
    on_gpu
        Whether the hours of training are GPU hours.
    """

    hosts: int
    jobs: dict[str, int]
    structures: int
    hours: dict[str, float]
    longest: float
    disk: float
    cpu_training: float
    on_gpu: bool


def count_hosts(config: Config, results: Path, embedded: Path) -> tuple[int, str]:
    """Return the number of hosts and where it comes from.

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
    """Return the mean training speed of finished runs in graphs per second, by device."""
    rates: dict[str, list[float]] = {}
    for path in sorted((results / "training").rglob("audit.json")):
        audit = json.loads(path.read_text(encoding="utf-8"))
        if audit.get("graphs", 0) >= LEAST_GRAPHS and audit.get("graphs_per_second"):
            device = "cpu" if audit["device"] == "cpu" else "gpu"
            rates.setdefault(device, []).append(float(audit["graphs_per_second"]))
    return {device: sum(values) / len(values) for device, values in rates.items()}


@dataclass(frozen=True)
class Job:
    """A job of a campaign: its rule, its wildcards, and the seconds of its work alone."""

    rule: str
    wildcards: tuple[str, ...]
    seconds: float


def benchmarks(results: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the seconds of each job of earlier runs, from Snakemake's benchmark files.

    Parameters
    ----------
    results
        The campaign's results, with `benchmarks/<rule>/<wildcards>.tsv`.
    """
    found = {}
    folder = results / "benchmarks"
    for path in sorted(folder.rglob("*.tsv")):
        rule, *wildcards = path.relative_to(folder).with_suffix("").parts
        with path.open(encoding="utf-8", newline="") as file:
            seconds = [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
        if seconds:
            found[rule, tuple(wildcards)] = seconds[-1]
    return found


def calibration(
    jobs: list[Job], known: Mapping[tuple[str, tuple[str, ...]], float]
) -> dict[str, tuple[float, float]]:
    """Return for each rule the overhead of a job in seconds and the factor of its work.

    Parameters
    ----------
    jobs
        Jobs of the campaign with the estimated seconds of their work.
    known
        Seconds of jobs that were run (`benchmarks`). Without any of a rule, the overhead is
        `IMPORT_SECONDS` and the factor 1.
    """
    found = {}
    for rule in {job.rule for job in jobs}:
        pairs = [
            (job.seconds, known[job.rule, job.wildcards])
            for job in jobs
            if job.rule == rule and (job.rule, job.wildcards) in known
        ]
        overhead, factor = IMPORT_SECONDS, 1.0
        if pairs:
            work, took = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
            overhead = min(max(took - work, 0.0), IMPORT_SECONDS)
            factor = (took - overhead) / work
        found[rule] = overhead + SNAKEMAKE_SECONDS, factor
    return found


def _structures(config: Config, hosts: int, defect: str) -> float:
    choose = config.structures.choose
    most = ALL.get(defect)
    if most is None:  # complexes and dense cells: as many as are asked for
        return 2.0 * hosts * (1 if choose == "all" else choose)
    return 2.0 * hosts * (most if choose == "all" else min(choose, most))


def jobs_of(config: Config, hosts: int, rates: Mapping[str, float], device: str) -> Iterator[Job]:
    """Yield the jobs of a campaign with the estimated seconds of their work.

    Parameters
    ----------
    hosts
        Number of hosts.
    rates
        Graphs per second that were measured in training, by device.
    device
        Device of the training: cpu or gpu.
    """
    training, models = config.training, config.structures.displacements
    # each fold trains on all but one of the parts and evaluates two more at a third of the cost
    passes = training.repeats * training.epochs * (training.folds - 1 + 0.4)
    yield Job("select_materials", (), 0.01 * hosts)
    for label, defect in product(config.supercells, config.defects):
        sites, structures = SITES * cells(label), _structures(config, hosts, defect)
        build = structures * (BUILD_MS + BUILD_MS_SITE * sites) / 1000 / config.shards
        for shard in shard_labels(config.shards):
            yield Job("build_structures", (defect, label, shard), 0.7 * build)
            if config.structures.relaxes:
                share = sum(map(needs_calculator, models)) / len(models)
                relax = share * structures * RELAX_SITE * sites / config.shards
                yield Job("relax_structures", (defect, label, shard), relax)
            yield Job("build_graphs", (defect, label, shard), 0.3 * build)
        step_ms = STEP_MS + STEP_MS_SITE * min(
            sites, STEP_SITES if config.graph.compression else sites
        )
        cpu = 1 / rates["cpu"] if "cpu" in rates else step_ms / 1000
        gpu = 1 / rates["gpu"] if "gpu" in rates else cpu / GPU
        seconds = structures * passes * (gpu if device == "gpu" else cpu)
        networks = list(product(config.poolings, config.convolutions))
        if training.entries_per_job == "all":
            yield Job("train", (defect, label), len(networks) * seconds)
            continue
        for network in networks:
            yield Job("train", (defect, label, *network), seconds)


def estimate(
    config: Config,
    hosts: int,
    rates: Mapping[str, float] | None = None,
    known: Mapping[tuple[str, tuple[str, ...]], float] | None = None,
) -> Plan:
    """Estimate what a campaign costs.

    Parameters
    ----------
    hosts
        Number of hosts.
    rates
        Graphs per second that were measured in training, by device (cpu or gpu).
    known
        Seconds of jobs that were run (`benchmarks`).
    """
    rates = rates or {}
    on_gpu = "gpu" in rates or "cpu" not in rates
    jobs = list(jobs_of(config, hosts, rates, "gpu" if on_gpu else "cpu"))
    calibrated = calibration(jobs, known or {})
    seconds: dict[str, list[float]] = {}
    for job in jobs:
        overhead, factor = calibrated[job.rule]
        seconds.setdefault(job.rule, []).append(overhead + factor * job.seconds)
    cpu = [job.seconds for job in jobs_of(config, hosts, rates, "cpu") if job.rule == "train"]
    overhead, factor = calibrated["train"]
    factor = 1.0 if on_gpu else factor
    structures = sum(_structures(config, hosts, d) for d in config.defects) * len(config.supercells)
    return Plan(
        hosts=hosts,
        jobs={rule: len(each) for rule, each in seconds.items()},
        structures=round(structures),
        hours={rule: sum(each) / 3600 for rule, each in seconds.items()},
        longest=max(seconds["train"]) / 3600,
        disk=_disk(config, hosts),
        cpu_training=(len(cpu) * overhead + factor * sum(cpu)) / 3600,
        on_gpu=on_gpu,
    )


def _disk(config: Config, hosts: int) -> float:
    training = config.training
    runs = len(config.poolings) * len(config.convolutions)
    models = training.repeats * training.folds * NETWORK_BYTES
    total = 0.0
    for label, defect in product(config.supercells, config.defects):
        structures = _structures(config, hosts, defect)
        total += structures * (BYTES + BYTES_SITE * SITES * cells(label))
        total += runs * (models + 150 * training.repeats * structures)
    return total


def describe(plan: Plan, how: str, rates: Mapping[str, float] | None = None, known: int = 0) -> str:
    """Return the plan as text.

    Parameters
    ----------
    how
        Where the number of hosts comes from.
    rates
        As for `estimate`.
    known
        Number of benchmark files of earlier runs that were used.
    """
    training = (
        f"training speed measured here on {', '.join(sorted(rates))}" if rates
        else "training speed assumed"
    )  # fmt: skip
    times = f"job times from {known} benchmark files" if known else "job times assumed"
    lines = [f"{plan.hosts:,} hosts ({how}), {plan.structures:,} structures", ""]
    for rule, number in plan.jobs.items():
        unit = "GPU h" if rule == "train" and plan.on_gpu else "core h"
        lines.append(f"{rule:<18}{number:>6,} jobs {plan.hours[rule]:>9.3f} {unit}")
    device = "a GPU" if plan.on_gpu else "one core"
    lines += [
        f"{'total':<18}{sum(plan.jobs.values()):>6,} jobs {sum(plan.hours.values()):>9.3f} h",
        "",
        f"longest training: {plan.longest:.2f} h on {device}; all trainings on CPUs: "
        f"{plan.cpu_training:.2f} core h",
        f"disk: {plan.disk / 1e9:.2f} GB",
        f"({training}; {times})",
    ]
    return "\n".join(lines)
