"""Model files: the trained networks of a run, all folds and repeats.

A campaign writes `model.pt`. The same as `.safetensors` is what is passed on: the format is read by
other programs, too, and holds nothing but numbers and a text that describes them.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

from defectpool.config import GraphSettings, NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.initial import network_named
from defectpool.network.site_network import SiteNetwork
from defectpool.runtime.atomic_write import write_bytes
from defectpool.runtime.disk import reading_error

FORMAT = "defectpool model 2"
SAFETENSORS = ".safetensors"
# Key of the metadata of a safetensors file under which everything but the weights stands, as JSON.
DESCRIPTION = "defectpool"


def write_models(path: Path, model: dict[str, Any]) -> None:
    """Write a model file whole or not at all.

    Parameters
    ----------
    path
        File to write; as safetensors if its name ends so.
    model
        pooling, convolution, network (settings), n_outputs, graph (settings), and models: repeat,
        fold, epoch and weights of each network, and its temperature if it is calibrated.
    """
    content = {"format": FORMAT, **model}
    if path.suffix == SAFETENSORS:
        write_bytes(path, _to_safetensors(content))
        return
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load_models(path: str | Path) -> list[tuple[int, int, CrystalGraphNetwork]]:
    """Trained networks of a `model.pt` or a `.safetensors` file.

    Parameters
    ----------
    path
        A model file. Nothing in it is executed.

    Returns
    -------
    list
        (repeat, fold, network in evaluation mode), one for each trained network.

    Raises
    ------
    DefectpoolError
        The file is missing, damaged, or not a model file of this version.
    """
    content = _read(Path(path))
    try:
        return [(one["repeat"], one["fold"], _network(content, one)) for one in content["models"]]
    except DefectpoolError as error:  # of a pooling or convolution in a file
        raise DefectpoolError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise _refused(path, "its content does not fit together") from None


def graph_settings(path: str | Path) -> GraphSettings:
    """Settings of the graphs that the networks of a model file were trained on.

    Raises
    ------
    DefectpoolError
        As `load_models`.
    """
    content = _read(Path(path))
    try:
        graph = content["graph"]
        return GraphSettings(**{name: graph[name] for name in GraphSettings.model_fields})
    except (KeyError, TypeError, ValueError):
        raise _refused(path, "its content does not fit together") from None


def read_model(path: str | Path) -> dict[str, Any]:
    """Content of a model file, as `write_models` takes it.

    Raises
    ------
    DefectpoolError
        As `load_models`.
    """
    content = _read(Path(path))
    return {key: value for key, value in content.items() if key != "format"}


def _to_safetensors(content: dict[str, Any]) -> bytes:
    """Weights as tensors `number.name`, all else as JSON in the metadata."""
    from safetensors.torch import save

    models = content["models"]
    tensors = {
        f"{number}.{name}": tensor.contiguous()
        for number, one in enumerate(models)
        for name, tensor in one["weights"].items()
    }
    notes = [{key: one[key] for key in one if key != "weights"} for one in models]
    return save(tensors, {DESCRIPTION: json.dumps(content | {"models": notes}, sort_keys=True)})


def _from_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        content: dict[str, Any] = json.loads(file.metadata()[DESCRIPTION])
        for one in content["models"]:
            one["weights"] = {}
        for key in file.keys():  # noqa: SIM118 (it is not a mapping)
            number, _, name = key.partition(".")
            content["models"][int(number)]["weights"][name] = file.get_tensor(key)
    return content


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DefectpoolError(f"{path}: there is no such model file")
    try:
        content = (
            _from_safetensors(path)
            if path.suffix == SAFETENSORS
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except Exception as error:  # a damaged file or a malicious pickle raises what comes
        raise reading_error(error, path) or _refused(
            path, "it is damaged, or not a file of weights alone"
        ) from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        what = f"its format is {found!r}" if found else "it has no format"
        raise _refused(path, f"{what}, this version reads {FORMAT!r}")
    return content


def _network(content: dict[str, Any], one: dict[str, Any]) -> CrystalGraphNetwork:
    network = network_named(
        content["pooling"],
        content["convolution"],
        NetworkSettings(**content["network"]),
        content["graph"]["radius"],
        content["n_outputs"],
    )
    network.load_state_dict(one["weights"])
    if isinstance(network, SiteNetwork):
        network.temperature = float(one.get("temperature", 1.0))
    return network.eval()


def _refused(path: str | Path, reason: str) -> DefectpoolError:
    return DefectpoolError(
        f"{path} cannot be used as a model ({reason}); delete it and run again, or give a "
        "model.pt or .safetensors that this version trained"
    )
