"""Nothing of the test leaks into training: by construction of the splits, and by trial."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectpool.config import (
    GraphSettings,
    MaterialsSettings,
    NetworkSettings,
    StructuresSettings,
    TrainingSettings,
)
from defectpool.errors import DefectpoolError
from defectpool.evaluation.statistics import accuracy
from defectpool.graphs.graph_set import GraphSet, graph_set
from defectpool.materials.host import read_hosts
from defectpool.materials.prototype_labels import read_prototypes
from defectpool.materials.select import select_hosts
from defectpool.runtime.hashing import seed as seed_of
from defectpool.structures.build import build_structures
from defectpool.training.cross_validation import Run, cross_validate
from defectpool.training.splits import assign_folds, host_disjoint_folds, sample_validation

DEFECTS = ("vacancy", "antisite", "substitution", "interstitial")
SPLITS = ("formula", "random", "element", "prototype")
LITHIUM = 3


@dataclasses.dataclass
class Campaign:
    """What a split looks at, without the rest of a `GraphSet`."""

    structure: np.ndarray
    pair: np.ndarray
    host: np.ndarray
    formula: np.ndarray
    label: np.ndarray
    atomic_number: np.ndarray
    node_offset: np.ndarray
    prototypes: dict[str, str]


@st.composite
def campaigns(draw) -> Campaign:
    """Draw hosts of few elements (so that formulas repeat as polymorphs), with defects in them."""
    elements = st.integers(4, 40)
    hosts = draw(st.lists(st.sets(elements, min_size=1, max_size=3), min_size=12, max_size=60))
    rows = []
    for number, present in enumerate(hosts):
        formula = "-".join(map(str, sorted(present)))
        for defect in range(draw(st.integers(1, 2))):
            pair = f"{number}:{defect}"
            impurity = draw(st.sampled_from([set(), {LITHIUM}]))
            rows.append((pair, pair, f"h{number}", formula, 1, sorted(present | impurity)))
            rows.append((pair + "p", pair, f"h{number}", formula, 0, sorted(present)))
    structure, pair, host, formula, label, atoms = zip(*rows, strict=True)
    return Campaign(
        *(np.array(texts) for texts in (structure, pair, host, formula)),
        np.array(label),
        np.concatenate([np.array(one) for one in atoms]),
        np.concatenate([[0], np.cumsum([len(one) for one in atoms])]),
        {f"h{i}": draw(st.sampled_from(["MoS2", "CdI2", "BN", "FeSe", "C"])) for i in range(60)},
    )


def elements_of(graphs, rows) -> set[int]:
    """All elements that occur in these structures."""
    found = set()
    for row in rows:
        found.update(graphs.atomic_number[graphs.node_offset[row] : graphs.node_offset[row + 1]])
    return {int(z) for z in found}


def check(graphs, split: str, folds: int, seed: int, prototypes) -> None:
    """No formula, and for the stricter splits nothing else that is held out, on both sides."""
    assigned = assign_folds(split, graphs, folds, seed, prototypes)
    assert sorted(set(assigned.fold)) == list(range(folds))
    tested = np.zeros(len(graphs.label), dtype=int)
    for fold in range(folds):
        parts = assigned.indices(fold, 0.2, seed)
        assert all(len(part) for part in parts)
        train, validation, test = parts
        tested[test] += 1
        for one, two in ((train, validation), (train, test), (validation, test)):
            assert not set(one.tolist()) & set(two.tolist())
            if split != "random":
                assert not set(graphs.formula[one]) & set(graphs.formula[two])
                assert not set(graphs.pair[one]) & set(graphs.pair[two])
        seen = np.concatenate([train, validation])
        if split == "prototype":
            kinds = [{prototypes[str(host)] for host in graphs.host[part]} for part in (seen, test)]
            assert not kinds[0] & kinds[1]
        if split == "element":
            for row in test:
                assert elements_of(graphs, [row]) - elements_of(graphs, seen)
    assert (tested == 1).all()


@pytest.mark.parametrize("split", SPLITS)
@settings(max_examples=40, deadline=None)
@given(campaigns(), st.integers(2, 5), st.integers(0, 9))
def test_splits_of_any_campaign(split, graphs, folds, seed):
    try:
        check(graphs, split, folds, seed, graphs.prototypes)
    except DefectpoolError as error:  # too few to deal is refused, not split wrongly
        assert "take more materials" in str(error)


@settings(max_examples=40, deadline=None)
@given(campaigns(), st.integers(2, 5), st.integers(0, 9), st.randoms(use_true_random=False))
def test_splits_do_not_depend_on_the_order_of_rows(graphs, folds, seed, random):
    order = list(range(len(graphs.label)))
    random.shuffle(order)
    sites = [graphs.atomic_number[graphs.node_offset[i] : graphs.node_offset[i + 1]] for i in order]
    texts = {
        key: getattr(graphs, key)[order]
        for key in ("structure", "pair", "host", "formula", "label")
    }
    offset = np.concatenate([[0], np.cumsum([len(one) for one in sites])])
    other = Campaign(
        **texts, atomic_number=np.concatenate(sites), node_offset=offset,
        prototypes=graphs.prototypes,
    )  # fmt: skip
    for split in SPLITS:
        try:
            one, two = (assign_folds(split, g, folds, seed, g.prototypes) for g in (graphs, other))
        except DefectpoolError:
            continue
        assert (one.fold[order] == two.fold).all()
        assert (one.excluded[:, order] == two.excluded).all()


def test_the_default_split_is_the_plain_one():
    formulas = np.array([f"A{i % 17}" for i in range(60)])
    assigned = assign_folds("formula", dataclasses.make_dataclass("G", ["formula"])(formulas), 5, 3)
    fold = host_disjoint_folds(formulas, 5, 3)
    assert (assigned.fold == fold).all()
    for k in range(5):
        train, validation, test = assigned.indices(k, 0.1, 8)
        drawn = sample_validation(formulas, fold != k, 0.1, 8)
        assert (test == np.flatnonzero(fold == k)).all()
        assert (validation == np.flatnonzero(drawn)).all()
        assert (train == np.flatnonzero((fold != k) & ~drawn)).all()


# ------------------------------------------------------------------------------ real hosts


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """A random sample of the embedded monolayers, through the front door, and their types."""
    folder = tmp_path_factory.mktemp("materials")
    select_hosts(MaterialsSettings(limit=90), 1, folder)
    return read_hosts(folder / "hosts" / "000.xyz"), read_prototypes(folder / "selected.csv")


@pytest.fixture(scope="module")
def c2db_hosts(c2db, tmp_path_factory):
    """Small hosts of C2DB, among which formulas have polymorphs."""
    folder = tmp_path_factory.mktemp("materials")
    chosen = MaterialsSettings(
        source="database", path=str(c2db), select="natoms<=3,id<5000", limit=150
    )
    select_hosts(chosen, 1, folder)
    return read_hosts(folder / "hosts" / "000.xyz"), read_prototypes(folder / "selected.csv")


def real_graphs(hosts, defect: str, supercell: str = "2x2") -> GraphSet:
    structures, _ = build_structures(hosts, defect, supercell, StructuresSettings())
    return graph_set(structures, GraphSettings(), 3)


@pytest.mark.parametrize("defect", DEFECTS)
def test_splits_of_embedded_hosts(hosts, defect):
    graphs = real_graphs(hosts[0], defect)
    for split in SPLITS:
        for seed in range(3):
            check(graphs, split, 3, seed, hosts[1])


@pytest.mark.slow
def test_splits_of_c2db(c2db_hosts):
    chosen, prototypes = c2db_hosts
    assert len({host.formula for host in chosen}) < len(chosen)
    for defect in DEFECTS:
        graphs = real_graphs(chosen, defect)
        for split in SPLITS:
            check(graphs, split, 5, 0, prototypes)


def test_the_usual_split_leaks(hosts):
    """What the default forbids and `random` does: a structure whose pair was trained on."""
    graphs = real_graphs(hosts[0], "vacancy")
    train, _, test = assign_folds("random", graphs, 5, 0).indices(0, 0.1, 0)
    assert len(set(graphs.pair[train]) & set(graphs.pair[test])) > 5


@pytest.mark.slow
def test_shuffled_labels_teach_nothing(hosts, tmp_path):
    """With the labels of each pair at random, accuracy on unseen formulas is one half.

    A pair keeps one defective and one pristine supercell, so there is nothing left to learn;
    anything above one half would have passed from the test into training.
    """
    graphs = real_graphs(hosts[0], "interstitial")
    lots = np.random.default_rng(5).integers(2, size=len(graphs) // 2)
    label = (graphs.label ^ np.repeat(lots, 2)).astype(graphs.label.dtype)
    assert (label.reshape(-1, 2).sum(1) == 1).all()
    network = NetworkSettings(width=32, hidden=32)
    training = TrainingSettings(epochs=20, folds=3, batch_size=8, device="cpu")

    def trial(label, name):
        run = Run("max", "gated", network, training)
        return cross_validate(dataclasses.replace(graphs, label=label), run, tmp_path / name)

    shuffled = trial(label, "shuffled")
    found = accuracy(shuffled.predictions, 1000)
    assert found.low < 0.5 < found.high
    last = shuffled.history["epoch"] == training.epochs
    assert shuffled.history.loc[last, "train_accuracy"].min() > 0.7  # what it knew, by heart
    assert accuracy(trial(graphs.label, "true").predictions, 1000).low > 0.9


@pytest.mark.parametrize("split", SPLITS)
def test_predictions_keep_to_the_split(hosts, split, tmp_path):
    """What a training stores as tested in a fold is what the split says."""
    graphs = real_graphs(hosts[0], "vacancy", "1x1")
    network = NetworkSettings(width=4, hidden=4, gaussians=5)
    training = TrainingSettings(epochs=1, folds=3, split=split, device="cpu")
    run = Run("mean", "gated", network, training)
    outcome = cross_validate(graphs, run, tmp_path, prototypes=hosts[1])
    found = outcome.predictions.set_index("structure")["fold"]
    assigned = assign_folds(split, graphs, 3, seed_of(training.seed, 0), hosts[1])
    assert (found.loc[graphs.structure].to_numpy() == assigned.fold).all()
    several = outcome.predictions.groupby("formula")["fold"].nunique().max() > 1
    if split != "prototype":  # polymorphs may be of two prototypes; they bar each other
        assert several == (split == "random")
