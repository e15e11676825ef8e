"""What goes wrong on the way: wrong values, kills, locks, full disks, lost outputs."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from .conftest import Clone

# The smallest campaign: two trainings of seconds.
SMALL = {
    "materials": {"limit": 8},
    "defects": ["vacancy"],
    "supercells": ["2x2"],
    "training": {"epochs": 2, "folds": 2},
}
COMMAND = ["snakemake", "--cores", "1", "--configfile", "my.yaml"]


POWER_MEAN = """
from torch.nn.functional import softplus

power = 3


def power_mean(sites):
    number = sites.crystals.sum(sites.multiplicity)
    total = sites.crystals.sum(softplus(sites.features) ** power * sites.multiplicity)
    return (total / number) ** (1 / power)
"""


DAMPED = """
from defectpool.network.convolutions import Summed


class Damped(Summed):
    def forward(self, rows, distances, layer):
        return 0.5 * super().forward(rows, distances, layer)
"""


def text(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def checksums(results: Path, *, timed: bool = True) -> dict[str, str]:
    """Return the checksums of finished results; `timed`: with those that hold times."""
    left_out = {"logs", "benchmarks", "state", "previous"}
    times = {"audit.json", "history.csv", "table.csv", "statistics.csv", "source.json"}
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and path.relative_to(results).parts[0] not in left_out
        and (timed or path.name not in times)
    }


def assert_nothing_lost(before: dict[str, str], results: Path) -> None:
    """Every finished result is in its place or in results/previous, with its content."""
    kept = [checksums(folder / "results") for folder in (results / "previous").glob("*")]
    now = checksums(results)
    for name, content in before.items():
        assert content in [now.get(name), *(one.get(name) for one in kept)], name


@pytest.fixture(scope="module")
def small(new_clone) -> Clone:
    """Return a clone in which the smallest campaign is finished; not to be changed."""
    clone = new_clone()
    clone.configure(**SMALL)
    done = clone.run(*COMMAND[1:])
    assert done.returncode == 0, text(done)
    return clone


@pytest.fixture
def copy(small, tmp_path) -> Clone:
    """Return a copy of it."""
    clone = Clone(tmp_path / "copy")
    for part in ("results", ".snakemake", "my.yaml"):
        subprocess.run(["cp", "-a", small.folder / part, clone.folder], check=True)
    return clone


def start(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Start Snakemake in a process group of its own."""
    log = (folder / "screen.txt").open("a")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, f"{path} did not come"
        time.sleep(0.05)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill Snakemake and its jobs, as a machine that is switched off does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": SMALL["training"] | {"folds": 100}}, "training.folds: 100 folds need"),
        (
            {"training": {"folds": 99, "split": "element"}},
            "training.folds: 99 folds need hosts of at least 99 different elements",
        ),
        (
            {"training": {"learning_rate": 1e30}},
            "/my.yaml:4: training.learning_rate: must be at most 1",
        ),
        ({"poolings": ["nothing.py:f"]}, "poolings.0: there is no file nothing.py"),
    ],
)
def test_what_is_known_before_a_job_starts_touches_nothing(copy, changes, said):
    before = checksums(copy.folder / "results")
    (copy.folder / "mine.py").write_text("def f(x):\n    return x\n")
    copy.configure(**SMALL | changes)
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 1
    assert text(done).count(said) == 1 and "Traceback" not in text(done)
    assert checksums(copy.folder / "results") == before
    assert not (copy.folder / "results/previous").exists()


