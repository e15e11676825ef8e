"""Padded batches against plain ones; captured steps on a GPU, and what happens without one."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch
from crystal_examples import campaign, graphs, pair

from defectpool.batching.gpu_dataset import GPUDataset
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.network.initial import initial_network
from defectpool.network.pooling import POOLINGS
from defectpool.training import cross_validation
from defectpool.training.cross_validation import Run
from defectpool.training.cuda_graphs import CapturedSteps, CaptureError
from defectpool.training.objective import Binary
from defectpool.training.step import add_gradients, train_step
from defectpool.training.stepper import Limits, Stepper

SMALL = NetworkSettings(width=6, n_convolutions=3, hidden=5, gaussians=9)
EXAMPLES = [
    one
    for number, (defect, size) in enumerate(
        [("vacancy", 3), ("substitution", 1), ("interstitial", 2), ("vacancy", 2)]
    )
    for one in pair(number, defect, size, rattle=0.02 * (number == 3))
]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def make(pooling="max", convolution="gated"):
    return initial_network(pooling, convolution, SMALL, 6.0, 3)


def resident(graph_set, device="cpu", dtype=torch.float64):
    return GPUDataset(graph_set, SMALL.n_convolutions, SMALL.gaussians, device=device, dtype=dtype)


def left_by(network, batch, size):
    """Loss, correct graphs, gradients and running statistics after a step."""
    loss, n_correct = add_gradients(network, batch, size, Binary())
    gradients = {name: p.grad for name, p in network.named_parameters()}
    return {"loss": loss, "n_correct": n_correct} | gradients | dict(network.named_buffers())


@pytest.mark.parametrize("compression", [True, False])
@pytest.mark.parametrize("convolution", ["gated", "summed"])
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_padding_changes_nothing(pooling, convolution, compression):
    source = resident(graphs(EXAMPLES, compression=compression))
    random = np.random.default_rng(0)
    for size in (1, 3, len(source)):
        rows = random.permutation(len(source))[:size]
        one, two = (make(pooling, convolution).double().train() for _ in range(2))
        padded = source.padded(source.send(rows), source.padded_sizes(size))
        wanted, found = left_by(one, source.batch(rows), size), left_by(two, padded, size)
        for name, tensor in wanted.items():
            torch.testing.assert_close(
                found[name], tensor, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
            )


def shapes(thing):
    """Shapes of all tensors in nested dataclasses, and whole numbers."""
    if isinstance(thing, torch.Tensor):
        return tuple(thing.shape)
    if is_dataclass(thing):
        return [shapes(getattr(thing, field.name)) for field in fields(thing)]
    return [shapes(one) for one in thing] if isinstance(thing, tuple) else thing


def test_padded_batches_have_one_size():
    source = resident(graphs(EXAMPLES))
    sizes = source.padded_sizes(3)
    found = [
        shapes(source.padded(source.send(np.array(rows)), sizes))
        for rows in ([0, 1, 2], [7, 3, 5], [2, 4, 0])
    ]
    assert found[0] == found[1] == found[2]
    plain = [shapes(source.batch(rows)) for rows in ([0, 1, 2], [7, 3, 5])]
    assert plain[0] != plain[1]


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_a_padded_step_asks_the_device_for_nothing(pooling):
    source = resident(graphs(EXAMPLES), device="meta")
    network = make(pooling).double().to("meta").train()
    batch = source.padded(source.send(np.arange(3)), source.padded_sizes(3))
    loss, n_correct = add_gradients(network, batch, 3, Binary())
    assert loss.device.type == n_correct.device.type == "meta"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_steps_that_cannot_be_captured_are_taken_one_by_one():
    networks, said = [make(), make()], []
    source, indices = resident(campaign(8), dtype=torch.float32), np.arange(6)
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.1) for network in networks]
    limits = Limits(cuda_graphs=True)
    one = Stepper(networks[0], optimizers[0], source, Binary(), limits, said.append)
    one.on_cpu = False  # as on a GPU
    with pytest.raises(CaptureError, match="CUDA"):
        one.captured(indices)
    found = one.step(indices), train_step(networks[1], optimizers[1], source, indices)
    assert one.captured is None and limits.cuda_graphs is False
    assert "steps are not captured" in said[0]
    torch.testing.assert_close(*found)
    torch.testing.assert_close(networks[0].state_dict(), networks[1].state_dict())


@gpu
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_captured_steps_are_the_plain_ones(pooling):
    source = resident(graphs(EXAMPLES), device="cuda")
    networks = [make(pooling).double().cuda() for _ in range(2)]
    optimizers = [torch.optim.AdamW(network.parameters(), fused=True) for network in networks]
    captured, random = CapturedSteps(networks[0], source, Binary()), np.random.default_rng(0)
    for step in range(20):
        rows = random.permutation(len(source))[: 5 + step % 2]
        found = captured(rows)
        optimizers[0].step()
        torch.testing.assert_close(found, train_step(networks[1], optimizers[1], source, rows))
    for one, two in zip(*(network.state_dict().values() for network in networks), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)


@gpu
def test_a_training_on_a_gpu_captures_its_steps(tmp_path):
    training = TrainingSettings(epochs=2, folds=2, batch_size=8, device="cuda")
    run = Run("max", "gated", SMALL, training)
    artifacts = cross_validation.cross_validate(campaign(8), run, tmp_path)
    assert artifacts.audit["cuda_graphs"] is True
