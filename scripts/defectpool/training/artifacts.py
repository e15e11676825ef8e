"""What a training leaves: its networks, its history, its predictions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from defectpool.config import NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.runtime import run_record
from defectpool.runtime.atomic_write import replacing

FORMAT = "defectpool model 1"


@dataclass(frozen=True)
class Outcome:
    """What a training gives.

    Attributes
    ----------
    model
        Settings, and the weights of each repeat and fold at its chosen epoch (`load_models`).
    history
        One row an epoch: repeat, fold, epoch, loss, train_accuracy, validation_accuracy,
        test_accuracy, seconds.
    predictions
        One row a repeat and structure, made when it was in the test fold: structure, host,
        formula, pair, name, repeat, fold, label, probability (at the epoch up to which the last
        five were best on the validation formulas), probability_best_epoch (at the epoch that was
        best on the test fold, as the published table chose it).
    audit
        Versions, device, threads, seconds, graphs a second, peak memory.
    """

    model: dict[str, Any]
    history: pd.DataFrame
    predictions: pd.DataFrame
    audit: dict[str, Any]

    def write(self, model: Path, history: Path, predictions: Path, audit: Path) -> None:
        """Write the four files, each whole or not at all."""
        buffer = io.BytesIO()
        torch.save(self.model, buffer)
        with replacing(model) as temporary:
            temporary.write_bytes(buffer.getvalue())
        for path, table in ((history, self.history), (predictions, self.predictions)):
            with replacing(path) as temporary:
                table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
        run_record.write(audit, self.audit)


def load_models(path: Path) -> list[tuple[int, int, CrystalGraphNetwork]]:
    """Read the trained networks of a `model.pt`: (repeat, fold, network), ready to predict."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DefectpoolError(f"{path} is no model that this version reads: {error}") from None
    found = []
    for one in content["models"]:
        network = CrystalGraphNetwork(
            content["pooling"],
            content["convolution"],
            NetworkSettings(**content["network"]),
            content["graph"]["radius"],
        )
        network.load_state_dict(one["weights"])
        found.append((one["repeat"], one["fold"], network.eval()))
    return found
