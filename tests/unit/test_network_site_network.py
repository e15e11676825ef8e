"""Network with a class for every site, and the convolution with a smooth cutoff."""

from itertools import product

import numpy as np
import pytest
import torch
from crystal_examples import campaign, graphs, pair

from defectpool.batching.cpu_dataset import CPUDataset
from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.network.initial import initial_network
from defectpool.network.model_file import load_models, write_models
from defectpool.network.pooling import Sites
from defectpool.network.site_network import SITES, SiteNetwork, defectiveness, prominence
from defectpool.training.cross_validation import Run, cross_validate
from defectpool.training.objective import SiteClasses, objective_of
from defectpool.training.step import predict
from defectpool.training.temperature import WIDEST, fitted_temperature

SMALL = NetworkSettings(width=6, n_convolutions=3, hidden=5, gaussians=9)
PLAIN = SMALL.model_copy(update={"implementation": "plain"})
EXAMPLES = (
    pair(0, "vacancy", 3) + pair(1, "substitution", 2, rattle=0.02) + pair(4, "interstitial", 2)
)


def loss_and_gradients(size, graph_set, merge=None, kind=CPUDataset, convolution="smooth"):
    """Loss of all graphs, and its gradients."""
    network = initial_network(SITES, convolution, size, 6.0, 3).double()
    assert isinstance(network, SiteNetwork)
    data = kind(
        graph_set, size.n_convolutions, size.gaussians, merge=merge, dtype=torch.float64,
        device="cpu",
    )  # fmt: skip
    batch = data.batch(np.arange(len(graph_set))[::-1])
    loss, logits = SiteClasses().loss(network, batch)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {"loss": loss.detach(), "logits": logits.detach(), **gradients}


@pytest.mark.parametrize("convolution", ["smooth", "gated"])
def test_the_same_compressed_or_not_and_plain(convolution):
    compressed, full = graphs(EXAMPLES), graphs(EXAMPLES, compression=False)
    wanted = loss_and_gradients(PLAIN, full, convolution=convolution)
    assert all(gradient is not None for gradient in wanted.values())
    for graph_set, merge, kind in product(
        (compressed, full), (True, False), (CPUDataset, GPUDataset)
    ):
        found = loss_and_gradients(SMALL, graph_set, merge, kind, convolution)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=2e-9, atol=2e-9)


def test_the_crystal_is_as_defective_as_its_most_defective_site():
    network = initial_network(SITES, "smooth", SMALL, 6.0, 3)
    data = CPUDataset(graphs(EXAMPLES), 3, 9)
    batch = data.batch([0, 1, 2])
    of_sites = defectiveness(network.site_logits(Sites(network.rows(batch), batch)))
    wanted = [of_sites[batch.crystal == crystal].max() for crystal in range(3)]
    torch.testing.assert_close(network(batch), torch.stack(wanted))


def test_prominence_is_against_the_other_sites_of_the_crystal():
    network = initial_network(SITES, "smooth", SMALL, 6.0, 3).double()
    for compression in (True, False):
        data = CPUDataset(graphs(EXAMPLES, compression=compression), 3, 9, dtype=torch.float64)
        batch = data.batch([0, 1, 2])
        sites = Sites(network.rows(batch), batch)
        random = np.random.default_rng(0)
        apart = torch.from_numpy(100 * random.normal(size=(len(batch.row), 4)))
        found, hotter = prominence(sites, apart), prominence(sites, 1000 * apart)
        size = apart.norm(dim=1).log()
        for crystal in range(3):
            own = batch.crystal == crystal
            count = batch.multiplicity[own]
            level = (size[own] * count).sum() / count.sum()
            torch.testing.assert_close(found[own, 0], size[own] - level, atol=2e-3, rtol=0)
        # noise that is a thousand times as large changes the level alone
        torch.testing.assert_close(found[:, 0], hotter[:, 0], atol=2e-3, rtol=0)
        torch.testing.assert_close(
            hotter[:, 1] - found[:, 1], torch.full_like(size, np.log(1000)), atol=2e-3, rtol=0
        )


def test_a_neighbor_that_crosses_the_cutoff_changes_nothing():
    network = initial_network(SITES, "smooth", SMALL, 6.0, 3).double()
    one, _ = pair(0, "vacancy", 3)
    third = np.sort(np.unique(one.atoms.get_all_distances(mic=True).round(5)))[3]
    outputs = []
    for radius in (third - 1e-3, third + 1e-3):
        graph_set = graphs([one], radius=radius, max_neighbors=None, compression=False)
        data = CPUDataset(graph_set, 3, 9, dtype=torch.float64)
        outputs.append((len(graph_set.source), float(network(data.batch([0])).detach()[0])))
    (fewer, outside), (edges, inside) = outputs
    assert fewer < edges and abs(inside - outside) < 1e-2 * abs(inside)


def test_learns_where_the_defect_is(tmp_path):
    graph_set = campaign(12, "substitution", max_neighbors=None, radius=4.0)
    training = TrainingSettings(epochs=12, folds=3, batch_size=4, learning_rate=0.01, device="cpu")
    network = NetworkSettings(width=16, n_convolutions=2, hidden=16, gaussians=12)
    run = Run(SITES, "smooth", network, training, objective_of(SITES))
    artifacts = cross_validate(graph_set, run, tmp_path)
    found = artifacts.predictions
    assert ((found["probability"] > 0.5) == (found["label"] == 1)).mean() > 0.9
    # a model file gives the calibrated probabilities of the predictions, and plain ones without
    write_models(tmp_path / "model.pt", artifacts.model)
    data = CPUDataset(graph_set, 2, 12)
    for repeat, fold, network in load_models(tmp_path / "model.pt"):
        assert network.temperature != 1
        tested = found[(found["repeat"] == repeat) & (found["fold"] == fold)]
        index = [list(graph_set.structure).index(name) for name in tested["structure"]]
        logits = predict(network, data, np.array(index)).double()
        np.testing.assert_allclose(logits.sigmoid(), tested["probability"], atol=1e-6)
    for one in artifacts.model["models"]:
        temperature = one.pop("temperature")
        write_models(tmp_path / "old.pt", artifacts.model)
        assert load_models(tmp_path / "old.pt")[one["fold"]][2].temperature == 1
        one["temperature"] = temperature


def test_the_temperature_is_that_of_the_logits():
    random = np.random.default_rng(0)
    true = random.normal(0, 3, 20000)
    label = torch.tensor(random.random(20000) < 1 / (1 + np.exp(-true))).float()
    for factor in (0.5, 1.0, 2.0):
        assert fitted_temperature(torch.tensor(factor * true), label) == pytest.approx(
            factor, rel=0.05
        )
    assert fitted_temperature(torch.tensor([-3.0, 3.0]), torch.tensor([0.0, 1.0])) == pytest.approx(
        1 / WIDEST, rel=0.01
    )
    assert fitted_temperature(torch.tensor([]), torch.tensor([])) == 1
