"""The package as others use it: its public names, its version, its dependencies and its wheel."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from ase.build import mx2
from packaging.requirements import Requirement
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

import defectpool
from defectpool.errors import DefectpoolError

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PACKAGE = ROOT / "scripts" / "defectpool"
EXTRAS = PROJECT["optional-dependencies"]
# Distributions whose modules have another name.
MODULES = {
    "pyyaml": "yaml",
    "ruamel-yaml": "ruamel",
    "scikit-learn": "sklearn",
    "torch-geometric": "torch_geometric",
}
# Imported where the caller has it, never required: archives with the extension zst.
OPTIONAL = {"zstandard", "compression"}


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""},
    )


def test_import_is_light():
    done = python(
        "import sys, time; start = time.process_time(); import defectpool; "
        "print(time.process_time() - start, *{'numpy', 'torch', 'pymatgen'} & set(sys.modules))"
    )
    seconds, *heavy = done.stdout.split()
    assert not heavy
    assert float(seconds) < 0.1, done.stderr


def test_every_public_name_is_there():
    assert len(defectpool.__all__) >= 5
    for name in defectpool.__all__:
        assert getattr(defectpool, name).__doc__, name
    assert set(defectpool.__all__) <= set(dir(defectpool))
    with pytest.raises(AttributeError, match="no attribute 'graphs_of'"):
        _ = defectpool.graphs_of


def test_type_checkers_see_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {**defectpool._MODULES, "scan": "defectpool"}  # a module that can be called
    assert sorted(seen) == sorted(defectpool.__all__)
    assert (PACKAGE / "py.typed").is_file()


def test_one_version_everywhere():
    assert "version" not in PROJECT
    assert "version" in PROJECT["dynamic"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {defectpool.__version__}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changelog, flags=re.M)[0] == defectpool.__version__


@pytest.mark.parametrize("shells", ["truncated", "complete"])
@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_graph_of_a_structure_and_of_its_cif_are_equal(tmp_path, shells, pbc):
    atoms = mx2("MoS2", a=3.18, thickness=3.13, vacuum=8).repeat((2, 2, 1))
    del atoms[0]
    path = tmp_path / "a.cif"
    AseAtomsAdaptor.get_structure(atoms).to(filename=str(path))
    structure = Structure.from_file(path)
    atoms = AseAtomsAdaptor.get_atoms(structure)
    # The vacuum is wider than the radius: the third cell vector changes no edge.
    atoms.pbc = structure.lattice.pbc = pbc
    expected = defectpool.cif_to_graph(path, radius=6.0, shells=shells)
    for one in (atoms, structure):
        data = defectpool.graph(one, radius=6.0, shells=shells)
        assert data.x.equal(expected.x)
        assert data.edge_index.equal(expected.edge_index)
        assert data.edge_attr.allclose(expected.edge_attr, atol=1e-5)
        assert data.pos.allclose(expected.pos, atol=1e-5)


def test_graph_repeats_only_as_the_structure_says():
    atoms = mx2("MoS2", a=3.18, thickness=3.13, vacuum=1)
    apart = defectpool.graph(atoms, radius=4.0, max_neighbors=100)
    atoms.pbc = True
    assert defectpool.graph(atoms, radius=4.0, max_neighbors=100).num_edges > apart.num_edges


def test_graph_of_what_has_no_features_is_refused():
    atoms = mx2("MoS2", a=3.18, thickness=3.13, vacuum=8)
    atoms.numbers[0] = 110
    with pytest.raises(DefectpoolError, match=r"the structure: no features .*\[110\]"):
        defectpool.graph(atoms)


def imports(path):
    """Return the top-level names that a module imports, wherever it does so."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"defectpool"}


def modules_of(requirements):
    names = {re.sub(r"[-_.]+", "-", Requirement(line).name).lower() for line in requirements}
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def test_every_import_is_a_declared_dependency():
    declared = modules_of(PROJECT["dependencies"])
    declared |= set().union(*(modules_of(extra) for extra in EXTRAS.values()))
    declared |= {"requests"}  # optimade's own client
    for path in PACKAGE.rglob("*.py"):
        assert imports(path) <= declared | OPTIONAL, path


def test_scan_needs_no_extra():
    base = modules_of(PROJECT["dependencies"])
    for room in ("scan", "lattice", "runtime"):
        for path in (PACKAGE / room).rglob("*.py"):
            assert imports(path) <= base | OPTIONAL, path


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(tmp_path):
    pytest.importorskip("hatchling")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name == f"defectpool-{defectpool.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= names
    assert {"defectpool/py.typed", "defectpool/materials/embedded.csv"} <= names
    assert {name.split("/")[0] for name in names} == {
        "defectpool",
        f"defectpool-{defectpool.__version__}.dist-info",
    }
