"""Cost estimate, progress, failures and efficiency of the jobs of a campaign."""

import csv
import io
import json
import logging
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import pytest

from defectpool.campaign import checks, efficiency, failures, nodes, progress
from defectpool.campaign import plan as plans
from defectpool.config import Config
from defectpool.errors import DefectpoolError

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "scripts/defectpool/materials/embedded.csv"

States = Callable[..., dict[str, str]]

LOG = """\
[Sun Nov 22 19:42:03 2026]
Error in rule train:
    message: SLURM-job '2' failed, SLURM status is: 'CANCELLED'. Reason: Unknown.
    jobid: 1
    input: results/graphs/vacancy/2x2/000.h5
    output: {good}
    log: results/logs/train/good.log (check log file(s) for error details)
    external_jobid: 2
Trying to restart job 1.
[Sun Nov 22 19:42:03 2026]
Error in rule train:
    jobid: 3
    output: {bad}, {bad}.csv
    log: {log} (check log file(s) for error details)
    external_jobid: 4
Trying to restart job 3.
[Sun Nov 22 19:43:03 2026]
Error in rule train, jobid: 3:
    jobid: 3
    output: {bad}, {bad}.csv
    log: {log} (check log file(s) for error details)
    external_jobid: 9
"""


def test_only_failures_that_no_later_try_repaired(tmp_path: Path) -> None:
    good, bad, log = (tmp_path / name for name in ("good.pt", "bad.pt", "bad.log"))
    good.touch()
    log.write_text("one\ntwo\n\nthree\n")
    found = failures.failures(LOG.format(good=good, bad=bad, log=log))
    assert found == [failures.Failure("train", (str(bad), f"{bad}.csv"), log, 2, "9")]
    text = failures.describe(found, "snakemake --profile profiles/slurm", lines=2)
    assert "do not delete that folder" in text
    without = failures.describe(found, "snakemake", has_checkpoints=False)
    assert "no checkpoints" in without and "continue from their" not in without
    assert "train failed (2 times, SLURM job 9)" in text
    assert "    two\n    three\n" in text and "one" not in text
    assert text.endswith("    snakemake --profile profiles/slurm")


REFUSED = """\
localrule build:
    output: {folder}/a.txt, {folder}/a.csv
    log: {folder}/a.log
    jobid: 1
    reason: Missing output files: {folder}/a.txt
MissingOutputException in rule build in file "/clone/Snakefile", line 3:
Job 1  completed successfully, but some output files are missing. Missing files after 1 seconds:
{folder}/a.csv (missing locally, parent dir contents: a.txt)
Removing output files of failed job build since they might be corrupted:
RuleException:
CalledProcessError in file "/clone/Snakefile", line 9:
Command 'set -euo pipefail;  false' died with <Signals.SIGKILL: 9>.
Error in rule train:
    message: None
    jobid: 2
    output: {folder}/b.pt
Error in rule train:
    message: SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.
    jobid: 3
    output: {folder}/c.pt
"""


def test_what_a_log_cannot_say(tmp_path: Path) -> None:
    found = {one.output[0]: one for one in failures.failures(REFUSED.format(folder=tmp_path))}
    refused = found[f"{tmp_path}/a.txt"]
    assert (refused.rule, refused.log) == ("build", tmp_path / "a.log")
    assert refused.reason == f"ended without an error, but did not write {tmp_path}/a.csv"
    assert found[f"{tmp_path}/b.pt"].reason == "killed by SIGKILL: out of memory, or by hand"
    assert "OUT_OF_MEMORY" in found[f"{tmp_path}/c.pt"].reason
    text = failures.describe(list(found.values()), "snakemake")
    assert "3 jobs failed." in text and "did not write" in text
    assert "0 jobs failed" not in failures.describe([], "snakemake")


