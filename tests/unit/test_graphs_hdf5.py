import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.build import mx2
from graph_examples import crystal, layer, layers

from defectpool.config import GraphSettings
from defectpool.errors import DefectpoolError
from defectpool.graphs import graph_set as graph_set_module
from defectpool.graphs import hdf5
from defectpool.graphs.crystal_graph import distance_bins, edges_of
from defectpool.graphs.graph_set import GraphSet, graph_set, to_data
from defectpool.graphs.hdf5 import read_shards, write_shard
from defectpool.structures.structure_files import DefectStructure

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def vacancy_pair(host: str, atoms, size: int, number: int = 0) -> list[DefectStructure]:
    """A vacancy, or with `number` a substitution, and its pristine supercell."""
    pristine = atoms.repeat((size, size, 1))
    defective = pristine.copy()
    site = len(atoms) % len(pristine)
    if number:
        defective.numbers[site] = number
    else:
        del defective[site]
    defect = "substitution" if number else "vacancy"
    common = {
        "pair": f"{host}:{defect}.0:{size}x{size}",
        "host": host,
        "formula": atoms.get_chemical_formula(mode="metal", empirical=True),
        "defect": defect,
        "name": f"v_{atoms.symbols[0]}",
        "supercell": f"{size}x{size}",
        "species": "",
        "replaced": atoms.symbols[0],
        "position": pristine.positions[site].copy(),
        "count": 1,
        "multiplicity": 1,
        "site_symmetry": "1",
    }
    pair = common["pair"]
    return [
        DefectStructure(
            atoms=defective, structure=pair, label=1,
            defect_sites=(site,) if number else (), **common,
        ),
        DefectStructure(
            atoms=pristine, structure=pair + ":pristine", label=0, defect_sites=(site,), **common
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def structures() -> list[DefectStructure]:
    names = ["MoS2", "TiS2", "graphene", "NaCl", "GeSeSnS", "far"]
    cells = layers()
    return [one for name in names for one in vacancy_pair(f"1{name}-1", cells[name], 3)]


def assert_equal(first: GraphSet, second: GraphSet) -> None:
    assert first.settings == second.settings
    for key, values in vars(first).items():
        if key != "settings":
            other = getattr(second, key)
            assert np.array_equal(values, other), key
            assert values.dtype.kind == other.dtype.kind, key


@pytest.mark.parametrize("shells", ["truncated", "complete"])
@pytest.mark.parametrize("compression", [True, False])
def test_what_is_written_is_read(tmp_path, structures, shells, compression):
    settings = GraphSettings(shells=shells, compression=compression)
    counts = write_shard(tmp_path / "000.h5", iter(structures), settings, rounds=3)
    graphs = read_shards([tmp_path / "000.h5"])
    assert_equal(graphs, graph_set(structures, settings, 3))
    assert graphs.settings == {**settings.model_dump(), "rounds": 3}
    assert counts.structures == len(graphs) == len(structures)
    assert counts.sites == sum(len(s.atoms) for s in structures) == graphs.site_offset[-1]
    assert (counts.nodes, counts.edges) == (len(graphs.atomic_number), len(graphs.source))
    assert graphs.label.tolist() == [1, 0] * (len(structures) // 2)
    assert graphs.structure.tolist() == [s.structure for s in structures]
    assert graphs.defect_site.tolist() == [s.defect_site for s in structures]
    assert np.array_equal(graphs.defect_position, [s.position for s in structures])


def test_uncompressed_graphs_are_the_edges_of_each_structure(structures):
    graphs = graph_set(structures, GraphSettings(compression=False), 3)
    assert np.all(graphs.node_multiplicity == 1)
    assert np.all(graphs.edge_multiplicity == 1)
    for i, structure in enumerate(structures):
        edges = edges_of([crystal(structure.atoms)], 8.0, 12, "truncated", 0.001)
        mine = slice(*graphs.edge_offset[i : i + 2])
        distance = graphs.distances[graphs.edge_distance[mine]]
        ours = sorted(zip(graphs.target[mine], graphs.source[mine], distance.round(9), strict=True))
        centers = (distance_bins(edges.distance, 0.001) - 0.6180339887498949 + 0.5) * 0.001
        assert ours == sorted(zip(edges.target, edges.source, centers.round(9), strict=True))
        assert np.abs(np.sort(distance) - np.sort(edges.distance)).max(initial=0) <= 0.0005
        nodes = slice(*graphs.node_offset[i : i + 2])
        sites = slice(*graphs.site_offset[i : i + 2])
        assert np.array_equal(graphs.atomic_number[nodes], structure.atoms.numbers)
        assert np.array_equal(graphs.site_class[sites], np.arange(len(structure.atoms)))
        assert np.allclose(graphs.site_position[sites], structure.atoms.positions, atol=1e-5)


def test_compressed_graphs_stand_for_the_full_ones(structures):
    small = graph_set(structures, GraphSettings(), 3)
    full = graph_set(structures, GraphSettings(compression=False), 3)
    for i, structure in enumerate(structures):
        nodes, edges = (slice(*o[i : i + 2]) for o in (small.node_offset, small.edge_offset))
        sites = slice(*small.site_offset[i : i + 2])
        assert small.node_multiplicity[nodes].sum() == len(structure.atoms)
        times = small.edge_multiplicity[edges] * small.node_multiplicity[nodes][small.target[edges]]
        assert times.sum() == np.diff(full.edge_offset[i : i + 2])
        numbers = small.atomic_number[nodes][small.site_class[sites]]
        assert np.array_equal(numbers, structure.atoms.numbers)
        assert np.array_equal(small.target[edges], np.sort(small.target[edges]))


def test_batches_leave_no_trace(monkeypatch, structures):
    together = graph_set(structures, GraphSettings(), 3)
    monkeypatch.setattr(graph_set_module, "BATCH_SITES", 1)
    assert_equal(graph_set(structures, GraphSettings(), 3), together)


def test_shards_join_in_the_order_given(tmp_path, structures):
    settings = GraphSettings()
    write_shard(tmp_path / "000.h5", structures[:4], settings, 3)
    write_shard(tmp_path / "001.h5", [], settings, 3)
    write_shard(tmp_path / "002.h5", structures[4:], settings, 3)
    paths = [tmp_path / f"00{i}.h5" for i in range(3)]
    assert_equal(read_shards(paths), graph_set(structures, settings, 3))
    assert len(read_shards([paths[1]])) == 0


def test_the_same_bytes_in_every_process(tmp_path):
    program = f"""
import sys
sys.path[:0] = [{str(SCRIPTS)!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
from defectpool.config import GraphSettings
from defectpool.graphs.hdf5 import write_shard
from graph_examples import layers
from test_graphs_hdf5 import vacancy_pair
cells = layers()
structures = [one for name in ("MoS2", "GeSeSnS") for one in vacancy_pair(name, cells[name], 2)]
write_shard(Path(sys.argv[1]), structures, GraphSettings(), 3)
assert "torch" not in sys.modules
"""
    written = []
    for seed in ("0", "1"):
        path = tmp_path / f"{seed}.h5"
        subprocess.run(
            [sys.executable, "-c", program, str(path)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_elements_without_features_are_skipped_with_their_pristine_supercells(tmp_path, structures):
    strange = vacancy_pair(
        "1MoS2-9", layer(mx2("MoS2", "2H", a=3.18, thickness=3.13)), 2, number=104
    )
    counts = write_shard(
        tmp_path / "000.h5", [*structures[:2], *strange, *structures[2:]], GraphSettings(), 3
    )
    assert [name for name, _ in counts.skipped] == [s.structure for s in strange]
    assert "104" in counts.skipped[0][1]
    assert_equal(read_shards([tmp_path / "000.h5"]), graph_set(structures, GraphSettings(), 3))


def test_a_vacancy_in_a_cell_of_one_atom_is_skipped(structures):
    lone = vacancy_pair("1He-1", layers()["far"].repeat((2, 1, 1)), 1)
    nothing = replace(lone[0], atoms=lone[0].atoms[:0])
    settings = GraphSettings()
    with_it = graph_set([nothing, lone[1], *structures], settings, 3)
    assert_equal(with_it, graph_set(structures, settings, 3))
    assert len(graph_set([nothing, lone[1]], settings, 3)) == 0


def test_a_writer_that_fails_leaves_nothing(tmp_path, structures):
    def broken():
        yield structures[0]
        raise RuntimeError("the structures end here")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "000.h5", broken(), GraphSettings(), 3)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_shard_is_named(tmp_path, structures):
    path = tmp_path / "007.h5"
    with pytest.raises(DefectpoolError, match=r"007\.h5: there is no such"):
        read_shards([path])
    with pytest.raises(DefectpoolError, match="no graph shards"):
        read_shards([])
    path.write_bytes(b"not HDF5")
    with pytest.raises(DefectpoolError, match=r"007\.h5 is damaged.*delete it and run again"):
        read_shards([path])

    def spoiled(change):
        write_shard(path, structures, GraphSettings(), 3)
        with h5py.File(path, "r+") as file:
            change(file)
        return pytest.raises(DefectpoolError, match=r"007\.h5.*delete it and run again")

    def rewrite(file, place, change):
        values = file[place][:]
        del file[place]
        file[place] = change(values)

    def set_attribute(key, value):
        return lambda file: file.attrs.__setitem__(key, value)

    for change in (
        set_attribute("complete", False),
        lambda file: file.attrs.__delitem__("complete"),
        set_attribute("version", hdf5.VERSION + 1),
        set_attribute("format", "something else"),
        set_attribute("settings", "{"),
        set_attribute("edges", 3),
        set_attribute("radius", 7.0),
        lambda file: file.__delitem__("nodes"),
        lambda file: rewrite(file, "edges/source", lambda v: v[:-1]),
        lambda file: rewrite(file, "edges/source", lambda v: v + 1000),
        lambda file: rewrite(file, "edges/source", lambda v: v.astype(float)),
        lambda file: rewrite(file, "graphs/node_offset", lambda v: v[::-1]),
        lambda file: rewrite(file, "graphs/label", lambda v: v[:, None]),
        lambda file: rewrite(file, "graphs/host", lambda v: np.arange(len(v))),
    ):
        with spoiled(change):
            read_shards([path])


def test_every_truncation_and_every_flipped_block_is_an_error_or_harmless(tmp_path, structures):
    path = tmp_path / "000.h5"
    write_shard(path, structures, GraphSettings(), 3)
    good, whole = read_shards([path]), path.read_bytes()
    random = np.random.default_rng(0)
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DefectpoolError, match=r"000\.h5"):
            read_shards([path])
    for start in random.integers(0, len(whole) - 64, 150):
        damaged = bytearray(whole)
        damaged[start : start + 64] = random.bytes(64)
        path.write_bytes(damaged)
        try:
            read = read_shards([path])
        except DefectpoolError as error:
            assert "000.h5" in str(error)
        else:
            assert_equal(read, good)


def test_shards_of_other_settings_do_not_mix(tmp_path, structures):
    first, second = tmp_path / "000.h5", tmp_path / "001.h5"
    write_shard(first, structures, GraphSettings(), 3)
    for settings, rounds in ((GraphSettings(radius=7.0), 3), (GraphSettings(), 4)):
        write_shard(second, structures, settings, rounds)
        with pytest.raises(DefectpoolError, match=r"001\.h5 was made with other graph settings"):
            read_shards([first, second])


def test_as_a_torch_geometric_object(structures):
    pytest.importorskip("torch_geometric")
    full = graph_set(structures, GraphSettings(compression=False), 3)
    data = to_data(full, 0)
    data.validate()
    assert data.x.shape == (len(structures[0].atoms), 92)
    assert np.allclose(data.pos.numpy(), structures[0].atoms.positions, atol=1e-5)
    assert data.y.item() == 1
    small = to_data(graph_set(structures, GraphSettings(), 3), 1)
    assert small.node_multiplicity.sum() == len(structures[1].atoms)
    times = small.edge_multiplicity * small.node_multiplicity[small.edge_index[1]]
    assert times.sum() == full.edge_offset[2] - full.edge_offset[1]


def test_all_neighbors_within_the_radius(tmp_path, structures):
    settings = GraphSettings(radius=4.0, max_neighbors=None)
    write_shard(tmp_path / "000.h5", structures, settings, 3)
    read = read_shards([tmp_path / "000.h5"])
    assert_equal(read, graph_set(structures, settings, 3))
    assert read.settings["max_neighbors"] is None
    few = graph_set(structures, GraphSettings(radius=4.0, max_neighbors=3), 3)
    assert few.edge_multiplicity.sum() < read.edge_multiplicity.sum()
