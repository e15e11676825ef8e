"""A real cluster, and a tiny campaign on it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from .cluster import Cluster, missing, until

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "rules", "scripts", "config", "profiles", "envs", "README.md")

POOLINGS = ("mean", "max", "sum", "softmax", "contrast")
# Twelve hosts, one table entry for each pooling; enough epochs that a fault finds it training.
TINY = {
    "materials": {"limit": 12},
    "defects": ["vacancy"],
    "supercells": ["2x2"],
    "poolings": list(POOLINGS),
    "training": {"epochs": 300, "folds": 2},
}
# A campaign polls every 20 s and more; a test has less patience.
HASTE = (
    "--slurm-init-seconds-before-status-checks=2", "--max-status-checks-per-second=1",
    "--latency-wait=10",
)  # fmt: skip


# Fault, ends of its jobs, seconds lost: a line for each entry that a test disturbed, if asked for,
# since the same entries are then trained without a fault, too.
MEASURED = "DEFECTPOOL_FAULT_COSTS" in os.environ
COSTS: list[str] = []


def write_yaml(path: Path, content: dict) -> None:
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)


class Campaign:
    """A clone of the workflow with its results, on the cluster."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.results = folder / "results"
        self.process: subprocess.Popen | None = None
        self.known = {job["JobIDRaw"] for job in cluster.jobs()}
        self.others: dict[Path, int] = {}
        self.began = self.ended = 0.0

    # ---- Snakemake

    def start(self, *arguments: str, target: str = "results/table.csv") -> None:
        """Start `snakemake --profile profiles/slurm`, for one or several targets."""
        self.began = self.began or time.monotonic()
        log = (self.folder / "snakemake.log").open("ab")
        self.process = subprocess.Popen(
            [
                "snakemake", "--profile", "profiles/slurm", *target.split(),
                "--configfile", "my.yaml", *HASTE, *arguments,
            ],
            cwd=self.folder, env=self.env(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def env(self) -> dict[str, str]:
        venv = str(Path(sys.executable).parent)
        path = f"{venv}{os.pathsep}{self.cluster.env['PATH']}"
        return {**self.cluster.env, "PATH": path, "OMP_NUM_THREADS": "1"}

    def finish(self, seconds: float = 240) -> int:
        """Wait for Snakemake's end; a Snakemake that does not end is what the tests are about."""
        assert self.process
        try:
            status = self.process.wait(seconds)
            self.ended = time.monotonic()
            return status
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake hangs:\n{self.log()[-3000:]}")

    def run(self, *arguments: str, target: str = "results/table.csv") -> int:
        """Start and wait."""
        self.start(*arguments, target=target)
        return self.finish()

    def log(self) -> str:
        """Return all that Snakemake has said."""
        return (self.folder / "snakemake.log").read_text()

    # ---- the entries of the table

    def forget(self, *poolings: str) -> None:
        """Remove the table and the training of some entries, finished state and all."""
        (self.results / "table.csv").unlink()
        for pooling in poolings:
            for part in ("training", "state", "logs/train"):
                shutil.rmtree(self.results / part / "vacancy/2x2" / pooling)

    def epochs(self, pooling: str) -> int:
        """Return how many times progress was reported by the running attempt."""
        return sum("epoch" in line for line in self.training_log(pooling).splitlines())

    def training_log(self, pooling: str) -> str:
        """Return the log of the last attempt of an entry; empty while there is none."""
        try:
            return (self.results / f"logs/train/vacancy/2x2/{pooling}/gated.log").read_text()
        except FileNotFoundError:
            return ""

    def wait_for_training(self, *poolings: str) -> dict[str, str]:
        """Wait until these entries train; return their job ids."""
        for pooling in poolings:
            until(f"training of {pooling}", lambda p=pooling: self.epochs(p) or self._failed(), 90)
        return {pooling: self.job(pooling) for pooling in poolings}

    def _failed(self) -> bool:
        if self.process and self.process.poll() is not None:
            pytest.fail(f"Snakemake ended early:\n{self.log()[-3000:]}")
        return False

    def job(self, pooling: str) -> str:
        """Return the id of the running job of an entry."""
        found = self.cluster.running(f"rule_train_wildcards_vacancy_2x2_{pooling}_gated")
        assert found, f"no running job for {pooling}"
        return found[-1]

    def signal_training(self, pooling: str, what: signal.Signals) -> None:
        """Send a signal to the process that trains an entry."""
        os.kill(json.loads(self.leases(pooling)[-1].read_text())["pid"], what)

    def leases(self, pooling: str) -> list[Path]:
        """Return the leases on an entry, the oldest first."""
        return sorted((self.results / f"state/vacancy/2x2/{pooling}/gated/lease").glob("*.json"))

    def configure(self, **training: object) -> None:
        """Change keys of the section on training."""
        write_yaml(self.folder / "my.yaml", TINY | {"training": TINY["training"] | training})

    # ---- what became of it

    def jobs(self, rule: str = "rule_train") -> list[dict[str, str]]:
        """Return what accounting knows of the jobs of a rule since this campaign was made."""
        return [
            job for job in self.cluster.jobs()
            if job["JobIDRaw"] not in self.known and f"--comment {rule}" in job["SubmitLine"]
            and str(self.folder) in job["SubmitLine"]
        ]  # fmt: skip

    def states(self, pooling: str) -> list[str]:
        """Return how each start of an entry's job ended."""
        return [
            job["State"].split()[0]
            for job in self.jobs(f"rule_train_wildcards_vacancy_2x2_{pooling}_")
        ]

    def job_seconds(self, pooling: str) -> int:
        """Return what all starts of an entry's job took together."""
        rows = self.jobs(f"rule_train_wildcards_vacancy_2x2_{pooling}_")
        return sum(int(row["ElapsedRaw"]) for row in rows)

    def table(self) -> list[dict[str, str]]:
        """Return the table, without what a clock or a machine decides."""
        with (self.results / "table.csv").open() as file:
            return [
                {key: value for key, value in row.items() if key not in ("seconds", "device")}
                for row in csv.DictReader(file)
            ]

    def predictions(self) -> dict[str, bytes]:
        """Return every prediction, byte for byte."""
        files = sorted((self.results / "training").rglob("predictions.csv"))
        return {str(file.relative_to(self.results)): file.read_bytes() for file in files}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a running cluster."""
    if missing():
        pytest.skip(f"SLURM is not installed ({', '.join(missing())} missing)")
    # the paths of sockets are short
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    cluster.start()
    yield cluster
    cluster.stop()


def clone(folder: Path, config: dict, site: dict) -> None:
    """Make a fresh clone with a config and a site."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "site.yaml")
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy2(source, folder / part)
    write_yaml(folder / "my.yaml", config)
    write_yaml(folder / "profiles/slurm/site.yaml", site)


@pytest.fixture(scope="session")
def undisturbed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Return the campaign as it is at home, where nothing goes wrong; not to be changed.

    All workers share it: it runs once.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    campaign = Campaign(folder / "clone", cluster)
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            clone(campaign.folder, TINY, {"gpus": 0})
            done = subprocess.run(
                ["snakemake", "results/table.csv", "--configfile", "my.yaml"],
                cwd=campaign.folder, env=campaign.env(), capture_output=True, text=True,
            )  # fmt: skip
            (campaign.folder / "snakemake.log").write_text(done.stderr)
            assert done.returncode == 0, done.stderr
            (folder / "done").touch()
    return campaign


def retraining(
    undisturbed: Campaign, cluster: Cluster, folder: Path, poolings: Iterable[str]
) -> Campaign:
    """Return a copy of the finished campaign in which some entries are to be trained."""
    shutil.copytree(undisturbed.folder, folder)
    (folder / "snakemake.log").unlink()
    copy = Campaign(folder, cluster)
    copy.forget(*poolings)
    return copy


@pytest.fixture(scope="session")
def without_fault(
    undisturbed: Campaign, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Campaign]:
    """Return what trains some entries on the cluster while nothing happens to them."""

    @cache
    def train(*poolings: str) -> Campaign:
        folder = tmp_path_factory.mktemp("without_fault") / "clone"
        copy = retraining(undisturbed, cluster, folder, poolings)
        assert copy.run() == 0, copy.log()
        return copy

    return train


@pytest.fixture
def campaign(
    undisturbed: Campaign, without_fault: Callable[..., Campaign], cluster: Cluster, tmp_path: Path
) -> Iterator[Callable[..., Campaign]]:
    """Return a maker of copies of the finished campaign in which some entries are to be trained.

    It takes the fault of each entry. When the test ends, the cluster is whole again, no other entry
    was trained again, and the table and all predictions are those of the undisturbed campaign; what
    each fault cost is told at the end of all tests, with DEFECTPOOL_FAULT_COSTS=1.
    """
    made: list[tuple[Campaign, dict[str, str]]] = []

    def make(site: dict | None = None, **faults: str) -> Campaign:
        copy = retraining(undisturbed, cluster, tmp_path / "clone", faults)
        if site:
            write_yaml(copy.folder / "profiles/slurm/site.yaml", site)
        copy.others = {
            file: file.stat().st_mtime_ns for file in copy.results.glob("training/*/*/*/*/model.pt")
        }
        made.append((copy, faults))
        return copy

    yield make
    for copy, _ in made:
        if copy.process and copy.process.poll() is None:
            os.killpg(copy.process.pid, signal.SIGKILL)
    cluster.call("scancel", "--user", str(os.getuid()), check=False)
    cluster.start()
    until("an empty queue", lambda: not cluster.call("squeue", "-h"), 60)
    for copy, faults in made:
        assert copy.table() == undisturbed.table()
        assert copy.predictions() == undisturbed.predictions()
        for file, when in copy.others.items():
            # or written again out of its finished state
            again = "goes on after 2 of 2 folds" in copy.training_log(file.parts[-3])
            assert again or file.stat().st_mtime_ns == when, f"{file} was trained again"
        if not MEASURED:
            continue
        plain = without_fault(*faults)
        wall = copy.ended - copy.began - (plain.ended - plain.began)
        for pooling, fault in faults.items():
            lost = copy.job_seconds(pooling) - plain.job_seconds(pooling)
            ends = ", ".join(copy.states(pooling)).lower() or "not started"
            COSTS.append(f"| {fault} | {ends} | {lost} | {wall:.0f} | yes |")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what each fault cost, as the table in profiles/README.md."""
    if COSTS:
        terminalreporter.section("what the faults cost")
        terminalreporter.line("| fault | ends of its jobs | job s lost | s lost | same result |")
        terminalreporter.line("|---|---|---|---|---|")
        for line in COSTS:
            terminalreporter.line(line)