def test_a_rerun_that_fails_loses_nothing_and_the_right_value_gives_the_same_bytes(copy):
    results = copy.folder / "results"
    before = checksums(results)
    copy.configure(**SMALL | {"structures": {"count": 1000}})
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 1 and "Traceback" not in text(done)
    # once when it happens for each of two jobs, and once at the end for both
    assert text(done).count("error: there are 0 graphs to train on") == 3
    assert "model.pt and 1 more" in text(done) and "2 jobs failed." in text(done)
    assert "Error in rule" not in text(done) and "CalledProcessError" not in text(done)
    kept = re.search(r"are kept in (results/previous/\S+)/\.", text(done))[1]
    assert checksums(copy.folder / kept / "results").keys() >= {
        "training/vacancy/2x2/max/gated/model.pt", "graphs/vacancy/2x2/000.h5"
    }  # fmt: skip
    assert_nothing_lost(before, results)
    shutil.rmtree(results / "state")
    copy.configure(**SMALL)
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 0, text(done)
    same = {name for name in checksums(results, timed=False) if "selections" not in name}
    now = checksums(results)
    assert {name: now[name] for name in same if not name.startswith("plots/learning")} == {
        name: before[name] for name in same if not name.startswith("plots/learning")
    }
    assert not (results / "previous").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"materials:\n  path: \xe9\n", "error: my.yaml:2: byte 19 is not UTF-8"),
        (b"training:\n\tepochs: 3\n", "error: my.yaml:2: found character '\\t'"),
        (b"", "error: my.yaml: must be sections of keys, such as training, but is empty"),
        (b"training:\n  epochs: 3\n  epochs: 2\n", "error: my.yaml:3: training.epochs is given"),
        (None, "error: my.yaml: no such file or directory"),
    ],
)
def test_a_file_that_snakemake_reads_before_the_workflow(copy, content, said):
    path = copy.folder / "my.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = copy.run("-n", "--configfile", "my.yaml")
    assert done.returncode == 1 and "Traceback" not in text(done)
    assert [line for line in text(done).splitlines() if "error" in line] == [
        line for line in text(done).splitlines() if line.startswith(said)
    ]
    assert text(done).count(said) == 1


def test_two_campaigns_from_one_clone_killed_and_typed_again(small, new_clone):
    """Both end with the bytes of undisturbed runs, though the machine went off in between."""
    clone = new_clone()
    shutil.rmtree(clone.folder / "config")  # the defaults need no file
    other = SMALL | {"training": SMALL["training"] | {"seed": 1}}
    campaigns = {"a": SMALL, "b": other}
    commands = {}
    for name, config in campaigns.items():
        with (clone.folder / f"{name}.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(config, file)
        commands[name] = [
            "snakemake", "--cores", "1", "--directory", f"runs/{name}", "--configfile",
            f"{name}.yaml",
        ]  # fmt: skip
    running = [start(clone.folder, *command) for command in commands.values()]
    state = "results/state/vacancy/2x2/mean/gated/lease/0001.json"
    for name, process in zip(campaigns, running, strict=True):
        wait_for(clone.folder / "runs" / name / state, process)
    for process in running:
        kill(process)
    for name in campaigns:
        assert list((clone.folder / "runs" / name / ".snakemake/locks").iterdir())
        done = clone.run(*commands[name][1:])
        assert done.returncode == 0, text(done)
        assert text(done).count("The lock of a Snakemake that was killed (process ") == 1
    found = [checksums(clone.folder / "runs" / n / "results", timed=False) for n in campaigns]
    assert found[0].keys() == found[1].keys() and found[0] != found[1]
    undisturbed = checksums(small.folder / "results", timed=False)
    learning = {"plots/learning_curves.svg", "plots/learning_curves.png"}  # show seconds
    assert found[0].keys() == undisturbed.keys()
    assert {name for name in found[0] if found[0][name] != undisturbed[name]} <= learning
    trained = [name for name in found[1] if name.endswith(("model.pt", "predictions.csv"))]
    again = clone.run(
        "--cores", "2", "--directory", "runs/still", *(f"results/{name}" for name in trained),
        "--configfile", "b.yaml",
    )  # fmt: skip
    assert again.returncode == 0, text(again)
    undisturbed = checksums(clone.folder / "runs/still/results", timed=False)
    assert len(trained) == 4 and set(trained) <= undisturbed.keys()
    assert all(found[1][name] == content for name, content in undisturbed.items())
    assert not (clone.folder / "results").exists()


def test_a_lock_whose_owner_lives_or_is_elsewhere_is_respected(copy):
    copy.configure(**SMALL | {"training": SMALL["training"] | {"epochs": 3}})
    process = start(copy.folder, *COMMAND)
    try:
        owners = copy.folder / ".snakemake/defectpool_owners"
        wait_for(owners / f"{process.pid}.json", process)
        locks = copy.folder / ".snakemake/locks"
        end = time.monotonic() + 60
        while not (locks.is_dir() and list(locks.iterdir())):
            assert time.monotonic() < end
            time.sleep(0.05)
        done = copy.run(*COMMAND[1:])
        assert done.returncode == 1 and "cannot be locked" in text(done)
        assert "was killed" not in text(done) and list(locks.iterdir())
    finally:
        kill(process)
    path = owners / f"{process.pid}.json"
    assert [path] == list(owners.iterdir())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "another"}))
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 1 and "removed with the --unlock argument" in text(done)
    assert list(locks.iterdir())
    assert copy.run("--unlock").returncode == 0
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 0, text(done)
    assert "was killed" not in text(done)


