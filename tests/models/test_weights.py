import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from oracles import equal
from torch import nn

from crreid.errors import InputError
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.hrnet_reid import HRNetReID, HRNetReIDSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.vdsr import VDSRSettings
from crreid.models.weights import digest_of_file, fill_module, load_timm_backbone, read_weights, save_weights


class Network(nn.Module):
    """The shape of a re-identification network, small."""

    def __init__(self, identities: int = 3, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, width, 1))
        self.classifier = nn.Linear(width, identities)


def network(seed: int = 0, **shape: int) -> Network:
    torch.manual_seed(seed)
    return Network(**shape)


def same(one: nn.Module, other: nn.Module) -> bool:
    return equal(one.state_dict(), other.state_dict())


def load(module: nn.Module, file: Path, **how: Any) -> str:
    return fill_module(module, read_weights(file), origin=file.name, **how)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    file = tmp_path / "new" / "w.safetensors"
    saved, loaded = network(0), network(1)
    save_weights(saved, file)
    assert load(loaded, file, complete=True) == f"w.safetensors: {len(saved.state_dict())} tensors loaded"
    assert same(saved, loaded)
    assert [path.name for path in file.parent.iterdir()] == ["w.safetensors"]


def test_classifier_of_other_identities_is_left_alone(tmp_path: Path) -> None:
    save_weights(network(0, identities=3), tmp_path / "w.safetensors")
    target = network(1, identities=9)
    report = load(target, tmp_path / "w.safetensors")
    assert report.endswith("; 2 of another shape, left alone (classifier.weight, classifier.bias)")
    assert torch.equal(target.backbone[0].weight, network(0).backbone[0].weight)
    with pytest.raises(InputError, match=r"tensor classifier.weight has shape \(3, 4\); expected shape \(9, 4\)"):
        load(target, tmp_path / "w.safetensors", complete=True)


WRAPPINGS: list[tuple[str, Callable[[dict[str, torch.Tensor]], Any]]] = [
    ("bare", lambda tensors: tensors),
    ("state_dict", lambda tensors: {"state_dict": tensors, "epoch": 3}),
    ("model", lambda tensors: {"model": tensors, "optimizer": {"lr": 0.1}}),
    ("nested", lambda tensors: {"model": {"state_dict": tensors}}),
    ("module.", lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()}),
    ("module.model.", lambda tensors: {"model": {f"module.model.{name}": t for name, t in tensors.items()}}),
]


@pytest.mark.parametrize("wrap", [wrap for _, wrap in WRAPPINGS], ids=[name for name, _ in WRAPPINGS])
def test_pytorch_files_load_however_they_are_wrapped(wrap, tmp_path):
    saved, loaded = network(0), network(1)
    for suffix in (".pth", ".pt", ".bin"):
        torch.save(wrap(dict(saved.state_dict())), tmp_path / f"w{suffix}")
        assert "unused" not in load(loaded, tmp_path / f"w{suffix}", complete=True)
        assert same(saved, loaded)


RESTORING = RestoreAndIdentifySettings(
    network=PooledClassifierSettings(backbone="test_resnet", feature_length=4),
    restoration=VDSRSettings(depth=3, width=2),
)


def test_a_trained_methods_weights_are_a_start_for_other_identities(tmp_path: Path) -> None:
    """Weights that this package wrote: backbones take theirs, and the report says that the rest is not used."""
    torch.manual_seed(0)
    trained, fresh = RESTORING.build(4), RESTORING.build(7)
    save_weights(trained.trained_state(), tmp_path / "w.safetensors")
    for backbone in fresh.backbones():
        report = load(backbone, tmp_path / "w.safetensors")
        assert same(backbone, trained.backbones()[0])
        assert "unused" in report
        assert "missing" not in report


def test_half_precision_and_absent_counters_are_accepted(tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in network(0).state_dict().items() if "num_batches" not in name}
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    target = network(1)
    assert "missing" not in load(target, tmp_path / "w.safetensors", complete=True)
    assert target.backbone[0].weight.dtype == torch.float32
    assert torch.equal(target.backbone[0].weight, network(0).backbone[0].weight.half().float())


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("backbone.0.weight", torch.zeros(4, 3, 5, 5), r"has shape \(4, 3, 5, 5\); expected shape \(4, 3, 3, 3\)"),
        ("backbone.1.running_var", torch.full((4,), torch.nan), "holds values that are not finite"),
        ("module.classifier.bias", torch.zeros(3), r"two tensors claim the name classifier\.bias"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_and_change_nothing(name: str, tensor: torch.Tensor, message: str) -> None:
    target = network(1)
    with pytest.raises(InputError, match=message):
        fill_module(target, network(0).state_dict() | {name: tensor}, origin="made up")
    assert same(target, network(1))


def torch_bytes(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.pth", None, "no such file"),
        ("empty.pth", b"", "not readable as weights"),
        ("empty.safetensors", b"", "not readable as weights"),
        ("text.pt", b"hello", "not readable as weights"),
        ("text.safetensors", b"hello, this is text", "not readable as weights"),
        ("weights.onnx", b"hello", "unknown kind of weights '.onnx'"),
        ("pickle.pth", pickle.dumps(os.getcwd, protocol=2), "not readable as weights"),
        ("cut.pth", torch_bytes(network().state_dict())[:-50], "not readable as weights"),
        ("cut.safetensors", safetensors.torch.save(network().state_dict())[:-50], "not readable as weights"),
        ("nameless.pth", torch_bytes({"epoch": 3}), "holds no named tensors"),
        ("list.pth", torch_bytes([1, 2]), "holds no named tensors"),
    ],
)
def test_unreadable_files_are_named(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_weights(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    """Writes a file when unpickled without care."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="not readable as weights"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


def test_weights_of_the_imagenet_classifier_fill_an_hrnet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = timm.create_model("hrnet_w18_small", pretrained=False)
    torch.save(classifier.state_dict(), tmp_path / "w.pth")
    model = HRNetReID(HRNetReIDSettings(backbone="hrnet_w18_small"), 5)
    report = load(model.backbone, tmp_path / "w.pth", complete=True)
    assert "unused (downsamp_modules.0.0.weight, " in report
    expected = classifier.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.backbone.state_dict().items())


def test_timm_weights_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def create(name: str, **keywords: object) -> nn.Module:
        asked.append((name, keywords))
        return network(0).backbone

    monkeypatch.setattr(timm, "create_model", create)
    target = network(1).backbone
    report = fill_module(target, load_timm_backbone("hrnet_w32.ms_in1k"), origin="hrnet_w32.ms_in1k", complete=True)
    assert asked == [("hrnet_w32.ms_in1k", {"pretrained": True, "features_only": True})]
    assert same(target, network(0).backbone)
    assert report == "hrnet_w32.ms_in1k: 9 tensors loaded"


def test_timm_weights_without_a_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **keywords: object) -> nn.Module:
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(InputError, match=r"hrnet_w32: pretrained weights cannot be fetched .* local file"):
        load_timm_backbone("hrnet_w32")
    with pytest.raises(InputError, match="hrnet_w33: timm has no such model"):
        load_timm_backbone("hrnet_w33")


def test_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest_of_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="cannot be read"):
        digest_of_file(tmp_path / "absent")