def test_failures_with_the_same_reason_are_said_once(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("error: too few\n")
    same = [failures.Failure("train", (f"{n}.pt",), log, 1, "") for n in range(16)]
    text = failures.describe(same, "snakemake")
    assert text.count("too few") == 1
    assert "train failed (once): 0.pt and 15 more" in text and "16 jobs failed" in text


@pytest.mark.parametrize(
    ("split", "folds", "number"),
    [
        ("formula", 4, 3),
        ("element", 9, 4),
        ("prototype", 3, 2),
        ("formula", 3, 0),
        ("random", 9, 0),
    ],
)
def test_folds_are_checked_against_the_selected_hosts(
    tmp_path: Path, split: str, folds: int, number: int
) -> None:
    path = tmp_path / "selected.csv"
    path.write_text(
        "id,formula,layergroup,natoms,source,properties\n"
        "a,MoS2,p-6m2,3,x,\nb,WS2,p-6m2,3,x,\nc,C,p6/mmm,2,x,\nd,C,p6/mmm,2,x,\n"
    )
    text = checks.too_few_groups(path, folds, split)
    assert (f"different {split}s, and {path} has {number};" in text) is bool(number)
    assert bool(text) is bool(number)
    assert checks.too_few_groups(tmp_path / "no.csv", folds, split) == ""


def test_a_failure_without_a_log(tmp_path: Path) -> None:
    text = "Error in rule plan:\n    jobid: 0\n"
    # without outputs nobody can tell whether it was mended; it is not reported
    assert failures.failures(text) == []
    assert failures.last_lines(tmp_path / "no.log", 3)[0].startswith("(no log at")
    assert failures.last_lines(None, 3) == ["(no log)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("02:03.500", 123.5), ("1-02:03:04", 93784), ("00:00:10", 10), ("03:00:00", 10800)],
)
def test_times_as_sacct_writes_them(text: str, expected: float) -> None:
    assert efficiency.seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("1024K", 1), ("2.5G", 2560), ("1000M", 1000), ("0", 0)]
)
def test_sizes_as_sacct_writes_them(text: str, expected: float) -> None:
    assert efficiency.mebibytes(text) == expected


SACCT = """\
7|COMPLETED|100|10|01:30.000|2|4000M||billing=2,cpu=2,gres/gpu=1,mem=4000M|/c|sbatch --parsable --comment rule_train_wildcards_vacancy_2x2 -p gpu
7.batch|COMPLETED|100||00:05.000|2||200000K|cpu=2|/c|
7.0|COMPLETED|90||01:25.000|2||1024000K|cpu=2|/c|srun -n1 | sh
8|CANCELLED by 0|50|UNLIMITED|00:10.000|2|8000M||billing=2,cpu=2,gres/gpu=1,mem=4000M|/c|sbatch --comment 'rule_train_wildcards_vacancy_6x6' -p gpu
9|COMPLETED|10|30|00:10.000|1|2G||billing=1,cpu=1|/c|sbatch --comment rule_select_materials -p cpu
10|COMPLETED|999|30|00:10.000|1|2G||billing=1,cpu=1|/other|sbatch --comment rule_train -p cpu
10.0|COMPLETED|999||00:10.000|1||9999999K|cpu=1|/other|srun
"""  # noqa: E501


def test_what_jobs_used() -> None:
    uses = efficiency.read(SACCT, "/c")
    assert set(uses) == {"train", "select_materials"}
    train = uses["train"]
    assert (train.jobs, train.failed) == (2, 1)
    assert (train.asked_seconds, train.used_seconds) == (600, 150)
    assert (train.cpu_seconds, train.cores_seconds, train.gpu_seconds) == (100, 300, 150)
    assert (train.asked_mib, train.used_mib) == (8000, 1000)
    text = efficiency.describe(uses)
    assert text.splitlines()[1].split()[:3] == ["train", "2", "1"]
    assert len({len(line) for line in text.splitlines()}) == 1


def test_the_table_is_not_missed_where_there_is_no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "does not answer" in efficiency.report("now", Path.cwd())


