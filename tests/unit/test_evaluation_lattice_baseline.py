"""The lattice as a baseline, on structures whose defects are known."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest

from defectpool.config import StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import lattice_baseline
from defectpool.materials import embedded
from defectpool.structures.build import build_structures


def built(defect, supercell="4x4", hosts=4, **settings):
    structures, _ = build_structures(
        list(islice(embedded.hosts(), hosts)), defect, supercell, StructuresSettings(**settings)
    )
    return structures


def predictions_of(structures):
    """Return predictions of two repeats, as far as the lattice reads them."""
    names = ("structure", "host", "formula", "name", "label")
    rows = [{name: getattr(one, name) for name in names} for one in structures]
    return pd.concat([pd.DataFrame(rows).assign(repeat=repeat) for repeat in (0, 1)])


def answers_for(structures):
    return lattice_baseline.judged(lattice_baseline.find(structures), predictions_of(structures))


@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution", "interstitial"])
def test_every_single_defect_is_found_on_its_site(defect):
    answers = answers_for(built(defect))
    row = lattice_baseline.row(answers, defect, "4x4", 200)
    assert row["n_test"] == len(answers) == 2 * row["n_hosts"]
    for measure in ("accuracy", "site_accuracy", "type_accuracy"):
        assert row[measure] == row[f"{measure}_high"] == 1 > row[f"{measure}_low"]
    assert row["n_undecided"] == 0
    assert lattice_baseline.wrong(answers).empty


def test_all_of_several_defects_have_to_be_found():
    structures = built("vacancy", "5x5", count=2, min_image_distance=4.0)
    assert lattice_baseline.wrong(answers_for(structures)).empty
    one_more = [replace(one, count=one.count + 1) for one in structures if one.label]
    assert len(lattice_baseline.wrong(answers_for(one_more))) == len(one_more)


def test_each_defect_of_several_has_to_be_right():
    (one,) = (s for s in built("dense", "6x6", hosts=1, concentration=0.03) if s.label)
    found = lattice_baseline.find([one])
    assert len(one.defects) > 1 and found[["site_correct", "type_correct"]].all(axis=None)
    first, *others = one.defects
    same = [replace(label, kind=first.kind, name=first.name) for label in others]
    away = [replace(label, position=first.position) for label in others]
    wrong = [replace(one, labels=(first, *labels)) for labels in (same, others[:-1] + same[-1:])]
    found = lattice_baseline.find([*wrong, replace(one, labels=(first, *away))])
    assert found["type_correct"].tolist() == [False, False, True]
    assert found["site_correct"].tolist() == [True, True, True]


def test_undecided_structures_are_errors_whatever_their_label():
    answers = answers_for(built("substitution", "1x1"))
    row = lattice_baseline.row(answers, "substitution", "1x1", 200)
    assert set(answers["verdict"]) == {"undecided"}
    assert row["accuracy"] == 0 and row["n_undecided"] == len(answers)
    assert np.isnan(row["site_accuracy"])
    assert lattice_baseline.wrong(answers)["reason"].str.contains("nothing repeats").all()


def test_other_sites_and_types_are_wrong():
    (structure,) = (one for one in built("substitution", hosts=1) if one.label)
    moved = replace(structure, position=structure.position + np.array([0, 1.1, 0]))
    renamed = replace(structure, name="v_Mo", defect="vacancy")
    image = replace(structure, position=structure.position + structure.atoms.cell[0])
    found = lattice_baseline.find([structure, moved, renamed, image])
    assert found["site_correct"].tolist() == [True, False, True, True]
    assert found["type_correct"].tolist() == [True, True, False, True]


def test_a_failure_of_the_analysis_is_an_undecided_structure(monkeypatch):
    def fails(atoms):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(lattice_baseline, "analyze", fails)
    found = lattice_baseline.find(built("vacancy", hosts=1))
    assert set(found["verdict"]) == {"undecided"}
    assert found["reason"].str.contains("the analysis failed").all()


def test_other_structures_are_refused():
    structures = built("vacancy", hosts=2)
    with pytest.raises(DefectpoolError, match="other structures"):
        lattice_baseline.judged(lattice_baseline.find(structures[:2]), predictions_of(structures))
