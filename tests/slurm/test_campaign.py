"""Both commands as typed: what each job gets, and the same table."""

import os
import re

import pytest

from .cluster import Cluster, until
from .conftest import TINY, Campaign, clone, retraining, write_yaml

pytestmark = pytest.mark.slurm

POOLINGS = ["mean", "max"]


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """Return a campaign of which every job that is not local ran on the cluster."""
    folder = tmp_path_factory.mktemp("whole") / "clone"
    clone(folder, TINY | {"poolings": POOLINGS}, {"gpu_partition": "gpu", "account": "physics"})
    campaign = Campaign(folder, cluster)
    assert campaign.run("--set-threads", "build_graphs=3") == 0, campaign.log()
    return campaign


def test_the_same_table_as_at_home(whole, undisturbed):
    def comparable(table):
        # the interval of a difference needs both poolings alone, so all columns are compared
        return [row for row in table if row["pooling"] in POOLINGS]

    assert comparable(whole.table()) == comparable(undisturbed.table())
    reference = undisturbed.predictions()
    for name, content in whole.predictions().items():
        assert content == reference[name]


def test_each_job_gets_what_its_rule_asks_for(whole):
    def allocation(rule):
        job = whole.jobs(f"rule_{rule}")[-1]
        trs = dict(part.split("=") for part in job["AllocTRES"].split(","))
        return job["Partition"], trs["cpu"], trs.get("gres/gpu"), trs["mem"], job["TimelimitRaw"]

    assert allocation("train") == ("gpu", "1", "1", "2001M", "240")
    # nothing in profiles/default clips it
    assert allocation("build_graphs")[:3] == ("cpu", "3", None)
    assert allocation("select_materials")[:3] == ("cpu", "1", None)
    assert len(whole.jobs()) == len(POOLINGS)
    assert not whole.jobs("rule_make_table")
    assert all("-A physics" in job["SubmitLine"] for job in whole.jobs())


def test_two_entries_in_one_job_ask_for_one_gpu(undisturbed, cluster, tmp_path):
    """Cancelled while it trains the second entry, it goes on there; the first is trained once."""
    campaign = retraining(undisturbed, cluster, tmp_path / "clone", POOLINGS)
    together = TINY["training"] | {"entries_per_job": "all"}
    write_yaml(campaign.folder / "my.yaml", TINY | {"poolings": POOLINGS, "training": together})
    write_yaml(campaign.folder / "profiles/slurm/site.yaml", {"gpu_partition": "gpu"})
    log = campaign.results / "logs/train/vacancy/2x2.log"
    campaign.start()
    until("the second entry", lambda: log.exists() and "max gated: repeat" in log.read_text(), 120)
    cluster.call("scancel", *cluster.running("rule_train"))
    assert campaign.finish() == 0, campaign.log()
    jobs = campaign.jobs("rule_train_wildcards_vacancy_2x2")
    assert [job["State"].split()[0] for job in jobs] == ["CANCELLED", "COMPLETED"]
    assert all("gres/gpu=1" in job["AllocTRES"] for job in jobs)
    assert jobs[0]["TimelimitRaw"] == "480"
    assert "mean gated: goes on after 2 of 2 folds" in log.read_text()
    assert campaign.predictions() == undisturbed.predictions()


def test_every_rule_that_trains_gets_the_gpu(undisturbed, cluster, tmp_path):
    campaign = retraining(undisturbed, cluster, tmp_path / "clone", ["max"])
    config = TINY | {
        "poolings": ["max"],
        "training": {"epochs": 1, "folds": 2},
        "generalization": {"splits": ["formula", "random"]},
    }
    write_yaml(campaign.folder / "my.yaml", config)
    write_yaml(campaign.folder / "profiles/slurm/site.yaml", {"gpu_partition": "gpu"})
    done = campaign.run(target="results/splits.csv results/defect_types.csv")
    assert done == 0, campaign.log()
    for rule in ("train", "train_split", "train_defect_types"):
        jobs = campaign.jobs(f"rule_{rule}_wildcards")
        allocations = [
            (job["Partition"], "gres/gpu=1" in job["AllocTRES"])
            for job in jobs
            if job["State"] == "COMPLETED"
        ]
        assert allocations
        assert set(allocations) == {("gpu", True)}


def test_home_takes_all_cores(undisturbed):
    cores = len(os.sched_getaffinity(0))
    assert re.search(rf"^Provided cores: {cores}$", undisturbed.log(), flags=re.M)


def test_a_gpu_that_is_none_does_not_stop_auto(whole):
    assert {row.name for row in (whole.results / "state/unusable_gpus").iterdir()} <= {"g1", "g2"}
    assert "cannot be used" in whole.training_log("max")


def test_what_is_said(whole):
    log = whole.log()
    assert "2 runs: vacancy; 2x2; mean, max; gated." in log
    table = {line.split()[0]: line.split() for line in log.splitlines() if " %" in line}
    assert table["train"][1:3] == ["2", "0"]
    assert table.keys() == {"select_materials", "build_structures", "build_graphs", "train"}


def test_how_failures_are_said(whole):
    """The last words of each job that failed, and the command to go on."""
    shard = whole.results / "graphs/vacancy/2x2/000.h5"
    content, times = shard.read_bytes(), shard.stat()
    (whole.results / "training/vacancy/2x2/max/gated/model.pt").unlink()
    shard.write_bytes(content[:1000])
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert whole.run("--retries=0", target="results/training/vacancy/2x2/max/gated/model.pt") != 0
    log = whole.log()
    assert re.search(
        r"^train failed \(once, SLURM job \d+\): results/training/.*model\.pt$", log, re.M
    )
    assert re.search(r"^    error: .*000\.h5", log, flags=re.M)
    assert re.search(r"^    snakemake --profile profiles/slurm .*model\.pt", log, flags=re.M)


def test_a_cluster_without_accounting(undisturbed, tmp_path_factory):
    """No slurmdbd was ever there: what became of a job is asked of slurmctld alone."""
    bare = Cluster(tmp_path_factory.mktemp("bare"), accounting=False)
    bare.start()
    try:
        assert not bare.works("sacct")
        c = retraining(undisturbed, bare, tmp_path_factory.mktemp("bare_clone") / "clone", ["max"])
        c.start()
        bare.call("scancel", c.wait_for_training("max")["max"])
        assert c.finish() == 0, c.log()
        assert c.log().count("submitted with SLURM jobid") == 2
        assert "goes on" in c.training_log("max")
        assert c.table() == undisturbed.table() and c.predictions() == undisturbed.predictions()
    finally:
        bare.stop()