def test_jobs_that_lose_their_outputs_or_are_killed_have_a_reason(copy):
    before = checksums(copy.folder / "results")
    scripts = copy.folder / "scripts"
    copy.configure(**SMALL | {"supercells": ["2x2", "3x3"]})
    (scripts / "build_structures.py").write_text("open(snakemake.output[0], 'w').close()\n")
    done = copy.run(*COMMAND[1:], "--latency-wait", "1", "--until", "build_structures")
    assert done.returncode == 1
    said = text(done)
    assert "build_structures failed (once): results/structures/vacancy/" in said
    assert "ended without an error, but did not write results/structures/vacancy/" in said
    assert "0 jobs failed" not in said
    (scripts / "build_structures.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    said = text(copy.run(*COMMAND[1:], "--until", "build_structures"))
    assert "killed by SIGKILL: out of memory, or by hand" in said and "Traceback" not in said
    assert_nothing_lost(before, copy.folder / "results")


def test_a_full_disk_is_one_line(copy):
    """The results of the campaign do not fit."""
    results = copy.folder / "results"
    subprocess.run(["mv", results, copy.folder / "before"], check=True)
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(results)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        done = copy.run(*COMMAND[1:])
        said = text(done)
        assert done.returncode == 1 and "Traceback" not in said
        full = r"error: (\S*results/\S+): the disk or quota is full \(\d\.\d MB free"
        assert re.search(full, said), said
    finally:
        subprocess.run(["umount", str(results)], check=True)


def test_a_pooling_and_a_convolution_of_ones_own_and_what_a_changed_line_retrains(copy):
    pooling, convolution = copy.folder / "mine.py", copy.folder / "layers.py"
    pooling.write_text(POWER_MEAN)
    convolution.write_text(DAMPED)
    poolings = SMALL | {"poolings": ["mean", "max", "mine.py:power_mean"]}
    copy.configure(**poolings)
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 0, text(done)
    assert "power_mean" in (copy.folder / "results/table.csv").read_text()
    assert re.search(r"^\[1/4 .*train vacancy 2x2 power_mean gated", text(done), flags=re.M)
    assert "train vacancy 2x2 mean" not in text(done), text(done)
    both = SMALL | {"poolings": ["mean"], "convolutions": ["gated", "layers.py:Damped"]}
    copy.configure(**both)
    done = copy.run(*COMMAND[1:])
    assert done.returncode == 0, text(done)
    assert "Damped" in (copy.folder / "results/table.csv").read_text()
    assert "train vacancy 2x2 mean Damped" in text(done), text(done)
    assert "train vacancy 2x2 mean gated" not in text(done), text(done)
    convolution.write_text(DAMPED.replace("0.5", "0.6"))
    planned = text(copy.run("-n", "--configfile", "my.yaml"))
    assert re.search(r"^train +1$", planned, flags=re.M) and "convolution=Damped" in planned
    copy.configure(**poolings)
    pooling.write_text(POWER_MEAN.replace("power = 3", "power = 4"))
    planned = text(copy.run("-n", "--configfile", "my.yaml"))
    assert re.search(r"^train +1$", planned, flags=re.M) and "pooling=power_mean" in planned
