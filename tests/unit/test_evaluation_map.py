"""Answers of each method on the map, and the statistics made of them."""

import importlib.util
import sys
from operator import attrgetter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from structure_examples import textbook

from defectpool.config import GraphSettings, MapSettings, NetworkSettings, StructuresSettings
from defectpool.errors import DefectpoolError
from defectpool.evaluation import map_answers, map_statistics
from defectpool.evaluation.map_answers import answers, lattice, spglib
from defectpool.evaluation.tables import write_csv
from defectpool.network.initial import initial_network
from defectpool.network.model_file import write_models
from defectpool.structures.map_cells import build_cells
from defectpool.structures.structure_files import write_structures

HOSTS = [host for host in textbook() if host.id in ("MoS2-2H", "PtSe2-1T")]
CHOSEN = MapSettings(hosts=2, supercell="4x4", displacement=[0.0, 0.05], supercells=["1x1"])
TYPES = ["vacancy", "substitution"]


@pytest.fixture(scope="module")
def cells():
    return build_cells(HOSTS, "displacement", TYPES, CHOSEN, StructuresSettings())[0]


def row(method, formula, label, score, value="0", **more):
    name = f"{formula}:{label}@{value}"
    base = {
        "axis": "strain", "value": value, "structure": name, "host": formula, "formula": formula,
        "defect": "vacancy", "label": label, "method": method, "score": score,
        "site_correct": np.nan, "type_correct": np.nan, "name_correct": np.nan, "seconds": 1e-3,
        "atoms": 10, "reason": "",
    }  # fmt: skip
    return base | more


def table_of(rows):
    return map_statistics.with_halves(pd.DataFrame(rows))


def test_the_lattice_finds_defects_and_their_sites(cells):
    table = answers(cells, "displacement", "lattice", lattice)
    assert (table["score"] == table["label"]).all()
    defective = table[table["label"] == 1]
    assert (defective[["site_correct", "type_correct", "name_correct"]] == 1).all(axis=None)
    assert table.loc[table["label"] == 0, "site_correct"].isna().all()
    assert (table["seconds"] > 0).all() and set(table["value"]) == {"0", "0.05"}


def test_spglib_finds_translations_in_pristine_cells_alone(cells):
    table = answers(cells, "displacement", "spglib", spglib)
    assert np.isinf(table.loc[table["label"] == 1, "score"]).all()
    pristine = table[table["label"] == 0]
    assert (pristine.loc[pristine["value"] == "0", "score"] == 0.01).all()
    assert (pristine.loc[pristine["value"] == "0.05", "score"] > 0.03).all()
    one = build_cells(HOSTS, "supercells", TYPES, CHOSEN, StructuresSettings())[0]
    assert answers(one, "supercells", "spglib", spglib)["score"].isna().all()


def test_a_failure_is_no_answer(cells):
    def fails(one):
        raise ZeroDivisionError("by zero")

    table = answers(cells[:2], "displacement", "mine", fails)
    assert table["score"].isna().all()
    assert table["reason"].str.contains("ZeroDivisionError: by zero").all()
    assert map_statistics.kind_of_reason(table["reason"][0]) == "the method failed"

    def starves(one):
        raise MemoryError

    with pytest.raises(MemoryError):
        answers(cells[:1], "displacement", "mine", starves)


