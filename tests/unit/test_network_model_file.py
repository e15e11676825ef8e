"""Model files: what is written is read, and a damaged or hostile file is one line."""

import io
import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch

from defectpool.config import NetworkSettings
from defectpool.errors import DefectpoolError
from defectpool.network.cgcnn import CrystalGraphNetwork
from defectpool.network.model_file import FORMAT, load_models, read_model, write_models

SIZE = NetworkSettings(width=8, hidden=8, n_convolutions=1, gaussians=4)
OTHER = SIZE.model_copy(update={"width": 16})


def content(size: NetworkSettings = SIZE, **changes: object) -> dict:
    network = CrystalGraphNetwork("max", "gated", size, 8.0, 1)
    models = [{"repeat": 0, "fold": 0, "epoch": 1, "weights": network.state_dict()}]
    known = {"pooling": "max", "convolution": "gated", "network": SIZE.model_dump()}
    return known | {"n_outputs": 1, "graph": {"radius": 8.0}, "models": models} | changes


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Attack:
    """An object whose pickle runs a command when it is read."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


GOOD = saved({"format": FORMAT, **content()})
FILES = {
    "empty": b"",
    "text": b"not a model\n",
    "cut": GOOD[: len(GOOD) // 2],
    "zeros": bytes(1000),
    "list": saved([1, 2, 3]),
    "tensor": saved(torch.zeros(3)),
    "another format": saved({"format": "defectpool model 1", **content()}),
    "no format": saved(content()),
    "format is a list": saved({"format": [FORMAT], **content()}),
    "without models": saved({"format": FORMAT, **content(models=None)}),
    "models is a number": saved({"format": FORMAT, **content(models=3)}),
    "models are numbers": saved({"format": FORMAT, **content(models=[3])}),
    "models missing": saved({"format": FORMAT, "pooling": "max"}),
    "another width": saved({"format": FORMAT, **content(OTHER)}),
    "an impossible width": saved(
        {"format": FORMAT, **content(network=SIZE.model_dump() | {"width": -5})}
    ),
    "unknown key of the network": saved(
        {"format": FORMAT, **content(network=SIZE.model_dump() | {"depth": 5})}
    ),
    "unknown pooling": saved({"format": FORMAT, **content(pooling="median")}),
    "no radius": saved({"format": FORMAT, **content(graph={})}),
    "weights are text": saved(
        {"format": FORMAT, **content(models=[{"repeat": 0, "fold": 0, "weights": "w"}])}
    ),
    "pickle": pickle.dumps(Attack()),
    "pickle in torch's zip": zipped("archive/data.pkl", pickle.dumps({"format": Attack()})),
    "object": saved({"format": FORMAT, "models": Attack()}),
}


def test_what_is_written_is_read(tmp_path):
    write_models(tmp_path / "model.pt", content())
    [(repeat, fold, network)] = load_models(tmp_path / "model.pt")
    assert (repeat, fold, network.training) == (0, 0, False)
    for name, weights in content()["models"][0]["weights"].items():
        assert network.state_dict()[name].shape == weights.shape


def test_safetensors_hold_the_same(tmp_path):
    write_models(tmp_path / "model.pt", content())
    write_models(tmp_path / "model.safetensors", read_model(tmp_path / "model.pt"))
    [(repeat, fold, network)] = load_models(tmp_path / "model.safetensors")
    [(_, _, original)] = load_models(tmp_path / "model.pt")
    assert (repeat, fold, network.training) == (0, 0, False)
    for name, weights in original.state_dict().items():
        assert torch.equal(network.state_dict()[name], weights)
    again = tmp_path / "again.safetensors"
    write_models(again, read_model(tmp_path / "model.safetensors"))
    assert again.read_bytes() == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "zeros", "no description"])
def test_damaged_safetensors_are_one_line(tmp_path, damage):
    from safetensors.torch import save

    path = tmp_path / "model.safetensors"
    write_models(path, content())
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "text": b"not a model\n",
            "cut": whole[: len(whole) // 2],
            "zeros": bytes(1000),
            "no description": save({"0.bias": torch.zeros(3)}),
        }[damage]
    )
    with pytest.raises(DefectpoolError, match="cannot be used as a model") as caught:
        load_models(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_or_hostile_file_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path("model.pt")
    path.write_bytes(FILES[name])
    with pytest.raises(DefectpoolError) as caught:
        load_models(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("model.pt")
    assert not re.search(r"weights_only|pydantic|Traceback|Input should|size mismatch", message)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DefectpoolError, match="there is no such model file"):
        load_models(tmp_path / "model.pt")
    with pytest.raises(DefectpoolError, match="there is no such model file"):
        load_models(tmp_path)
