"""A lease has one holder, whatever happens to the others."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from defectpool.runtime import lease as module
from defectpool.runtime.lease import lease

# Adds one to a counter under the lease, in steps that a second writer would spoil.
COUNT = """
import sys, time
from pathlib import Path
from defectpool.runtime.lease import lease
folder, counter, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
with lease(folder, beat=0.1, timeout=1.0, say=lambda text: print(text, flush=True)):
    value = int(counter.read_text())
    print("held", flush=True)
    time.sleep(pause)
    counter.write_text(str(value + 1))
"""


def counting(tmp_path: Path, pause: float = 0.02) -> subprocess.Popen:
    scripts = str(Path(module.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, tmp_path / "lease", tmp_path / "counter", str(pause)],
        env={**os.environ, "PYTHONPATH": scripts},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter"
    path.write_text("0")
    return path


def test_one_writer_at_a_time(tmp_path: Path, counter: Path) -> None:
    processes = [counting(tmp_path) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert counter.read_text() == "8"
    records = [json.loads(p.read_text()) for p in sorted((tmp_path / "lease").glob("*.json"))]
    assert len(records) == 8 and all(record["released"] for record in records)


def test_who_was_killed_is_not_waited_for(tmp_path: Path, counter: Path) -> None:
    first = counting(tmp_path, pause=60)
    assert first.stdout and first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    began = time.monotonic()
    second = counting(tmp_path)
    assert second.wait() == 0 and counter.read_text() == "1"
    assert time.monotonic() - began < 30


def test_a_living_holder_is_waited_for_beyond_timeout(tmp_path: Path, counter: Path) -> None:
    first = counting(tmp_path, pause=3)
    assert first.stdout and first.stdout.readline() == "held\n"
    second = counting(tmp_path)
    out, _ = second.communicate()
    assert "waiting for" in out and counter.read_text() == "2"
    assert first.wait() == 0


def test_a_holder_that_slept_too_long_writes_nothing(
    tmp_path: Path, counter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = counting(tmp_path, pause=5)
    assert first.stdout and first.stdout.readline() == "held\n"
    first.send_signal(signal.SIGSTOP)
    # as seen from another machine, where its process cannot be looked at
    monkeypatch.setattr(module, "_machine", lambda: "another machine")
    with lease(tmp_path / "lease", beat=0.1, timeout=0.5, say=lambda _: None):
        counter.write_text("100")
    first.send_signal(signal.SIGCONT)
    assert first.wait() == module.LOST
    assert "taken over" in first.communicate()[1]
    assert counter.read_text() == "100"


def test_many_who_find_a_dead_holder_agree_on_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lease"
    folder.mkdir()
    dead = {**module.owner(), "machine": "another machine"}
    (folder / "0001.json").write_text(json.dumps(dead))
    inside, most, lock = 0, 0, threading.Lock()

    def enter() -> None:
        nonlocal inside, most
        with lease(folder, beat=0.05, timeout=0.3, say=lambda _: None):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(enter) for _ in range(8)]:
            future.result()
    assert most == 1


def test_released_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="work"), lease(tmp_path):
        raise ValueError("work")
    with lease(tmp_path) as second:
        assert second.path.name == "0002.json"


def test_a_new_process_with_the_same_id_is_not_the_holder() -> None:
    holder = module.owner()
    assert not module.has_ended(holder)
    assert module.has_ended({**holder, "process_started": "1"})
    assert not module.has_ended({**holder, "process_started": "1", "machine": "another machine"})
