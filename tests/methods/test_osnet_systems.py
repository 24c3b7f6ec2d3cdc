"""Every system with OSNet as its network."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from crreid.data.pairs import PairBatch
from crreid.methods.cad_net import CADNetSettings, cad_net_plus_plus_settings, rain_settings
from crreid.methods.lrar import LRARSettings
from crreid.methods.method import MethodSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.cross_resolution_encoder import (
    REDUCTIONS,
    CrossResolutionEncoder,
    CrossResolutionEncoderSettings,
)
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.image_decoder import ImageDecoderSettings
from crreid.models.osnet import OSNet, OSNetSettings
from crreid.models.resolution_masks import ResolutionMasks, ResolutionMaskSettings
from crreid.models.vdsr import VDSRSettings
from crreid.models.weights import fill_module, packaged_file, read_weights
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

TINY: dict[str, Any] = {
    "encoder": CrossResolutionEncoderSettings(backbone="osnet_x0_25"),
    "decoder": ImageDecoderSettings(width=2),
    "discriminators": DiscriminatorSettings(widths=(4, 4, 4, 4), image_backbone=None),
}
SYSTEMS: dict[str, MethodSettings] = {
    "OSNet x0.25": RestoreAndIdentifySettings(network=OSNetSettings()),
    "VDSR-CA + OSNet x0.25": RestoreAndIdentifySettings(
        network=OSNetSettings(), restoration=VDSRSettings(depth=3, width=2)
    ),
    "Baseline": LRARSettings(
        network=OSNetSettings(), varying_length=False, masks=None, verification_weight=0.0, progressive=False
    ),
    "LRAR": LRARSettings(network=OSNetSettings()),
    "CAD-Net": CADNetSettings(**TINY),
    "RAIN": replace(rain_settings(), **TINY),
    "CAD-Net++": replace(cad_net_plus_plus_settings(), **TINY),
}


@pytest.mark.parametrize("title", SYSTEMS)
def test_starts_from_packaged_weights_and_learns(title: str, batch: PairBatch) -> None:
    settings, tensors = SYSTEMS[title], read_weights(packaged_file("osnet_x0_25"))
    assert settings.title == title
    assert settings.backbone_name == "osnet_x0_25"
    torch.manual_seed(0)
    method = settings.build(3)
    for backbone in method.backbones():
        report = fill_module(backbone, tensors, origin="packaged")
        assert "missing" not in report
        assert report.startswith("packaged: 485 tensors loaded")
    step = TrainingStep(method.train(), Schedule(precision="fp32"), torch.device("cpu"))
    step.set_learning_rate(0.01)
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    losses = step(batch)
    assert losses.isfinite().all()
    assert len(losses) == len(step.names) > 0
    after = dict(method.named_parameters())
    assert all(parameter.isfinite().all() for parameter in after.values())
    assert sum(not torch.equal(after[name], before[name]) for name in before) > 0.9 * len(before)
    with torch.inference_mode():
        descriptors = method.eval().embed(batch.low, batch.rates)
    assert descriptors.shape == (6, {"CAD-Net": 1024, "CAD-Net++": 1024}.get(title, 512))
    assert descriptors.isfinite().all()


def test_the_encoders_maps_halve_and_keep_the_networks_average() -> None:
    torch.manual_seed(0)
    encoder = CrossResolutionEncoder(TINY["encoder"]).eval()
    images = torch.randn(2, 3, 128, 64)
    with torch.inference_mode():
        maps = encoder(images)
        torch.testing.assert_close(encoder.described(maps[-1]), encoder.backbone(images))
    expected = [
        (channels, 128 // times, 64 // times)
        for channels, times in zip((16, 64, 96, 128, 128), REDUCTIONS, strict=True)
    ]
    assert [tuple(each.shape[1:]) for each in maps] == expected
    assert encoder.channels == (16, 64, 96, 128, 128)


def test_masks_equal_hooks_on_the_six_blocks() -> None:
    torch.manual_seed(0)
    backbone = OSNet().eval()
    masks = ResolutionMasks(ResolutionMaskSettings(), backbone, 4)
    assert masks.positions == ("conv2.0", "conv2.1", "conv3.0", "conv3.1", "conv4.0", "conv4.1")
    assert [value.shape for value in masks.values().values()] == [(4, c) for c in (64, 64, 96, 96, 128, 128)]
    images, levels = torch.randn(3, 3, 64, 32), torch.tensor([0, 3, 1])

    def scale(factors: torch.Tensor) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            return torch.stack(
                [picture * factor[:, None, None] for picture, factor in zip(output, factors[levels], strict=True)]
            )

        return hook

    with torch.no_grad():
        found = masks(backbone, images, levels)
        handles = [
            backbone.get_submodule(name).register_forward_hook(scale(factors))
            for name, factors in masks.values().items()
        ]
        expected = backbone.pooled(images)
        for handle in handles:
            handle.remove()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, backbone.pooled(images), rtol=0.05)