def test_answers_are_read_as_they_were_written(cells, tmp_path):
    table = answers(cells[:4], "displacement", "spglib", spglib)
    write_csv(table, tmp_path / "a.csv")
    again = map_answers.read_answers(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(again, table, check_exact=False, rtol=1e-5, check_dtype=False)
    (tmp_path / "a.csv").write_text("axis\n")
    with pytest.raises(DefectpoolError, match=r"a\.csv: damaged"):
        map_answers.read_answers(tmp_path / "a.csv")


def model_of(folder, pooling):
    size = NetworkSettings(width=4, hidden=4)
    graph = GraphSettings(radius=4.0, max_neighbors=None)
    networks = [initial_network(pooling, "smooth", size, 4.0, seed) for seed in (0, 1)]
    write_models(folder / "model.pt", {
        "pooling": pooling, "convolution": "smooth", "network": size.model_dump(),
        "n_outputs": 5 if pooling == "sites" else 1, "graph": graph.model_dump(mode="json"),
        "models": [{"repeat": 0, "fold": fold, "epoch": 1, "weights": one.state_dict()}
                   for fold, one in enumerate(networks)],
    })  # fmt: skip
    return folder / "model.pt"


@pytest.mark.parametrize("pooling", ["max", "sites"])
def test_each_formula_is_answered_by_the_fold_that_tested_it(cells, tmp_path, pooling):
    path = model_of(tmp_path, pooling)
    formulas = sorted({one.formula for one in cells})
    folds = pd.DataFrame({"repeat": 0, "fold": [0, 1], "host": formulas, "formula": formulas})
    asked = map_answers.Networks(path, folds)
    swapped = map_answers.Networks(path, folds.assign(fold=[1, 0]))
    one = cells[0]
    # networks that list defects score their list, so their probability is the confidence
    told = attrgetter("score" if pooling == "max" else "confidence")
    assert told(asked(one)) != told(swapped(one))
    own = asked.tested_formula[one.formula]
    assert own == {(0, formulas.index(one.formula))}
    # a formula that no network has seen is answered by all of them
    both = map_answers.Networks(path, folds.assign(formula=["X", "Y"]))(one)
    mean = (told(asked(one)) + told(swapped(one))) / 2
    assert told(both) == pytest.approx(mean, abs=1e-6)
    assert np.isnan(asked(one).judged.type_correct) == (pooling == "max")
    with pytest.raises(DefectpoolError, match=r"training\.split"):
        map_answers.Networks(path, folds.assign(host="X"))


def test_the_chosen_atom_of_a_baseline_is_compared_with_the_defects(cells, tmp_path):
    one = next(one for one in cells if one.label and one.defect == "substitution")
    atom = one.defects[0].atom
    for chosen, right in ((atom, 1.0), (atom - 1, 0.0)):
        path = tmp_path / "told.csv"
        path.write_text(f"structure,score,atom,seconds,reason\n{one.structure},0.2,{chosen},0.1,\n")
        found = map_answers.told_by(path)(one)
        assert (found.score, found.judged.site_correct, found.seconds) == (0.2, right, 0.1)
    with pytest.raises(DefectpoolError, match="its answer is missing"):
        map_answers.told_by(path)(cells[1])


def test_a_script_in_its_own_environment_reads_the_cells(cells, tmp_path, monkeypatch):
    class SBC:
        def get_clusters(self, atoms):
            everything = SimpleNamespace(indices=range(len(atoms) - 1), get_cell=lambda: atoms)
            return [everything]

    monkeypatch.setitem(sys.modules, "matid", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "matid.clustering", SimpleNamespace(SBC=SBC))
    folder = map_answers.__file__.rpartition("/defectpool/")[0]
    spec = importlib.util.spec_from_file_location("matid_answers", f"{folder}/baselines/matid_answers.py")  # fmt: skip # noqa: E501
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    write_structures(tmp_path / "cells.xyz.gz", cells[:3])
    script.main(tmp_path / "cells.xyz.gz", tmp_path / "told.csv")
    method = map_answers.told_by(tmp_path / "told.csv")
    assert [method(one).score for one in cells[:3]] == [1.0] * 3


def test_thresholds_are_chosen_on_the_other_half():
    halves = map_statistics.halves(["A", "B"])
    first, second = sorted(halves, key=halves.get)
    # best above 0.1 for one formula, above 0.4 for the other
    rows = [row("soap", first, 0, 0.1), row("soap", first, 1, 0.3)]
    rows += [row("soap", second, 0, 0.4), row("soap", second, 1, 0.9)]
    table = table_of(rows)
    chosen = map_statistics.thresholds(table)
    assert chosen == {"soap": (0.4, 0.1)}
    verdicts = map_statistics.decided(table, chosen)["probability"].tolist()
    assert verdicts == [0.0, 0.0, 1.0, 1.0]
    # a formula that one axis alone has shifts no half of the other axes
    more = [row("soap", name, 0, 0.2, axis="split") for name in "CDEFG"]
    whole = table_of([*rows, *more])
    of_others = map_statistics.of_campaign(whole)
    assert len(of_others) == 4 and set(whole["half"]) == {0, 1}
    swapped = of_others.assign(half=1 - table["half"])
    assert map_statistics.thresholds(swapped) == {"soap": (0.1, 0.4)}
    with pytest.raises(DefectpoolError, match=r"map\.hosts"):
        map_statistics.halves(["A"])


def test_the_best_threshold():
    scores, labels = np.array([0.1, 0.2, 0.3, np.inf]), np.array([0, 0, 1, 1])
    assert map_statistics.best_threshold(scores, labels) == 0.2
    assert map_statistics.best_threshold(scores[:2], labels[:2]) == 0.5


def test_no_answer_is_a_wrong_one_and_shares_are_those_of_a_count_by_hand():
    rows = [
        row("lattice", "A", 1, 1.0, site_correct=1.0, type_correct=0.0),
        row("lattice", "B", 1, np.nan, seconds=4e-3),
        row("lattice", "A", 0, 0.0),
        row("lattice", "B", 0, np.nan, seconds=4e-3),
    ]
    table = table_of(rows)
    decided = map_statistics.decided(table, {"lattice": (0.5, 0.5)})
    (found,) = map_statistics.table(decided, 200).to_dict("records")
    assert (found["found"], found["false_alarms"], found["balanced_accuracy"]) == (0.5, 0.5, 0.5)
    assert (found["site_accuracy"], found["type_accuracy"]) == (0.5, 0.0)
    assert (found["unanswered"], found["n_structures"], found["n_formulas"]) == (0.5, 4, 2)
    assert found["microseconds"] == pytest.approx(250)


def test_the_combined_method_asks_the_network_where_the_lattice_has_no_answer():
    table = table_of(
        [
            *[row("lattice", "A", 1, 1.0), row("lattice", "B", 1, np.nan)],
            *[row("lattice", "A", 0, 0.0), row("lattice", "B", 0, np.nan)],
            *[row("max", "A", 1, 0.0), row("max", "B", 1, 0.9, site_correct=1.0)],
            *[row("max", "A", 0, 1.0), row("max", "B", 0, np.nan)],
        ]
    )
    decided = map_statistics.decided(table, map_statistics.thresholds(table))
    both = map_statistics.with_combined(decided, ["max"])
    found = both[both["method"] == "combined"].set_index("structure")
    assert found["probability"].to_dict() == {"A:1@0": 1, "B:1@0": 1, "A:0@0": 0, "B:0@0": 1}
    assert found["site_correct"]["B:1@0"] == 1.0
    assert found["seconds"].tolist() == [1e-3, 2e-3, 1e-3, 2e-3]
    assert found["label"].tolist() == [1, 1, 0, 0]


def test_when_to_trust_which():
    why = "3 defects on 9 sites: too many for one lattice"
    rows = [
        *[row("lattice", "A", 1, 1.0), row("lattice", "B", 1, np.nan, reason=why)],
        *[row("lattice", "A", 0, 1.0), row("lattice", "B", 0, np.nan, reason="near melting: 1 Å")],
        *[row("max", f, label, 1.0) for f in "AB" for label in (0, 1)],
    ]
    decided = map_statistics.decided(table_of(rows), dict.fromkeys(["lattice", "max"], (0.5,) * 2))
    assert map_statistics.trust(decided, ["max"]).to_numpy().tolist() == [
        ["defective", 2, 0.5, 0.5],
        ["near melting", 1, 0.0, 0.0],
        ["too many for one lattice", 1, 0.0, 1.0],
    ]


def test_the_network_is_chosen_on_the_other_half():
    halves = map_statistics.halves(["A", "B"])
    first, second = sorted(halves, key=halves.get)
    right = {"max": first, "sites": second}
    rows = [
        row(name, formula, label, float(label if right[name] == formula else 1 - label))
        for name in right
        for formula in "AB"
        for label in (0, 1)
    ]
    decided = map_statistics.decided(table_of(rows), dict.fromkeys(right, (0.5, 0.5)))
    chosen = map_statistics.best_network(decided, ["max", "sites"])
    # each formula gets the network that is right on the other one, and wrong on it
    assert len(chosen) == 4 and (chosen["probability"] != chosen["label"]).all()


def test_differences_and_costs():
    rows = [row("lattice", f, label, float(label)) for f in "ABCD" for label in (0, 1)]
    rows += [row("max", f, label, 1.0, atoms=400) for f in "ABCD" for label in (0, 1)]
    decided = map_statistics.decided(table_of(rows), {"lattice": (0.5,) * 2, "max": (0.5,) * 2})
    (found,) = map_statistics.differences(decided, ["max"], 200).to_dict("records")
    assert (found["lattice"], found["network"], found["difference"]) == (1.0, 0.5, -0.5)
    # four formulas cannot be surer of 50 % than they are of 100 % found and 100 % false alarms
    miss = 0.025 ** (1 / 4)
    assert found["network_low"] == pytest.approx(miss / 2)
    assert found["network_high"] == pytest.approx((1 + 1 - miss) / 2)
    costs = map_statistics.costs(decided, {"max": 60.0}).set_index("method")
    assert costs.loc["max", "seconds_to_train"] == 60
    assert costs.loc["lattice", "microseconds_small"] == pytest.approx(100)
    assert costs.loc["max", "microseconds_large"] == pytest.approx(2.5)
    assert np.isnan(costs.loc["lattice", "microseconds_large"])
