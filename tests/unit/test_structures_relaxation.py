"""Relaxation: what counts as failed, the same result after a kill, calculators by name."""

import sys

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.data import covalent_radii
from structure_examples import textbook

from defectpool.config import DynamicsDisplacements, RelaxedDisplacements, StructuresSettings, load
from defectpool.errors import DefectpoolError
from defectpool.structures.build import build_structures
from defectpool.structures.calculators import calculator_maker
from defectpool.structures.relaxation import BOUND, problem_of, relax
from defectpool.structures.relaxation_stage import relax_structures
from defectpool.structures.springs import force_constants, springs
from defectpool.structures.structure_files import read_structures, write_structures

HOSTS = [host for host in textbook() if host.id in ("BN", "MoS2-2H")]
DYNAMICS = {"model": "dynamics", "temperatures": [100, 300], "steps": 5}
RELAXED = RelaxedDisplacements(model="relaxed", calculator="x:Y")


class Springs(Calculator):
    """Springs between neighbors whose lengths at rest are those of the first call."""

    implemented_properties = ("energy", "forces")

    def __init__(self, rest):
        super().__init__()
        self.rest = rest.copy()
        self.matrix = force_constants(len(rest), *springs(rest))

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        moves = (atoms.positions - self.rest.positions).ravel()
        forces = -(self.matrix @ moves)
        self.results = {"energy": -forces @ moves / 2, "forces": forces.reshape(-1, 3)}


def built(defect="vacancy", models=("relaxed",), **values):
    settings = StructuresSettings(displacements=list(models), **values)
    return build_structures(HOSTS, defect, "3x3", settings)[0], settings


@pytest.mark.parametrize(
    "defect", ["vacancy", "antisite", "substitution", "interstitial", "complex"]
)
def test_ideal_positions_are_what_the_labels_say(defect):
    for one in built(defect)[0]:
        assert problem_of(one, one.atoms.positions) == ("", "")


def moved(one, row, to):
    positions = one.atoms.positions.copy()
    positions[row] = to
    return problem_of(one, positions)[0]


def test_reasons():
    vacancy, pristine = built()[0][-2:]
    (label,) = vacancy.defects
    assert moved(vacancy, label.neighbors[0], label.position) == "lost_defect"
    assert moved(vacancy, label.neighbors[0], vacancy.atoms.positions[0] + 9) == "exploded"
    assert moved(pristine, 0, pristine.atoms.positions[0] + [0, 0, 1.5]) == "rebuilt"
    assert moved(pristine, 0, pristine.atoms.positions[1] + [0, 0, 0.1]) == "exploded"
    adatom, _ = built("interstitial", interstitial_sites=["adatom"], interstitial=["Li"])[0][-2:]
    here = adatom.atoms.positions[adatom.defect_site]
    assert moved(adatom, adatom.defect_site, here + np.eye(3)[0]) == ""
    side = np.sign(here[2] - adatom.atoms.positions[:, 2].mean())
    assert moved(adatom, adatom.defect_site, here + 4 * side * np.eye(3)[2]) == "lost_defect"
    swapped, _ = built("antisite")[0][-2:]
    first = swapped.defect_site
    second = swapped.atoms.get_distances(first, range(len(swapped.atoms)), mic=True).argsort()[1]
    positions = swapped.atoms.positions.copy()
    positions[[first, second]] = positions[[second, first]]
    assert problem_of(swapped, positions)[0] == "lost_defect"


def test_a_small_atom_on_the_site_of_a_large_one_is_not_lost():
    hosts = [host for host in textbook() if host.id == "PtSe2-1T"]
    settings = StructuresSettings(substitution=["H"])
    one = build_structures(hosts, "substitution", "3x3", settings)[0][0]
    row, here = one.defect_site, one.atoms.positions[one.defect_site]
    bonds = one.atoms.get_distances(row, [i for i in range(len(one.atoms)) if i != row], mic=True)
    assert one.name == "H_Se" and bonds.min() > BOUND * covalent_radii[[1, 78]].sum()
    assert moved(one, row, here + 0.02 * np.eye(3)[0]) == ""
    side = np.sign(here[2] - one.atoms.positions[:, 2].mean())
    assert moved(one, row, here + 2 * side * np.eye(3)[2]) == "lost_defect"


def test_a_relaxation_finds_the_least_energy_and_says_how():
    one = built()[0][0]
    outcome = relax(one, RELAXED, Springs(one.atoms), 0)
    assert outcome.reason == "" and outcome.notes["energy"] < 0.01
    assert outcome.notes["steps"] > 2 and outcome.notes["largest_displacement"] < 0.05
    short = relax(one, RELAXED.model_copy(update={"steps": 1}), Springs(one.atoms), 0)
    assert short.reason == "not_converged"
    assert np.array_equal(outcome.positions, relax(one, RELAXED, Springs(one.atoms), 0).positions)


