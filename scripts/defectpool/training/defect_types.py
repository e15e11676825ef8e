"""One network for all defects, which says which one it is.

Trunk and pooling are those of the table's networks; the head has an output for each kind, pristine
being one, and the loss is the cross entropy. Always tested on unseen formulas.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from defectpool.batching.cpu_dataset import Dataset
from defectpool.batching.gpu_dataset import Resident, dataset_on
from defectpool.config import NetworkSettings, TrainingSettings
from defectpool.network.cgcnn import CrystalGraphNetwork, initial_network
from defectpool.runtime.hashing import seed as seed_of
from defectpool.structures.labels import defect_type_of
from defectpool.training import device as devices
from defectpool.training.optimization import (
    batches_of,
    in_order,
    optimizer_of,
    steps_of,
    tested,
    validation_score,
)
from defectpool.training.splits import assign_folds
from defectpool.training.stepper import predict

if TYPE_CHECKING:
    from defectpool.graphs.hdf5 import GraphSet


def kinds_of(graphs: GraphSet) -> NDArray[np.str_]:
    """Kind of each graph, [G]."""
    rows = zip(graphs.name, graphs.formula, graphs.label, strict=True)
    return np.array(
        [defect_type_of(str(name), str(formula), int(label)) for name, formula, label in rows]
    )


def cross_validate(
    graphs: GraphSet,
    kinds: Sequence[str],
    pooling: str,
    convolution: str,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    threads: int = 1,
) -> pd.DataFrame:
    """Train and test on all folds of formulas.

    Parameters
    ----------
    graphs
        Crystal graphs of all kinds of defects and their pristine supercells.
    kinds
        The kinds in the order of the outputs.
    pooling, convolution, network, training
        As for the table; the epoch is the one best on the validation formulas.
    threads
        Threads of torch.

    Returns
    -------
    DataFrame
        One row a repeat and structure, made when it was in the test fold: structure, host,
        formula, pair, name, repeat, fold, kind, predicted.
    """
    torch.set_num_threads(threads)
    device = devices.choose(training.device)
    dataset = dataset_on(device, graphs, network.convolutions, network.gaussians)
    names = kinds_of(graphs)
    target = torch.tensor([list(kinds).index(str(name)) for name in names], device=device)
    tables = []
    for repeat in range(training.repeats):
        split = assign_folds("formula", graphs, training.folds, seed_of(training.seed, repeat))
        for fold in range(training.folds):
            train, validation, test = split.rows(
                fold, training.validation, seed_of(training.seed, repeat, fold)
            )
            started = time.monotonic()
            model = _network(
                graphs, len(kinds), pooling, convolution, network, training, repeat, fold
            )
            found, epoch = _fit(
                model.to(device), dataset, target, train, validation, test, training,
                (repeat, fold),
            )  # fmt: skip
            right = float((found == target[test]).float().mean())
            print(
                f"repeat {repeat + 1}/{training.repeats}, fold {fold + 1}/{training.folds}: epoch "
                f"{epoch}, test accuracy {right:.3f}, {time.monotonic() - started:.0f} s",
                flush=True,
            )
            predicted = np.array(kinds)[found.cpu().numpy()]
            tables.append(
                tested(
                    graphs, test, repeat=repeat, fold=fold, kind=names[test], predicted=predicted
                )
            )
    return in_order(tables)


def _network(
    graphs: GraphSet, outputs: int, pooling: str, convolution: str, network: NetworkSettings,
    training: TrainingSettings, repeat: int, fold: int,
) -> CrystalGraphNetwork:  # fmt: skip
    """Network of the table with another head."""
    drawn = seed_of(training.seed, "weights", repeat, fold)
    radius = float(graphs.settings["radius"])
    model = initial_network(pooling, convolution, network, radius, drawn)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(drawn)
        model.fc_out = nn.Linear(network.hidden, outputs)
    return model


def _fit(
    model: CrystalGraphNetwork, dataset: Dataset | Resident, target: torch.Tensor,
    train: NDArray[np.int64], validation: NDArray[np.int64], test: NDArray[np.int64],
    training: TrainingSettings, place: tuple[int, int],
) -> tuple[torch.Tensor, int]:  # fmt: skip
    """Return the kinds predicted for the test rows at the chosen epoch, and that epoch."""
    optimizer, schedule = optimizer_of(model, training, steps_of(train, training))
    best, found, chosen = -1.0, torch.empty(0), 0
    accuracies: list[float] = []
    for epoch in range(training.epochs):
        model.train()
        for rows in batches_of(train, training, *place, epoch):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(dataset.batch(rows)), target[rows]).backward()
            optimizer.step()
            schedule.step()
        watched = predict(model, dataset, np.concatenate([validation, test])).argmax(1)
        accuracies.append(float((watched[: len(validation)] == target[validation]).float().mean()))
        score = validation_score(accuracies, training)
        if score is not None and score >= best:
            best, found, chosen = score, watched[len(validation) :], epoch + 1
    return found, chosen
