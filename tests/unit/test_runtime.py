"""Identities, whole files, logs, and the digest of the science."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from defectpool.errors import DefectpoolError
from defectpool.runtime import code_digest, registry, run_record
from defectpool.runtime.atomic_write import replacing
from defectpool.runtime.clock import clock
from defectpool.runtime.hashing import content_id, seed, shard_labels, shard_of
from defectpool.runtime.job_log import logging_to

ROOT = Path(__file__).resolve().parents[2]


def test_identities_do_not_depend_on_the_process():
    code = (
        "from defectpool.runtime.hashing import *; print(seed(0, 'a'), shard_of('1MoS2-1', 7), "
        "content_id('a', 'bc'))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=ROOT / "scripts",
            env={"PYTHONHASHSEED": hash_seed},
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "2")
    }
    assert len(seen) == 1
    assert seen == {f"{seed(0, 'a')} {shard_of('1MoS2-1', 7)} {content_id('a', 'bc')}\n"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_threads_of_openmp_rest_unless_the_user_says_otherwise(given, expected):
    code = "import defectpool, os; print({k: v for k, v in os.environ.items() if 'OMP_' in k})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT / "scripts",
        env=given,
        check=True,
    )
    assert done.stdout == f"{expected}\n"


def test_parts_are_kept_apart():
    assert content_id("a", "bc") != content_id("ab", "c")
    assert 0 <= seed("x") < 2**63


def test_shards_are_even_and_independent_of_other_hosts():
    counts = [0] * 8
    for i in range(8000):
        counts[shard_of(f"host-{i}", 8)] += 1
    assert min(counts) > 850
    assert shard_labels(3) == ["000", "001", "002"]
    assert len(set(shard_labels(4096))) == 4096


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "folder" / "a.csv"
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_errors_for_the_user_have_no_traceback(tmp_path, capsys):
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit) as caught, logging_to(log):
        print("begun")
        raise DefectpoolError("materials.path: no such file")
    assert caught.value.code == 1
    assert log.read_text() == "begun\nerror: materials.path: no such file\n"
    assert "no such file" in capsys.readouterr().err


def test_bugs_keep_their_traceback(tmp_path):
    log = tmp_path / "job.log"
    with pytest.raises(ZeroDivisionError), logging_to(log):
        print(1 / 0)
    assert "Traceback" in log.read_text()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a small package, in the place of this one, and a script that uses half of it."""
    folder = tmp_path / "defectpool"
    (folder / "graphs").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "config.py").write_text("A = 1\n")
    (folder / "graphs" / "__init__.py").write_text("")
    (folder / "graphs" / "shards.py").write_text(
        '"""Shards."""\nfrom defectpool.graphs.table import f\nX = "facts.csv"\n'
    )
    (folder / "graphs" / "table.py").write_text("def f():\n    return 1  # one\n")
    (folder / "graphs" / "facts.csv").write_text("1\n")
    (folder / "other.py").write_text("Y = 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from defectpool.config import A\ndef f():\n    from defectpool.graphs import shards\n"
    )
    monkeypatch.setattr(code_digest, "PACKAGE", folder)

    def digest():
        code_digest._content.cache_clear()
        code_digest._files.cache_clear()
        return code_digest.digest(script)

    return folder, digest


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("other.py", "Y = 2\n"),
        ("config.py", "A = 2\n"),
        ("graphs/table.py", 'def f():\n    """Say one."""\n    return 1\n'),
    ],
)
def test_what_does_not_matter_leaves_the_digest(package, file, text):
    folder, digest = package
    before = digest()
    (folder / file).write_text(text)
    assert digest() == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("graphs/table.py", "def f():\n    return 2\n"),
        ("graphs/facts.csv", "2\n"),
        ("graphs/__init__.py", "import math\n"),
    ],
)
def test_what_matters_changes_the_digest(package, file, text):
    folder, digest = package
    before = digest()
    (folder / file).write_text(text)
    assert digest() != before


def test_digest_follows_real_scripts():
    seen = {code_digest.digest(path) for path in (ROOT / "scripts").glob("*.py")}
    assert len(seen) == len(list((ROOT / "scripts").glob("*.py")))


def test_a_line_that_one_pooling_reads_changes_its_digest_alone(tmp_path, monkeypatch):
    copy = tmp_path / "scripts"
    shutil.copytree(ROOT / "scripts", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_digest, "PACKAGE", copy / "defectpool")
    poolings = ("max", "softmax", "contrast", "outlier")
    mine = tmp_path / "mine.py"
    mine.write_text("def power_mean(sites):\n    return sites.features ** 3\n")
    other = tmp_path / "other.py"
    other.write_text(
        "from defectpool.network.pooling import z_scores\n\n\n"
        "def steep(sites):\n    return sites.crystals.sum(z_scores(sites))\n"
    )

    def digests():
        code_digest._content.cache_clear()
        code_digest._files.cache_clear()
        return {
            name: code_digest.digest(copy / "train.py", pooling=name, convolution="gated")
            for name in (*poolings, f"{mine}:power_mean", f"{other}:steep")
        }

    file = copy / "defectpool/network/pooling.py"
    before = digests()
    assert len(set(before.values())) == 6

    def changed(path, old, new):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        after = digests()
        path.write_text(text)
        return {registry.label(name) for name in before if before[name] != after[name]}

    assert changed(file, "deviation(sites).abs()", "deviation(sites).square()") == {"contrast"}
    assert changed(file, "ALIKE = 0.01", "ALIKE = 0.02") == {"outlier", "steep"}
    assert changed(file, "torch.stack(weights)", "2 * torch.stack(weights)") == {"softmax"}
    assert changed(file, '"""Register a pooling', '"""Reworded') == set()
    assert changed(mine, "** 3", "** 4") == {"power_mean"}
    assert changed(copy / "defectpool/training/loop.py", "\nfrom ", "\nimport math\nfrom ") == {
        *poolings, "power_mean", "steep"
    }  # fmt: skip


def test_a_digest_is_the_same_with_what_was_parsed_before(tmp_path):
    script, store = ROOT / "scripts/train.py", tmp_path / "digests.json"
    plain = code_digest.digest(script)
    for _ in range(2):  # parsed, then read
        code_digest._known.cache_clear()
        assert code_digest.digest(script, store) == plain
    store.write_text("damaged")
    code_digest._known.cache_clear()
    assert code_digest.digest(script, store) == plain


def test_audit_record(tmp_path):
    found = run_record.record(started=0.0, device="cpu")
    assert found["device"] == "cpu" and found["peak_memory_mib"] > 1
    assert found["versions"]["numpy"][0].isdigit()
    run_record.write(tmp_path / "audit.json", found)
    assert (tmp_path / "audit.json").read_text().endswith("}\n")


def test_time_left_may_be_longer_than_a_day():
    assert clock(3725) == "1:02:05" and clock(100_000) == "27:46:40"
