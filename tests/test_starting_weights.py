import hashlib
from pathlib import Path

import pytest

from crreid.errors import InputError
from crreid.models.weights import StartingWeights


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