def test_a_plan_counts_the_jobs_of_the_workflow() -> None:
    config = Config.model_validate({"shards": 3, "supercells": ["2x2", "6x6", "3x2"]})
    plan = plans.estimate(config, 100)
    assert plan.jobs == {
        "select_materials": 1,
        "build_structures": 36,
        "build_graphs": 36,
        "train": 24,
    }
    assert plan.structures == 2 * 100 * 4 * 3
    text = plans.describe(plan, "as given")
    assert "100 hosts (as given), 2,400 structures" in text


def test_a_plan_of_entries_that_share_a_job() -> None:
    """The same training in as many jobs as there are defects and supercells."""
    apart, together = (
        plans.estimate(Config.model_validate({"training": {"entries_per_job": number}}), 100)
        for number in (1, "all")
    )
    assert (apart.jobs["train"], together.jobs["train"]) == (16, 8)
    start = (plans.IMPORT_SECONDS + plans.SNAKEMAKE_SECONDS) / 3600
    assert together.hours["train"] == pytest.approx(apart.hours["train"] - 8 * start)
    assert together.longest == pytest.approx(2 * apart.longest - start)


def test_a_plan_grows_with_the_work() -> None:
    small = plans.estimate(Config(), 100)
    for changes, hosts in (
        ({}, 200),
        ({"training": {"epochs": 60}}, 100),
        ({"structures": {"choose": "all"}}, 100),
    ):
        large = plans.estimate(Config.model_validate(changes), hosts)
        assert large.cpu_training > 1.5 * small.cpu_training
    slow = plans.estimate(Config.model_validate({"graph": {"compression": False}}), 100)
    assert slow.cpu_training > small.cpu_training
    known = plans.estimate(Config(), 100, {"cpu": 1.0, "gpu": 10.0})
    assert known.cpu_training > small.cpu_training


def benchmark(results: Path, name: str, seconds: float) -> None:
    path = results / "benchmarks" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t100\n")


def test_a_plan_learns_from_benchmark_files(tmp_path: Path) -> None:
    """The hours of a campaign that was run are those of its benchmark files and Snakemake's."""
    config, rates = Config(), {"cpu": 4000.0}
    jobs = list(plans.jobs_of(config, 177, rates, "cpu"))
    for number, job in enumerate(jobs):
        benchmark(tmp_path, "/".join((job.rule, *job.wildcards)), 1.5 + number % 3 + job.seconds)
    known = plans.benchmarks(tmp_path)
    assert len(known) == len(jobs) == 1 + 8 + 8 + 16
    plan = plans.estimate(config, 177, rates, known)
    took = sum(known.values()) + len(jobs) * plans.SNAKEMAKE_SECONDS
    assert sum(plan.hours.values()) == pytest.approx(took / 3600, rel=1e-9)
    assert sum(plan.hours.values()) < 0.5 * sum(plans.estimate(config, 177, rates).hours.values())
    assert not plan.on_gpu
    text = plans.describe(plan, "as given", rates, len(known))
    assert "33 benchmark files" in text and "GPU h" not in text


@pytest.mark.parametrize(
    ("work", "took", "overhead", "factor"),
    [
        (1.0, 4.0, 3.0, 1.0),  # imports dominate
        (10.0, 5.0, 0.0, 0.5),  # the work takes less than assumed
        (100.0, 1018.0, 18.0, 10.0),  # the work takes more than assumed
    ],
)
def test_overhead_and_work_are_told_apart(
    work: float, took: float, overhead: float, factor: float
) -> None:
    jobs = [plans.Job("train", ("a",), work), plans.Job("train", ("b",), 7.0)]
    found = plans.calibration(jobs, {("train", ("a",)): took, ("other", ()): 1.0})
    assert found == {"train": (pytest.approx(overhead + plans.SNAKEMAKE_SECONDS), factor)}


