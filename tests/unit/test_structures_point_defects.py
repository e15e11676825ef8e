"""Inequivalent defects, against pymatgen-analysis-defects and the periodic table."""

from collections import Counter

import pytest
from ase.data import atomic_numbers, chemical_symbols
from structure_examples import sample, textbook

from defectpool.config import StructuresSettings
from defectpool.structures.point_defects import NoDefect, point_defects, substituents
from defectpool.structures.symmetry import layer_symmetry

SYMPREC = 0.1


def ours(atoms, defect):
    settings = StructuresSettings(substitution=["Xe"], symprec=SYMPREC)
    try:
        found = point_defects(atoms, layer_symmetry(atoms, SYMPREC), defect, settings)
    except NoDefect:
        return Counter()
    return Counter((d.name, d.multiplicity) for d in found)


def theirs(atoms, defect):
    """Defects that pymatgen-analysis-defects finds with the same tolerance.

    Its generators pass the tolerance on to the search for inequivalent sites but not to the
    defects, which count their multiplicities with 0.01 Å; counted here with the same one.
    """
    from pymatgen.analysis.defects import generators
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = AseAtomsAdaptor.get_structure(atoms)
    match defect:
        case "vacancy":
            found = generators.VacancyGenerator(symprec=SYMPREC).get_defects(structure)
        case "antisite":
            found = generators.AntiSiteGenerator(symprec=SYMPREC).get_defects(structure)
        case _:
            swap = {element.symbol: "Xe" for element in structure.elements}
            found = generators.SubstitutionGenerator(symprec=SYMPREC).get_defects(structure, swap)
    symmetric = SpacegroupAnalyzer(structure, symprec=SYMPREC).get_symmetrized_structure()
    return Counter(
        (d.name, len(symmetric.find_equivalent_sites(structure[d.defect_site_index])))
        for d in found
    )


@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution"])
def test_textbook_hosts_have_the_defects_that_pymatgen_finds(defect):
    for host in textbook():
        assert ours(host.atoms, defect) == theirs(host.atoms, defect), host.id


@pytest.mark.slow
@pytest.mark.parametrize("defect", ["vacancy", "antisite", "substitution"])
def test_hosts_of_c2db_have_the_defects_that_pymatgen_finds(c2db, defect):
    different = [
        host.id
        for host in sample(c2db, 100, seed=7)
        if ours(host.atoms, defect) != theirs(host.atoms, defect)
    ]
    assert not different


def test_layer_groups_of_c2db(c2db):
    from ase.db import connect

    with connect(c2db) as rows:
        found = [
            (row.uid, layer_symmetry(row.toatoms(), SYMPREC).number, row.lgnum)
            for row in rows.select("lgnum", limit=300)
        ]
    # 1AgBrFIMnS-1 has a mirror plane within the tolerance that C2DB does not count
    assert len([row for row in found if row[1] != row[2]]) <= 1


def test_neighbors_in_the_periodic_table():
    assert substituents("S", "neighbors") == ["O", "P", "Cl", "Se"]
    assert substituents("Mo", "neighbors") == ["Cr", "Nb", "W"]  # Tc has no stable isotope
    assert substituents("Cl", "neighbors") == ["F", "S", "Br"]  # no noble gas
    assert substituents("Na", "neighbors") == ["Li", "Mg", "K"]


def test_same_group():
    assert substituents("S", "same_group") == ["O", "Se", "Te"]
    assert substituents("Mo", "same_group") == ["Cr", "W"]
    assert substituents("Cl", "same_group") == ["F", "Br", "I"]


def test_a_list_is_taken_as_it_is():
    assert substituents("S", ["Li", "S", "H"]) == ["Li", "H"]


@pytest.mark.parametrize("rule", ["neighbors", "same_group"])
def test_rules_work_for_every_element_that_hosts_have(rule):
    for symbol in chemical_symbols[1:93]:
        found = substituents(symbol, rule)
        assert symbol not in found
        assert found == sorted(found, key=atomic_numbers.get)
