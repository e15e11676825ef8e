"""Every fault that a cluster has, and the same table at the end.

The fixture `campaign` checks, after each test, that the table and all predictions are those of an
undisturbed run at home and that no finished entry was trained again.
"""

import os
import signal
import subprocess
import time

import pytest

from .cluster import until

pytestmark = pytest.mark.slurm


def test_faults_of_a_job(campaign, cluster):
    """Cancelled; out of time; out of memory; requeued: each a fault of one entry."""
    c = campaign(
        mean="job cancelled", max="time limit, after a stall of a minute", sum="memory limit",
        contrast="job requeued",
    )  # fmt: skip
    c.start(
        "--set-resources",
        "train:runtime=1 if wildcards.pooling == 'max' and attempt == 1 else 30",
        "train:mem_mb=350 if wildcards.pooling == 'sum' and attempt == 1 else 3000",
    )
    jobs = c.wait_for_training("mean", "max", "contrast")
    cluster.call("scancel", jobs["mean"])
    cluster.call("scontrol", "requeue", jobs["contrast"])
    # it stalls, as on a file system that is away, until its time is up
    c.signal_training("max", signal.SIGSTOP)
    until("the time limit", lambda: cluster.states(jobs["max"]) == ["COMPLETING"], 120)
    c.signal_training("max", signal.SIGCONT)
    assert c.finish() == 0, c.log()
    assert c.states("mean") == ["CANCELLED", "COMPLETED"]
    assert c.states("max") == ["TIMEOUT", "COMPLETED"]
    assert c.states("sum")[-1] == "COMPLETED" and len(c.states("sum")) == 2
    assert (
        c.states("contrast")[-1] == "COMPLETED"
        and len({j["JobIDRaw"] for j in c.jobs("rule_train_wildcards_vacancy_2x2_contrast")}) == 1
    )
    for pooling in ("mean", "max", "contrast"):
        assert "goes on" in c.training_log(pooling)


def test_preempted(campaign, cluster):
    """Jobs of a partition of low priority give way: requeued in one, cancelled in the other."""
    c = campaign(mean="preempted, requeued", max="preempted, cancelled")
    c.start(
        "--set-resources",
        "train:slurm_partition='requeued' if wildcards.pooling == 'mean' else 'evicted'",
    )
    c.wait_for_training("mean", "max")
    urgent = cluster.call(
        "sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive",
        "--output=/dev/null", "--wrap=sleep 3",
    )  # fmt: skip
    until("preemption", lambda: cluster.states(urgent) != ["PENDING"])
    assert c.finish() == 0, c.log()
    assert c.states("mean")[-1] == "COMPLETED" and len(c.states("mean")) == 2
    assert c.states("max") == ["PREEMPTED", "COMPLETED"]
    assert "goes on" in c.training_log("mean") and "goes on" in c.training_log("max")


def test_a_node_dies(campaign, cluster):
    """The job goes on elsewhere, from the state that it had saved last."""
    c = campaign(max="node dies")
    c.start()
    job = c.wait_for_training("max")["max"]
    node = cluster.call("squeue", "-h", "-j", job, "-o", "%N")
    cluster.kill_node(node)
    assert c.finish() == 0, c.log()
    ends = [(row["State"], row["NodeList"]) for row in c.jobs()]
    assert ends[-1][0] == "COMPLETED" and ends[-1][1] != node
    assert len(ends) == 2


def test_slurmctld_and_accounting_are_away(campaign, cluster):
    """Nobody to submit to, then nobody to ask, and no accounting at all: it is waited for."""
    c = campaign(max="slurmctld away twice, slurmdbd away")
    cluster.stop_accounting()
    cluster.stop_controller()
    c.start()
    # said right before the submission
    until("a submission", lambda: "SLURM account" in c.log())
    time.sleep(5)
    cluster.start_controller()
    c.wait_for_training("max")
    cluster.stop_controller()
    time.sleep(5)
    cluster.start_controller()
    assert c.finish() == 0, c.log()
    cluster.start_accounting()
    until("the record", lambda: c.states("max") == ["COMPLETED"])
    assert "attempt" not in c.log() and c.log().count("submitted with SLURM jobid") == 1