def test_progress_lines() -> None:
    now = progress.Progress()
    now.plan({"build": 2, "train": 4, "total": 6}, 100.0)
    now.start(1, "build", {"defect": "vacancy", "supercell": "2x2"}, 100.0)
    now.start(2, "build", {"defect": "vacancy", "supercell": "6x6"}, 100.0)
    assert now.finish(1, 110.0) == "[1/6  17%] build vacancy 2x2: 10 s, about 20 s left"
    assert now.finish(2, 110.0).startswith("[2/6  33%] build vacancy 6x6: 10 s")
    now.start(3, "train", {"pooling": "max"}, 110.0)
    # three more of 100 s, one after the other, since one ran at a time for most of the time
    line = now.finish(3, 210.0)
    assert line == "[3/6  50%] train max: 2 min, about 5 min left"
    assert now.time_left(210.0) == pytest.approx(300 * 110 / 120)
    for job in (4, 5, 6):
        now.start(job, "train", {}, 210.0)
        line = now.finish(job, 310.0)
    assert line == "[6/6 100%] train: 2 min" and now.finish(9, 310.0) == ""
    assert [progress.duration(s) for s in (8, 300, 7200)] == ["8 s", "5 min", "2.0 h"]


def test_progress_replaces_the_messages_on_the_screen_alone() -> None:
    class Event(Enum):
        RUN_INFO, JOB_INFO, JOB_FINISHED, JOB_ERROR, ERROR = range(5)

    screen, file = io.StringIO(), io.StringIO()
    logger = logging.Logger("snakemake")
    for stream, name in ((screen, progress.SCREEN), (file, "DefaultLogFileHandler")):
        handler = logging.StreamHandler(stream)
        handler.set_name(name)
        logger.addHandler(handler)
    assert progress.install(logger) and progress.install(logger)
    assert len(logger.handlers) == 3
    job = {"jobid": 1, "rule_name": "train", "wildcards": {"pooling": "max"}}
    logger.info("job counts", extra={"event": Event.RUN_INFO, "stats": {"train": 1, "total": 1}})
    logger.info("rule train, reason: missing", extra={"event": Event.JOB_INFO, **job})
    logger.info("finished", extra={"event": Event.JOB_FINISHED, "job_id": 1})
    logger.info("rule train", extra={"event": Event.JOB_INFO, **job, "jobid": 2})
    logger.error("Error in rule train", extra={"event": Event.JOB_ERROR, "jobid": 2})
    for name in ("RuleException", "MissingOutputException"):
        logger.error(name, extra={"event": Event.ERROR, "exception": name})
    logger.info(progress.SELECTING)
    assert screen.getvalue() == (
        "job counts\n[1/1 100%] train max: 0 s\ntrain max: failed after 0 s\n"
        "MissingOutputException\n"
    )
    assert file.getvalue().count("\n") == 8
    assert not progress.install(logging.Logger("other"))


def test_where_the_number_of_hosts_comes_from(tmp_path: Path) -> None:
    with EMBEDDED.open() as file:
        rows = sum(1 for _ in csv.DictReader(line for line in file if not line.startswith("#")))
    assert plans.count_hosts(Config(), tmp_path, EMBEDDED)[0] == rows
    limited = Config.model_validate({"materials": {"limit": 7}})
    assert plans.count_hosts(limited, tmp_path, EMBEDDED) == (7, "materials.limit")
    path = tmp_path / "a.db"
    config = Config.model_validate({"materials": {"source": "database", "path": str(path)}})
    with pytest.raises(DefectpoolError, match=r"materials\.path"):
        plans.count_hosts(config, tmp_path, EMBEDDED)
    with sqlite3.connect(path) as connection:
        connection.execute("create table systems (id integer)")
        connection.executemany("insert into systems values (?)", [(i,) for i in range(5)])
    assert plans.count_hosts(config, tmp_path, EMBEDDED)[0] == 5
    selected = tmp_path / "materials/selected.csv"
    selected.parent.mkdir()
    selected.write_text("id,formula\na,b\nc,d\n")
    assert plans.count_hosts(config, tmp_path, EMBEDDED)[0] == 2


