"""The ranges of pyproject.toml, the lock for pip and the file for conda agree."""

import hashlib
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / "envs"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ENVS / "requirements.txt").read_text(encoding="utf-8")
CONDA_NAMES = {
    "pytorch": "torch",
    "pytorch_geometric": "torch_geometric",
    "matplotlib-base": "matplotlib",
}
# Extras whose packages the jobs of the workflow need; the rest of `workflow` is Snakemake itself.
JOBS = ("train", "report")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    """Return the version of each distribution that is pinned for this Python, PyTorch included."""
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", LOCK, flags=re.M)
    lines += (ENVS / "torch.txt").read_text(encoding="utf-8").split()
    pinned = [one for one in map(Requirement, lines) if not one.marker or one.marker.evaluate()]
    found = {normal(one.name): str(one.specifier).removeprefix("==") for one in pinned}
    assert len(found) == len(pinned)
    return found


def direct():
    """Return the requirements of the package, of its extras and of the development groups."""
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    # potentials are in no lock: the default campaign needs none
    groups = [lines for name, lines in extras.items() if name not in ("relax", "sevennet")]
    groups += PYPROJECT["dependency-groups"].values()
    lines = list(project["dependencies"])
    for group in groups:
        lines += [line for line in group if isinstance(line, str)]
    return [one for one in map(Requirement, lines) if one.name != "defectpool"]


def conda():
    found = {}
    for entry in YAML(typ="safe").load(ENVS / "environment.yaml")["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = re.sub(r"\s*=+", "=", line).partition("=")
            if name not in ("pip",) and not name.startswith("python "):
                found[normal(CONDA_NAMES.get(name, name))] = version
    return found


def test_the_lock_satisfies_every_range():
    versions = pins()
    requirements = direct()
    assert len(requirements) > 30
    for requirement in requirements:
        assert requirement.specifier.contains(versions[normal(requirement.name)]), requirement


def test_conda_and_pip_agree():
    versions = pins()
    assert len(conda()) > 15
    assert {name: versions.get(name) for name in conda()} == conda()


def test_conda_lists_what_the_jobs_need():
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], "optimade"]
    for extra in JOBS:
        lines += project["optional-dependencies"][extra]
    assert {normal(Requirement(line).name) for line in lines} == set(conda())


def test_every_line_of_the_lock_has_its_hashes():
    blocks = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", LOCK, flags=re.M).strip())
    assert len(blocks) > 150
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]


def test_lock_names_no_host():
    assert not re.search(r"://|@|--(?!hash)", LOCK)


def test_the_container_is_made_of_the_file_for_conda():
    digest = hashlib.sha256((ENVS / "environment.yaml").read_bytes()).hexdigest()
    assert digest in (ENVS / "Dockerfile").read_text(encoding="utf-8"), "run `make container`"
