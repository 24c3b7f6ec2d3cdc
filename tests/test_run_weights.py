from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from workspaces import open_workspace

from crreid import runs
from crreid.errors import InputError
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.osnet import OSNetSettings
from crreid.models.vdsr import VDSR, VDSRSettings
from crreid.models.weights import StartingWeights, digest_of_file, packaged_file, read_weights, save_weights
from crreid.profiles import profile_settings
from crreid.rows import teacher_run
from crreid.runs import Run, find_record, measure

RUN = teacher_run(profile_settings("smoke", "mlr-synthetic"))


def named(*files: Path) -> tuple[tuple[str, Path], ...]:
    return tuple((f"file {digest_of_file(file)}", file) for file in files)


class Started(Exception):
    """The training would start now."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The methods whose training was about to start; it never does."""
    methods: list[Any] = []

    def train(method: Any, *arguments: Any, **options: Any) -> None:
        methods.append(method)
        raise Started

    monkeypatch.setattr(runs, "train", train)
    return methods


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file of backbone weights, and what is in it."""
    torch.manual_seed(77)
    module = RUN.method.build(2).network.backbone
    file = tmp_path_factory.mktemp("weights") / "backbone.safetensors"
    save_weights(module, file)
    return file, module.state_dict()


def test_a_run_starts_from_the_file_that_it_names(tmp_path, pixels, started, backbone):
    file, tensors = backbone
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"weights of something else")
    run = replace(RUN, weights=f"file {digest_of_file(file)}")
    with pytest.raises(Started):
        measure(run, open_workspace(tmp_path, pixels, weights_files=named(other, file)))
    found = started[0].network.backbone.state_dict()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_run_finds_packaged_weights_wherever_it_is_started(tmp_path, pixels, started, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method = RestoreAndIdentifySettings(network=OSNetSettings())
    run = replace(RUN, method=method, weights=StartingWeights.parse("packaged").of(method.backbone_name))
    with pytest.raises(Started):
        measure(run, open_workspace(tmp_path, pixels))
    found = started[0].network.backbone.state_dict()
    packaged = read_weights(packaged_file("osnet_x0_25"))
    assert all(torch.equal(found[name], tensor) for name, tensor in packaged.items())


def test_a_run_refuses_another_file_than_it_names(tmp_path, pixels, started, backbone):
    file, _ = backbone
    other = tmp_path / "other.safetensors"
    other.write_bytes(file.read_bytes() + b" ")
    run = replace(RUN, weights=f"file {digest_of_file(file)}")
    workspace = open_workspace(tmp_path, pixels)
    for given, shown in (((other,), "/other.safetensors$"), ((), "no file$")):
        with pytest.raises(InputError, match=f"needs weights with sha256 {digest_of_file(file)}; got .*{shown}"):
            measure(run, replace(workspace, weights_files=named(*given)))
    assert started == []


def test_weights_of_another_architecture_are_refused(tmp_path: Path, pixels: Path, started: list[Any]) -> None:
    torch.manual_seed(0)
    file = tmp_path / "vdsr.safetensors"
    save_weights(VDSR(VDSRSettings(depth=4, width=4)), file)
    run = replace(RUN, weights=f"file {digest_of_file(file)}")
    workspace = open_workspace(tmp_path, pixels, weights_files=named(file))
    with pytest.raises(InputError, match=r"^vdsr\.safetensors: weights of another architecture; of the \d+ tensors"):
        measure(run, workspace)
    assert started == []
    assert find_record(run, workspace) is None
    assert not workspace.folder(run).exists()


def test_the_record_says_which_weights_were_loaded_and_not_where_they_lay(tmp_path, pixels, backbone):
    file, tensors = backbone
    run = replace(RUN, weights=f"file {digest_of_file(file)}", schedule=replace(RUN.schedule, epochs=0))
    workspace = open_workspace(tmp_path, pixels, weights_files=named(file))
    record = measure(run, workspace)
    assert record.provenance["start"] == f"backbone.safetensors: {len(tensors)} tensors loaded"
    assert str(file.parent) not in workspace.record_file(run).read_text()
    # another test of these weights does not need the file any more and says the same
    again = measure(
        replace(run, evaluation=replace(run.evaluation, flip=False, draws=3)), replace(workspace, weights_files=())
    )
    assert again.provenance["start"] == record.provenance["start"]


def test_a_run_starts_from_timms_weights_by_the_backbones_name(tmp_path, pixels, started, backbone, monkeypatch):
    asked = []

    def load(name: str) -> dict[str, torch.Tensor]:
        asked.append(name)
        return backbone[1]

    monkeypatch.setattr(runs, "load_timm_backbone", load)
    with pytest.raises(Started):
        measure(replace(RUN, weights="timm"), open_workspace(tmp_path, pixels))
    assert asked == ["hrnet_w18_small"]
    found = started[0].network.backbone.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in backbone[1].items())


@pytest.fixture
def alexnet(tmp_path: Path) -> Path:
    """The part of an untrained AlexNet that LPIPS needs."""
    torch.manual_seed(0)
    file = tmp_path / "alexnet.safetensors"
    save_weights(torchvision.models.alexnet(weights=None, num_classes=2).features, file)
    return file


def with_lpips(file: Path) -> Run:
    tests = replace(RUN.evaluation, restoration_rates=(2.0,), perceptual_weights=f"file {digest_of_file(file)}")
    return replace(RUN, schedule=replace(RUN.schedule, epochs=1), evaluation=tests)


def test_lpips_is_measured_by_the_weights_that_the_test_names(tmp_path: Path, pixels: Path, alexnet: Path) -> None:
    record = measure(with_lpips(alexnet), open_workspace(tmp_path, pixels, weights_files=named(alexnet)))
    found = record.restoration
    assert found["measure"].tolist() == ["psnr", "ssim", "l1", "lpips"]
    assert found["value"].tolist() == found["input"].tolist()  # a teacher restores nothing
    assert (found["value"] > 0).all()
    assert record.settings["evaluation"]["perceptual_weights"] == f"file {digest_of_file(alexnet)}"


def test_missing_weights_for_lpips_are_refused_before_the_training(tmp_path, pixels, started, alexnet):
    with pytest.raises(InputError, match=r"needs weights with sha256 \w+; got no file$"):
        measure(with_lpips(alexnet), open_workspace(tmp_path, pixels))
    assert started == []