def test_measured_speeds_are_those_of_finished_runs(tmp_path: Path) -> None:
    for name, audit in {
        "a": {"device": "cpu", "graphs": 1000, "graphs_per_second": 100.0},
        "b": {"device": "cpu", "graphs": 1000, "graphs_per_second": 300.0},
        "c": {"device": "H100", "graphs": 1000, "graphs_per_second": 9000.0},
        "tiny": {"device": "cpu", "graphs": 24, "graphs_per_second": 1.0},
    }.items():
        path = tmp_path / "training" / name / "audit.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(audit))
    assert plans.measured(tmp_path) == {"cpu": 200.0, "gpu": 9000.0}


def test_a_node_without_a_usable_gpu_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert not nodes.gpu_was_given()
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "g7")
    assert nodes.gpu_was_given()
    assert nodes.mark_unusable_gpu(tmp_path / "notes", "broken") == "g7"
    assert "broken" in (tmp_path / "notes/g7").read_text()


@pytest.fixture
def states() -> States:
    """Return what the wrapper of sacct makes its answer with."""
    return runpy.run_path(str(ROOT / "profiles/slurm/bin/sacct"))["states"]


@pytest.mark.parametrize(
    ("accounting", "queue", "state"),
    [
        ("RUNNING", "COMPLETED", "COMPLETED"),  # slurmctld is ahead
        ("COMPLETED", None, "COMPLETED"),
        (None, "RUNNING", "RUNNING"),  # no accounting
        ("CANCELLED", None, "CANCELLED"),
        ("PREEMPTED", "PENDING", "PENDING"),  # requeued
        ("PREEMPTED", "PREEMPTED", "FAILED"),  # for good: the plugin would wait for ever
        ("PREEMPTED", None, None),  # which of the two, only slurmctld knows
        ("NODE_FAIL", "PENDING", "PENDING"),
        ("NODE_FAIL", "NODE_FAIL", "NODE_FAIL"),
        ("NODE_FAIL", None, None),
        ("REVOKED", None, "FAILED"),  # a word that the plugin does not know
        ("RUNNING", "SUSPENDED", "SUSPENDED"),
    ],
)
def test_every_state_is_one_that_ends_the_waiting(
    states: States,
    accounting: str | None,
    queue: str | None,
    state: str | None,
) -> None:
    answer = states(
        {"1": accounting} if accounting else None, {"1": queue} if queue else None, {"1": 0.0}, 1.0
    )
    assert answer == ({"1": state} if state else {})


def test_a_job_that_nobody_knows_has_failed_after_a_while(
    states: States,
) -> None:
    assert states({}, {}, {"1": 0.0}, 200.0) == {}
    assert states({}, {}, {"1": 0.0}, 400.0) == {"1": "FAILED"}
    # not while slurmctld is silent
    assert states({}, None, {"1": 0.0}, 400.0) == {}


def test_srun_gets_its_configuration_back(tmp_path: Path) -> None:
    real = tmp_path / "srun"
    real.write_text('#!/bin/sh\necho "$SLURM_CONF" "$@"; exit 3\n')
    real.chmod(0o755)
    wrapper = ROOT / "profiles/slurm/bin/srun"
    done = subprocess.run(
        ["srun", "-n1", "a b"],
        env={
            "PATH": f"{wrapper.parent}:{tmp_path}:/usr/bin:/bin",
            "DEFECTPOOL_SLURM_CONF": "/somewhere/slurm.conf",
        },
        executable=wrapper,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "/somewhere/slurm.conf -n1 a b\n")


def test_the_library_of_the_campaign_is_light() -> None:
    code = (
        "import sys, defectpool.campaign.plan, defectpool.campaign.failures,"
        "defectpool.campaign.efficiency, defectpool.campaign.progress,"
        "defectpool.reporting.published; print([m for m in ('numpy', 'torch', 'pandas') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert done.stdout == "[]\n", done.stderr
