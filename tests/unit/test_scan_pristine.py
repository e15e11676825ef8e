"""Pristine supercells of a scan, handed to programs that want a reference."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2
from scan_examples import layer, rock_salt, to_pymatgen

from defectpool.scan import pristine, scan


def antisite() -> Atoms:
    """Return a MoSe2 layer with a Se atom on a Mo site."""
    atoms = mx2("MoSe2", a=3.29, thickness=3.3, vacuum=8).repeat((4, 4, 1))
    atoms.rattle(0.02, seed=3)
    atoms.numbers[15] = 34
    return atoms


@pytest.fixture(params=["poscar", "cif"])
def form(request):
    """Return a format of the pristine supercell."""
    return request.param


@pytest.fixture(params=[rock_salt, layer, antisite])
def pair(request, form, tmp_path):
    """Return a defective structure, its defects, and the pristine supercell read back."""
    atoms = request.param()
    (result,) = scan(atoms)
    path = pristine.write(result, tmp_path, form)
    assert path.suffix == pristine.SUFFIXES[form]
    return atoms, result.finding.defects, ase.io.read(path)


def distances(atoms: Atoms, positions: np.ndarray, place: np.ndarray) -> np.ndarray:
    fractions = (positions - place) @ np.linalg.inv(atoms.cell.array)
    return np.linalg.norm((fractions - np.rint(fractions)) @ atoms.cell.array, axis=1)


def test_it_matches_in_lattice_origin_and_composition(pair):
    atoms, defects, reference = pair
    np.testing.assert_allclose(reference.cell.cellpar(), atoms.cell.cellpar(), atol=1e-4)
    vacancies = sum(defect.type == "vacancy" for defect in defects)
    assert len(reference) == len(atoms) + vacancies
    for defect in defects:
        if defect.type == "vacancy":
            near = distances(reference, reference.positions, np.asarray(defect.position))
            row = int(near.argmin())
            assert near[row] < 0.2
            assert defect.name == f"v_{reference.symbols[row]}"


def test_it_is_called_pristine(pair):
    (result,) = scan(pair[2])
    assert result.verdict == "pristine"


def test_a_result_without_a_host_writes_nothing(tmp_path):
    (result,) = scan(Atoms("H", cell=[3, 3, 3], pbc=True, positions=[[0, 0, 0]]))
    if result.finding is None or result.finding.host is None:
        assert pristine.write(result, tmp_path) is None
        assert not list(tmp_path.iterdir())


def test_defect_site_finder_takes_it(pair):
    pytest.importorskip("dscribe")
    finder = pytest.importorskip("pymatgen.analysis.defects.finder")
    atoms, defects, reference = pair
    fraction = finder.DefectSiteFinder().get_defect_fpos(to_pymatgen(atoms), to_pymatgen(reference))
    place = np.asarray(fraction) @ atoms.cell.array
    places = np.array([defect.position for defect in defects])
    assert distances(atoms, places, place).min() < 2.5


def test_doped_takes_it(pair):
    parsing = pytest.importorskip("doped.utils.parsing")
    atoms, defects, reference = pair
    assert len(defects) == 1
    found, row, _, _ = parsing.get_defect_type_site_idxs_and_unrelaxed_structure(
        to_pymatgen(reference), to_pymatgen(atoms)
    )
    assert found == {"antisite": "substitution"}.get(defects[0].type, defects[0].type)
    place = np.asarray(defects[0].position)
    assert distances(reference, reference.positions[[row]], place) < 0.2
