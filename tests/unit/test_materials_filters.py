"""The same fact under any of its names, and filters that say why."""

import pytest
from ase.build import mx2

from defectpool.config import MaterialsSettings, load
from defectpool.element_symbols import ELEMENTS, element
from defectpool.errors import DefectpoolError
from defectpool.materials import filters
from defectpool.materials.host import BadStructure


@pytest.mark.parametrize(
    ("facts", "stable"),
    [
        ({"dyn_stab": "Yes"}, "Yes"),
        ({"dyn_stab": "No"}, "No"),
        ({"dyn_stab": "Unknown"}, "Unknown"),
        ({"dyn_stab": True}, "Yes"),
        ({"dyn_stab": False}, "No"),
        ({"dynamic_stability_phonons": "high", "dynamic_stability_stiffness": "high"}, "Yes"),
        ({"dynamic_stability_phonons": "low", "dynamic_stability_stiffness": "high"}, "No"),
        ({"dynamic_stability_phonons": "high", "dynamic_stability_stiffness": "low"}, "No"),
        ({"dynamic_stability_phonons": "low"}, "No"),
        ({"dynamic_stability_phonons": "high"}, "Unknown"),
        ({"dynamic_stability_level": 3}, "Yes"),
        ({"dynamic_stability_level": "low"}, "No"),
        ({"ehull": 0.1}, None),
    ],
)
def test_dynamic_stability_means_the_same_in_every_release(facts, stable) -> None:
    assert filters.normalize(facts).get("dyn_stab") == stable


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ({"thermodynamic_stability_level": 3}, "high"),
        ({"thermodynamic_stability_level": 2.0}, "medium"),
        ({"thermodynamic_stability_level": "LOW"}, "low"),
        ({"ehull": 0.0, "hform": -0.9}, "high"),
        ({"ehull": 0.28, "hform": -0.6}, "medium"),
        ({"ehull": 0.5, "hform": 0.3}, "low"),
        ({"ehull": "0.1", "hform": "-1"}, "high"),
        ({"ehull": 0.1}, None),
        ({"ehull": "unknown", "hform": float("nan")}, None),
    ],
)
def test_thermodynamic_stability_by_level_or_by_energies(facts, level) -> None:
    assert filters.normalize(facts).get("thermodynamic_stability") == level


def test_names_that_a_file_cannot_hold_are_changed() -> None:
    known = filters.normalize({"gap [eV]": 1.5, "id": 3, "2d": True, "pbc": "x", "lgnum": "78"})
    assert known == {"gap__eV_": 1.5, "id_": 3, "_2d": True, "pbc_": "x", "lgnum": 78}


FACTS = {"ehull": 0.1, "hform": -0.5, "dyn_stab": "No", "lgnum": 78, "layergroup": "p-6m2"}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, None),
        ({"max_atoms": 3, "min_atoms": 3}, None),
        ({"max_atoms": 2}, "max_atoms"),
        ({"min_atoms": 4}, "min_atoms"),
        ({"max_species": 1}, "max_species"),
        ({"min_species": 3}, "min_species"),
        ({"only_elements": ["Mo", "S", "W"]}, None),
        ({"only_elements": ["Mo"]}, "only_elements"),
        ({"with_elements": ["S"]}, None),
        ({"with_elements": ["S", "W"]}, "with_elements"),
        ({"without_elements": ["W"]}, None),
        ({"without_elements": ["W", "S"]}, "without_elements"),
        ({"max_ehull": 0.1}, None),
        ({"max_ehull": 0.05}, "max_ehull"),
        ({"thermodynamic_stability": "high"}, None),
        ({"dynamic_stability": "stable"}, "dynamic_stability"),
        ({"dynamic_stability": "not_unstable"}, "dynamic_stability"),
        ({"layer_groups": [1, 78]}, None),
        ({"layer_groups": ["p-6m2"]}, None),
        ({"layer_groups": [72, "p-3m1"]}, "layer_groups"),
    ],
)
def test_each_filter(keys, reason) -> None:
    settings = MaterialsSettings(**keys)
    known = filters.normalize(FACTS)
    found = None
    try:
        filters.check(mx2("MoS2"), known, settings)
        filters.check_layer_group(known, settings)
    except BadStructure as error:
        found = error.reason
    assert found == reason


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"max_ehull": 0.1}, "no_ehull"),
        ({"thermodynamic_stability": "low"}, "no_thermodynamic_stability"),
        ({"dynamic_stability": "stable"}, "no_dyn_stab"),
    ],
)
def test_a_missing_property_is_said_to_be_missing(keys, reason) -> None:
    with pytest.raises(BadStructure, match="not known") as caught:
        filters.check(mx2("MoS2"), {}, MaterialsSettings(**keys))
    assert caught.value.reason == reason


def test_unknown_stability_is_not_unstable() -> None:
    for facts in ({}, {"dyn_stab": "Unknown"}):
        filters.check(mx2("MoS2"), facts, MaterialsSettings(dynamic_stability="not_unstable"))
    with pytest.raises(BadStructure, match="Unknown"):
        filters.check(
            mx2("MoS2"), {"dyn_stab": "Unknown"}, MaterialsSettings(dynamic_stability="stable")
        )


@pytest.mark.parametrize(
    "keys",
    [
        {"select": "natoms<3"},
        {"source": "files", "path": "x", "select": "natoms<3"},
        {"filter": "nelements=2"},
        {"layer_groups": [81]},
        {"sha256": "abc"},
        {"without_elements": ["molybdenum"]},
        {"max_ehull": float("nan")},
    ],
)
def test_keys_that_cannot_work_are_refused(keys) -> None:
    with pytest.raises(DefectpoolError, match="materials"):
        load({"materials": keys})


def test_species_are_elements_with_features() -> None:
    from ase.data import chemical_symbols

    assert tuple(chemical_symbols[1:101]) == ELEMENTS
    assert element("Mo") == "Mo"
    for wrong, message in (
        ("Xx", "is not the symbol of an element"),
        ("mo", "did you mean Mo"),
        ("Og", "from H to Fm"),
        ("", "is not the symbol"),
    ):
        with pytest.raises(ValueError, match=message):
            element(wrong)
