"""The configuration: what is fixed, what is refused, what is generated."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from defectpool.config import Config, load
from defectpool.errors import DefectpoolError
from defectpool.supercell_labels import supercell_matrix

ROOT = Path(__file__).resolve().parents[2]


def defaults():
    return YAML(typ="safe", pure=True).load((ROOT / "config" / "config.yaml").read_text())


def test_generated_files_have_not_drifted():
    script = ROOT / "scripts" / "generate_config.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_default_file_says_what_the_types_say():
    assert load(defaults()) == Config()
    jsonschema.validate(
        defaults(), json.loads((ROOT / "config" / "config.schema.json").read_text())
    )


def test_defaults_are_the_published_protocol():
    config = Config()
    assert (config.graph.radius, config.graph.max_neighbors, config.graph.shells) == (
        8.0,
        12,
        "truncated",
    )
    network = config.network
    assert (network.gaussians, network.n_convolutions, network.width, network.hidden) == (
        41,
        3,
        64,
        128,
    )
    assert config.training.epochs == 30
    assert config.structures.substitution == ["H", "Li"]
    assert config.structures.interstitial == ["H", "Li", "Ag", "Br"]
    assert (config.supercells, config.poolings) == (["2x2", "6x6"], ["mean", "max"])
    assert config.convolutions == ["gated"]
    assert len(config.defects) == 4


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"suprcells": ["2x2"]}, "suprcells: unknown key"),
        (
            {"structures": {"displacements": ["thermal", {"model": "thermal"}]}},
            "lists thermal 300 twice",
        ),
        ({"graph": {"radus": 8}}, "graph.radus: unknown key"),
        ({"graph": {"radius": -1}}, "graph.radius"),
        ({"supercells": ["0x2"]}, "supercells.0"),
        ({"supercells": [[[1, 2], [2, 4]]]}, "no area"),
        ({"supercells": ["2x2", 2]}, "twice"),
        ({"defects": ["vacancie"]}, "defects.0"),
        ({"defects": []}, "defects"),
        ({"poolings": ["median"]}, "poolings.0"),
        ({"training": {"folds": 1}}, "training.folds"),
        ({"materials": {"source": "database"}}, "materials.path"),
        ({"graph": {"radius": float("nan")}}, "graph.radius"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(raw, named):
    with pytest.raises(DefectpoolError, match=named):
        load(raw)


def test_supercells_in_every_form():
    assert load({"supercells": [3, "3x2", [[2, 1], [-1, 1]]]}).supercells == [
        "3x3",
        "3x2",
        "2_1x-1_1",
    ]
    assert supercell_matrix("3x2") == ((3, 0), (0, 2))
    assert supercell_matrix("2_1x-1_1") == ((2, 1), (-1, 1))


def test_every_key_is_described():
    def check(model):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                assert inner.__doc__, name
                check(inner)
            else:
                assert field.description and field.description.endswith("."), name

    check(Config)


def test_config_imports_nothing_heavy():
    heavy = "{'numpy', 'torch', 'ase', 'pymatgen', 'pandas', 'h5py'}"
    modules = "defectpool.config, defectpool.runtime.code_digest"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts"
    )
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "pooling"),
    [("beyond", "outlier"), ("sites", "sites"), ("real", "max"), ("real_small", "outlier")],
)
def test_campaigns_that_come_with_the_workflow(name, pooling):
    text = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    settings = load(YAML(typ="safe", pure=True).load(text))
    assert pooling in settings.poolings
