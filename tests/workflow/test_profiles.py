"""What the profiles make of a site, without a cluster."""

import os
import re

import pytest
from ruamel.yaml import YAML

from .conftest import TINY


def dry_run(clone, *arguments, site=None, **environment):
    """Return what a dry run of the tiny campaign on SLURM says."""
    clone.configure(**TINY)
    if site is not None:
        with (clone.folder / "profiles/slurm/site.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(site, file)
    done = clone.run(
        "-n", *arguments, "--profile", "profiles/slurm", "--configfile", "my.yaml", **environment
    )
    return done.returncode, done.stdout + done.stderr


def resources(text, rule):
    """Return the resources of the first job of a rule."""
    line = re.search(rf"^rule {rule}:\n(?:    .*\n)*?    resources: (.*)$", text, flags=re.M)[1]
    return dict(part.split("=", 1) for part in line.split(", "))


@pytest.mark.parametrize(
    ("site", "train", "graphs"),
    [
        (None, {"gpu": "1"}, {}),
        ({"gpus": 0}, {"gpu": "0"}, {}),
        (
            {"gres": "gpu:a100:1", "partition": "cpu", "gpu_partition": "a100"},
            {"gres": "gpu:a100:1", "slurm_partition": "a100"},
            {"slurm_partition": "cpu"},
        ),
        (
            {"account": "physics", "qos": "long", "constraint": "new", "extra": "--nice=5"},
            {"slurm_account": "physics", "qos": "long", "gpu": "1"},
            {"slurm_account": "physics", "constraint": "new", "slurm_extra": "--nice=5"},
        ),
    ],
)
def test_a_site_in_one_file(clone, site, train, graphs):
    code, text = dry_run(clone, site=site)
    assert code == 0, text
    for rule, expected in (("train", train), ("build_graphs", graphs)):
        found = resources(text, rule)
        assert {key: found.get(key) for key in expected} == expected
    assert ("gpu" in resources(text, "train")) is ("gpu" in train)
    assert "gpu" not in resources(text, "build_graphs")
    assert "relax_structures" not in text
    if site and "partition" not in site:
        assert "slurm_partition" not in resources(text, "build_graphs")


@pytest.mark.parametrize(
    ("site", "expected"),
    [(None, {"gpu": "1"}), ({"gres": "gpu:a100:1", "gpu_partition": "a100"},
      {"gres": "gpu:a100:1", "slurm_partition": "a100"})],
)  # fmt: skip
def test_every_rule_that_trains_gets_the_gpu(clone, site, expected):
    axes = {"train_hosts": [5], "relaxation": ["chgnet"]}
    code, text = dry_run(clone, "beyond", "map", "--config", f"map={axes}", site=site)
    assert code == 0, text
    trains = ("train", "train_split", "train_defect_types", "train_for_map")
    for rule in (*trains, "relax_map_cells"):
        found = resources(text, rule)
        assert {key: found.get(key) for key in expected} == expected
    for rule in ("build_graphs", "generalize"):
        assert not {"gpu", "gres"} & resources(text, rule).keys()


def test_entries_that_share_graphs_share_a_job_and_its_gpu(clone):
    together = TINY["training"] | {"entries_per_job": "all"}
    poolings = ["mean", "max", "sites"]
    clone.configure(**TINY | {"training": together, "poolings": poolings})
    done = clone.run("-n", "beyond", "--profile", "profiles/slurm", "--configfile", "my.yaml")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    jobs = {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", text, flags=re.M)}
    # one for each defect, and for all defects at once; three more splits
    assert (jobs["train"], jobs["train_split"], jobs["train_defect_types"]) == (3, 6, 1)
    for rule in ("train", "train_split", "train_defect_types"):
        assert resources(text, rule)["gpu"] == "1"


def test_a_relaxation_gets_the_gpu(clone):
    clone.configure(**TINY | {"structures": {"displacements": ["none", "relaxed"]}})
    done = clone.run("-n", "--profile", "profiles/slurm", "--configfile", "my.yaml")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert resources(text, "relax_structures")["gpu"] == "1"


def test_the_example_is_a_site(clone):
    example = clone.folder / "profiles/slurm/site.example.yaml"
    (clone.folder / "profiles/slurm/site.yaml").write_text(example.read_text())
    code, text = dry_run(clone)
    assert code == 0, text
    assert resources(text, "train")["slurm_partition"] == "gpu"


def test_a_key_that_no_site_has(clone):
    code, text = dry_run(clone, site={"partitoin": "cpu"})
    assert code != 0 and "unknown key partitoin" in text


def test_the_command_line_wins(clone):
    code, text = dry_run(clone, "--set-resources", "train:runtime=7", site={"gpus": 0})
    assert code == 0, text
    assert resources(text, "train")["runtime"] == "7"


def test_found_from_anywhere(clone):
    clone.configure(**TINY)
    profile = clone.folder / "profiles/slurm"
    (profile / "site.yaml").write_text("gpu_partition: a100\n")
    done = clone.run(
        "-n", f"--profile={os.path.relpath(profile, clone.folder)}",
        "--configfile", "my.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert resources(done.stdout + done.stderr, "train")["slurm_partition"] == "a100"


def test_the_plan_has_the_jobs_that_will_run(clone):
    clone.configure(**TINY | {"shards": 3, "supercells": ["2x2", "3x2"]})
    done = clone.run("plan", "--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    said = (clone.folder / "results/logs/plan.log").read_text()
    assert said in done.stdout
    planned = dict(re.findall(r"^(\w+) +(\d+) jobs", said, flags=re.M))
    assert planned.keys() >= {"select_materials", "build_structures", "build_graphs", "train"}
    done = clone.run("-n", "--configfile", "my.yaml")
    real = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M))
    planned.pop("total", None)  # without the rules that take no time
    for rule, number in planned.items():
        assert real[rule] == number
    assert "16 hosts (materials.limit)" in said
