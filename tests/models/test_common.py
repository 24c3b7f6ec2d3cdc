"""What holds for every model: shapes, gradients, seeds, and one sentence for what does not fit."""

from typing import Any

import pytest
import timm
import torch
from torch import nn

from crreid.errors import InputError
from crreid.models.common import InterpolationSettings
from crreid.models.cross_resolution_encoder import CrossResolutionEncoder, CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.hrnet_reid import HRNetReID, HRNetReIDSettings
from crreid.models.image_decoder import ImageDecoderSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.rcan import RCANSettings
from crreid.models.resolution_masks import ResolutionMasks, ResolutionMaskSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings


def test_interpolation_returns_its_input_and_has_no_weights() -> None:
    module, images = InterpolationSettings().build(), torch.randn(2, 3, 5, 4)
    assert torch.equal(module(images), images)
    assert not list(module.parameters())
    assert InterpolationSettings().title == "Bicubic"
    with pytest.raises(InputError, match=r"filter must be one of nearest, .*, not 'cubic'"):
        InterpolationSettings(filter="cubic")


MODULES = {
    "VDSR-CA": VDSRSettings(depth=4, width=8, attention_channels=2),
    "VDSR": VDSRSettings(depth=3, width=4, attention_channels=None),
    "SRCNN": SRCNNSettings(widths=(4, 2)),
    "SRCNN from the identity": SRCNNSettings(widths=(16, 8), initialisation="identity"),
    "RCAN": RCANSettings(groups=1, blocks=2, width=8, attention_channels=8),
}


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_gets_a_gradient_and_seeds_decide_the_weights(name: str) -> None:
    networks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        networks.append(MODULES[name].build())
    one, same, other = (nn.utils.parameters_to_vector(network.parameters()) for network in networks)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    for size in ((7, 5), (1, 1), (8, 8)):
        restored = networks[0](torch.randn(2, 3, *size))
        assert restored.shape == (2, 3, *size)
    restored.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in networks[0].parameters())


def masked(images: torch.Tensor) -> torch.Tensor:
    backbone = timm.create_model("test_resnet", num_classes=0)
    return ResolutionMasks(ResolutionMaskSettings(), backbone, 4)(backbone, images, torch.zeros(1, dtype=torch.int64))


def models() -> dict[str, Any]:
    return {name: settings.build() for name, settings in MODULES.items()} | {
        "HRNet-ReID": HRNetReID(HRNetReIDSettings(backbone="hrnet_w18_small"), 5),
        "ResNet-18": PooledClassifierSettings(backbone="resnet18").build(5),
        "PCB": PCBSettings(backbone="resnet18").build(5),
        "masked ResNet": masked,
    }


def test_what_are_no_images_is_refused() -> None:
    for name, model in models().items():
        for shape in ((3, 64, 32), (1, 1, 64, 32)):
            with pytest.raises(InputError, match=r"expects images of shape \(N, 3, height, width\), not"):
                model(torch.zeros(shape))
            assert name  # shown where it fails


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (VDSRSettings, {"depth": 1, "width": 0, "attention_channels": 0, "initialisation": "zero"}),
        (SRCNNSettings, {"widths": (0, 2), "initialisation": "zero"}),
        (RCANSettings, dict.fromkeys(("groups", "blocks", "width", "attention_channels", "scale"), 0)),
        (PooledClassifierSettings, {"backbone": "resnot", "feature_length": 0, "dropout": 1.0}),
        (PCBSettings, {"backbone": "resnot", "stripes": 0, "feature_length": 0}),
        (HRNetReIDSettings, {"backbone": "hrnet_w33", "pooling": "median", "maximum_weights": (0.5,), "dropout": -1}),
        (ResolutionMaskSettings, {"initial_deviation": -1}),
        (CrossResolutionEncoderSettings, {"backbone": "resnot"}),
        (ImageDecoderSettings, {"width": 0}),
        (DiscriminatorSettings, {"widths": ()}),
    ],
)
def test_settings_out_of_range_are_named(settings: Any, fields: dict[str, Any]) -> None:
    for field, value in fields.items():
        with pytest.raises(InputError, match=field):
            settings(**{field: value})


def test_networks_that_do_not_suit_are_refused() -> None:
    with pytest.raises(InputError, match="no HRNet of timm"):
        HRNetReIDSettings(backbone="resnet50")
    with pytest.raises(InputError, match="on a ResNet of timm"):
        PCBSettings(backbone="densenet121")
    with pytest.raises(InputError, match="at least 6"):
        SRCNNSettings(widths=(8, 4), initialisation="identity")
    with pytest.raises(InputError, match="'vit_tiny_patch16_224' has no maps at"):
        CrossResolutionEncoder(CrossResolutionEncoderSettings(backbone="vit_tiny_patch16_224"))
    with pytest.raises(InputError, match="'test_resnet' does not take group normalisation"):
        DiscriminatorSettings(image_backbone="test_resnet").build_for_images()
    for settings in (PooledClassifierSettings(backbone="test_resnet"), PCBSettings(backbone="resnet18")):
        with pytest.raises(InputError, match="at least one training identity"):
            settings.build(0)