def test_a_submission_whose_answer_is_lost(campaign, cluster):
    """slurmctld takes the job, but too late for sbatch: it is found, not submitted again."""
    c = campaign({"gpus": 0, "partition": "cpu"}, max="answer to a submission lost")
    controller = cluster.pid("slurmctld")
    os.kill(controller, signal.SIGSTOP)
    try:
        c.start()
        until("a submission", lambda: cluster.processes("sbatch"), 90)
        until("the end of its patience", lambda: not cluster.processes("sbatch"), 90)
    finally:
        os.kill(controller, signal.SIGCONT)
    assert c.finish() == 0, c.log()
    until("the record", lambda: c.states("max"))
    assert c.states("max") == ["COMPLETED"]


def test_interrupted_and_started_again(campaign, cluster):
    """Ctrl-C cancels the jobs; they save where they are, and go on at the next start."""
    c = campaign(max="Ctrl-C, started again")
    c.start()
    c.wait_for_training("max")
    c.process.send_signal(signal.SIGINT)
    assert c.finish() != 0
    assert not (c.results / "training/vacancy/2x2/max/gated/model.pt").exists()
    assert c.run() == 0, c.log()
    assert "goes on" in c.training_log("max")


def test_killed_and_started_again_with_jobs_still_running(campaign, cluster):
    """The stale lock is removed; the second copy of a job waits for the first and uses its work."""
    c = campaign(max="Snakemake killed, started again while the job runs")
    c.start()
    first = c.wait_for_training("max")["max"]
    c.signal_training("max", signal.SIGSTOP)  # so that it cannot end before the second copy
    os.killpg(c.process.pid, signal.SIGKILL)
    c.process.wait()
    c.start()
    until("the second copy", lambda: c.log().count("submitted with SLURM jobid") == 2)
    c.signal_training("max", signal.SIGCONT)
    assert c.finish() == 0, c.log()
    rows = c.jobs()
    assert [row["State"] for row in rows] == ["COMPLETED"] * 2 and rows[0]["JobIDRaw"] == first
    assert f"--dependency=afterany:{first}" in rows[1]["SubmitLine"]
    assert "goes on after 2 of 2 folds" in c.training_log("max")


def test_a_second_copy_at_home_waits_for_the_cluster(campaign, cluster):
    """Without SLURM in between it is the lease that keeps the second writer away."""
    c = campaign(max="second copy at home while the job runs")
    c.start()
    c.wait_for_training("max")
    c.signal_training("max", signal.SIGSTOP)
    home = subprocess.Popen(
        ["snakemake", "results/table.csv", "--configfile", "my.yaml", "--nolock"],
        cwd=c.folder, env=c.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("the second copy", lambda: "waiting for" in c.training_log("max"))
        c.signal_training("max", signal.SIGCONT)
        assert home.wait(120) == 0
    finally:
        home.kill()
    c.finish()
    assert sorted(path.name for path in c.leases("max")) == ["0001.json", "0002.json"]
    assert "goes on after 2 of 2 folds" in c.training_log("max")


def test_disk_full(campaign, cluster, tmp_path):
    """Nothing is broken by it: once there is room, the same command goes on."""
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk]).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        c = campaign(max="disk full, until there is room")
        (c.results / "state/vacancy/2x2/max").symlink_to(disk)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        assert c.run("--retries", "1") != 0
        lease = "results/state/vacancy/2x2/max/gated/lease"
        assert f"{lease}: the disk or quota is full" in c.training_log("max")
        filler.unlink()
        assert c.run() == 0, c.log()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_damaged_shard(campaign, cluster):
    """The training names it and refuses it; without it, it is made again."""
    c = campaign(max="damaged shard, deleted by hand")
    shard = c.results / "graphs/vacancy/2x2/000.h5"
    times = shard.stat()
    with shard.open("r+b") as file:
        file.truncate(times.st_size // 2)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert c.run("--retries", "0") != 0
    assert "000.h5" in c.training_log("max") and "Traceback" not in c.training_log("max")
    shard.unlink()
    assert c.run() == 0, c.log()


def test_a_gpu_that_cannot_be_used(campaign, cluster):
    """With `cuda` the job fails before any work and is sent elsewhere; `auto` trains on the CPU."""
    c = campaign({"gpu_partition": "gpu"}, max="GPU that cannot be used")
    c.configure(device="cuda")
    assert c.run("--retries", "1") != 0
    first, second = c.jobs()
    assert first["NodeList"] != second["NodeList"]
    assert f"--exclude={first['NodeList']}" in second["SubmitLine"]
    assert "no usable GPU" in c.training_log("max")
    c.configure(device="auto")
    assert c.run() == 0, c.log()
