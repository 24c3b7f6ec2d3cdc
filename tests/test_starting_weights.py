import hashlib
from pathlib import Path

import pytest

from crreid.errors import InputError
from crreid.models.weights import RANDOM_WEIGHTS, StartingWeights, digest_of_file, packaged_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a=b.safetensors"  # a name that could be taken for a backbone and its file
    file.write_bytes(b"weights")
    return file


NAME = f"file {hashlib.sha256(b'weights').hexdigest()}"


@pytest.mark.parametrize("text", ["random", "timm"])
def test_one_start_for_all(text: str) -> None:
    weights = StartingWeights.parse(text)
    assert weights == StartingWeights(default=text)
    assert weights.of("resnet50") == text


def test_packaged_weights_for_the_backbones_that_have_them() -> None:
    packaged = f"file {digest_of_file(packaged_file('osnet_x0_25'))}"
    assert packaged == "file f59f9b2aae02b5f3de8d4ee4dc6c6b3df856824422e371a1909343e3d287a514"
    weights = StartingWeights.parse("packaged")
    assert [weights.of(name) for name in ("osnet_x0_25", "resnet50", "")] == [packaged, "random", "random"]
    assert weights.files == ()
    mixed = StartingWeights.parse("timm, osnet_x0_25=packaged")
    assert [mixed.of(name) for name in ("osnet_x0_25", "resnet50")] == [packaged, "timm"]
    assert StartingWeights.parse("osnet_x0_25=random, packaged").of("osnet_x0_25") == "random"
    assert RANDOM_WEIGHTS.of("osnet_x0_25") == "random"
    with pytest.raises(InputError, match="lpips needs a file"):
        StartingWeights.parse("lpips=packaged")


def test_a_file_for_one_backbone(file: Path) -> None:
    weights = StartingWeights.parse(f"resnet50={file}, densenet121=timm")
    assert [weights.of(name) for name in ("resnet50", "densenet121", "hrnet_w32")] == [NAME, "timm", "random"]
    assert StartingWeights.parse(f"timm, resnet50={file}").of("hrnet_w32") == "timm"


def test_weights_for_lpips_start_no_backbone(file: Path) -> None:
    weights = StartingWeights.parse(f"lpips={file}, resnet50=timm")
    assert weights == StartingWeights(of_backbone=(("resnet50", "timm"),), perceptual=NAME, files=((NAME, file),))
    assert StartingWeights.parse("timm").perceptual == ""
    with pytest.raises(InputError, match="lpips needs a file"):
        StartingWeights.parse("lpips=timm")
    with pytest.raises(InputError, match="lpips twice"):
        StartingWeights.parse(f"lpips={file},lpips={file}")


def test_refuses_missing_files_and_a_backbone_named_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        StartingWeights.parse(f"resnet50={tmp_path / 'none.pth'}")
    with pytest.raises(InputError, match="resnet50 twice"):
        StartingWeights.parse("resnet50=timm,resnet50=random")
