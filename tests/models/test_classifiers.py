from dataclasses import replace

import pytest
import torch
from torch import nn

from crreid.models.common import ClassifierSettings
from crreid.models.pcb import PCB, PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings

POOLED = PooledClassifierSettings(backbone="resnet18", feature_length=16)
STRIPES = PCBSettings(backbone="resnet18", stripes=4, feature_length=8)
SMALL = pytest.mark.parametrize("settings", [POOLED, STRIPES], ids=["pooled", "pcb"])


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "title", "channels"),
    [
        ("resnet50", "ResNet-50", 2048),
        ("seresnet50", "SE-ResNet-50", 2048),
        ("densenet121", "DenseNet-121", 1024),
        ("hrnet_w32", "HRNet-W32-C", 2048),
    ],
)
def test_rows_of_table_1(backbone: str, title: str, channels: int) -> None:
    """ImageNet heads of 1,000 classes have 25.6, 28.1, 8.0 and 41.2 million parameters in timm; ours ends otherwise."""
    settings = PooledClassifierSettings(backbone=backbone)
    with torch.device("meta"):
        network = settings.build(751)
    assert settings.title == title
    assert network.reduction.in_features == channels
    bodies = {"resnet50": 23_508_032, "seresnet50": 26_039_024, "densenet121": 6_953_856, "hrnet_w32": 39_183_680}
    assert parameters(network.backbone) == pytest.approx(bodies[backbone], rel=0.002)
    head = channels * 512 + 512 + 2 * 512 + 512 * 751 + 751
    assert parameters(network) == parameters(network.backbone) + head


@pytest.mark.parametrize(
    "settings", [PooledClassifierSettings(backbone="seresnet18"), PCBSettings(backbone="resnet18")]
)
def test_options_make_another_network_of_the_backbone(settings: ClassifierSettings) -> None:
    narrow = replace(settings, backbone_options=(("layers", (1, 1, 1, 1)), ("channels", (8, 8, 16, 24))))
    network = narrow.build(5)
    assert network.backbone.num_features == 24
    assert [len(getattr(network.backbone, f"layer{stage}")) for stage in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert any("se." in name for name, _ in network.named_modules()) == ("se" in settings.backbone)
    assert len(network(torch.randn(2, 3, 256, 128)).logits[0]) == 2
    assert PooledClassifierSettings(backbone_options=narrow.backbone_options).title == "small ResNet-50"
    hrnet = PooledClassifierSettings(backbone="hrnet_w18_small", backbone_options=(("width", 16), ("blocks", 1)))
    assert hrnet.title == "small HRNet-W16-C"


def test_pcb_keeps_the_last_stage_at_a_sixteenth_and_cuts_it_into_stripes() -> None:
    torch.manual_seed(0)
    network = PCB(STRIPES, 5).eval()
    with torch.inference_mode():
        images = torch.randn(1, 3, 128, 64)
        maps = network.backbone(images)
        assert maps.shape == (1, 512, 8, 4)
        by_hand = [maps[0, :, 2 * stripe : 2 * stripe + 2].mean(dim=(1, 2)) for stripe in range(4)]
        expected = torch.stack([part / part.norm() for part in by_hand], dim=1).flatten()
        torch.testing.assert_close(network.embed(images)[0], expected)


def test_pcb_of_the_paper_has_12288_numbers() -> None:
    with torch.device("meta"):
        network = PCB(PCBSettings(), 751)
    assert network.backbone.num_features * PCBSettings().stripes == 12_288
    assert parameters(network) == 23_508_032 + 6 * (2048 * 256 + 256 + 2 * 256 + 256 * 751 + 751)
