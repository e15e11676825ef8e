"""The lock for pip and the file for conda say the same."""

import re
from pathlib import Path

from ruamel.yaml import YAML

ENVS = Path(__file__).resolve().parents[2] / "envs"
CONDA_NAMES = {
    "pytorch": "torch",
    "pytorch_geometric": "torch_geometric",
    "matplotlib-base": "matplotlib",
}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def lock():
    lines = (ENVS / "requirements.txt").read_text().split()
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines)
    return {normal(name): version for name, version in pins.items()}


def conda():
    pins = {}
    for entry in YAML(typ="safe").load(ENVS / "environment.yaml")["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = re.sub(r"\s*=+", "=", line).partition("=")
            if name not in ("pip",) and not name.startswith("python "):
                pins[normal(CONDA_NAMES.get(name, name))] = version
    return pins


def test_conda_and_pip_agree():
    pins = lock()
    assert len(conda()) > 15
    assert {name: pins.get(name) for name in conda()} == conda()


def test_every_direct_dependency_of_the_campaign_is_in_both():
    text = (ENVS / "requirements.in").read_text()
    campaign = text.split("# --- the workflow")[0]
    names = [line.split("==")[0] for line in campaign.splitlines() if line and line[0] != "#"]
    assert {normal(name) for name in names} == set(conda())
    every = re.findall(r"^[\w.-]+", text, flags=re.M)
    assert {normal(name) for name in every} <= set(lock())


def test_lock_names_no_host():
    assert not re.search(r"://|@|--", (ENVS / "requirements.txt").read_text())