def test_dynamics_have_their_temperature():
    one = built()[0][-1]
    spread = []
    for temperature in (100.0, 900.0):
        model = DynamicsDisplacements(model="dynamics", temperatures=[temperature], steps=50)
        outcome = relax(one, model, Springs(one.atoms), 0)
        assert outcome.notes["steps"] == 50
        spread.append(np.std(outcome.positions - one.atoms.positions))
    assert 2 < spread[1] / spread[0] < 5


class Failing(Springs):
    def calculate(self, *arguments, **values):
        raise RuntimeError("no\nparameters")


def test_after_a_kill_it_goes_on_with_the_next_structure(tmp_path):
    structures, settings = built(models=["relaxed", DYNAMICS, "none"], choose=2)
    made = []

    def make(name):
        def calculator():
            made.append(name)
            return Own()

        return calculator

    class Own(Springs):
        """Takes its rest from the first structure that it sees."""

        def __init__(self):
            Calculator.__init__(self)
            self.rest = None

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            if self.rest is None:
                Springs.__init__(self, atoms)
            super().calculate(atoms, properties, system_changes)

    whole, failed = relax_structures(structures, settings, make, tmp_path / "a", "code")
    number = len(made)
    assert not failed and 2 < number < len(structures)
    text = (tmp_path / "a").read_text()
    for cut in (1, len(text) // 3, len(text) // 2, len(text) - 9):
        (tmp_path / "b").write_text(text[:cut])
        made.clear()
        again, _ = relax_structures(structures, settings, make, tmp_path / "b", "code")
        assert len(made) == number - text[:cut].count("}\n")
        for path, listed in (("whole", whole), ("again", again)):
            write_structures(tmp_path / path, listed)
        assert (tmp_path / "whole").read_bytes() == (tmp_path / "again").read_bytes()
    relaxed = [one for one in read_structures(tmp_path / "whole") if "energy" in one.notes]
    assert len(relaxed) == number
    assert {one.notes["relaxation"] for one in relaxed} == {"converged"}
    made.clear()
    relax_structures(structures, settings, make, tmp_path / "a", "other code")
    assert len(made) == number


def test_failed_structures_are_left_out_with_their_pair_or_kept(tmp_path):
    structures, settings = built()

    def make(kind):
        return lambda name: lambda: kind

    calculator = Failing(structures[0].atoms)
    kept, failed = relax_structures(structures, settings, make(calculator), tmp_path / "a", "")
    assert not kept and {one.reason for one in failed} == {"calculator_failed"}
    assert failed[0].message == "RuntimeError: no parameters"
    assert not (tmp_path / "a").exists()  # tried again by the next run
    short = RELAXED.model_copy(update={"steps": 1, "calculator": "chgnet"})
    settings = settings.model_copy(update={"displacements": [short], "keep_failed": True})
    calculator = Springs(structures[0].atoms)
    kept, failed = relax_structures(structures[:1], settings, make(calculator), tmp_path / "b", "")
    assert [one.notes["relaxation"] for one in kept] == ["not_converged"]
    assert [one.reason for one in failed] == ["not_converged"]


def test_a_fault_of_the_machine_is_not_one_of_the_structure(tmp_path):
    structures, settings = built()

    class Full(Springs):
        def calculate(self, *arguments, **values):
            raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="CUDA"):
        relax_structures(
            structures, settings, lambda name: lambda: Full(structures[0].atoms), tmp_path / "a", ""
        )
    assert not (tmp_path / "a").exists()


def test_calculators_by_name(tmp_path):
    from ase.calculators.emt import EMT

    assert isinstance(calculator_maker("ase.calculators.emt:EMT")(), EMT)
    (tmp_path / "mine.py").write_text("from ase.calculators.emt import EMT as Mine\n")
    assert type(calculator_maker(f"{tmp_path}/mine.py:Mine")()).__name__ == "EMT"
    for name, words in (("no_such:X", "No module named"), ("ase:NoClass", "has no class NoClass")):
        with pytest.raises(DefectpoolError, match=words):
            calculator_maker(name)
    with pytest.raises(DefectpoolError, match="calculator must be chgnet, sevennet, module:Class"):
        load({"structures": {"displacements": [{"model": "relaxed", "calculator": "chgnets"}]}})


@pytest.mark.parametrize(("name", "extra"), [("chgnet", "relax"), ("sevennet", "sevennet")])
def test_a_missing_potential_is_one_line(monkeypatch, name, extra):
    for module in ("chgnet.model", "sevenn.calculator"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DefectpoolError, match=rf"pip install 'defectpool\[{extra}\]'") as error:
        calculator_maker(name)
    assert "\n" not in str(error.value)
