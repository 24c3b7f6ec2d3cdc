import pytest
import torch

from crreid.errors import InputError
from crreid.models.common import InterpolationSettings, RestorationSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.rcan import RCANSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings


def test_interpolation_returns_its_input_and_has_no_weights() -> None:
    module, images = InterpolationSettings().build(), torch.randn(2, 3, 5, 4)
    assert torch.equal(module(images), images)
    assert not list(module.parameters())
    assert InterpolationSettings().title == "Bicubic"
    with pytest.raises(InputError, match=r"filter must be one of nearest, .*, not 'cubic'"):
        InterpolationSettings(filter="cubic")


def test_the_network_that_runs_is_told_with_what_makes_it_smaller() -> None:
    stages = (("layers", (1, 1, 1, 1)), ("channels", (32, 48, 48, 96)), ("stem_type", "deep"))
    assert PooledClassifierSettings().runs_on == "resnet50"
    assert PCBSettings(backbone_options=stages).runs_on == "resnet50 (layers 1-1-1-1, channels 32-48-48-96)"
    small = HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=(("width", 16), ("blocks", 1)))
    assert small.runs_on == "hrnet_w18_small (width 16, blocks 1)"


@pytest.mark.parametrize(
    ("settings", "runs_on"),
    [
        (VDSRSettings(), "VDSR-CA"),
        (VDSRSettings(depth=4, width=16), "VDSR-CA (depth 4, width 16)"),
        (VDSRSettings(attention_channels=None), "VDSR"),
        (SRCNNSettings(widths=(16, 8), initialisation="identity"), "SRCNN (widths 16-8, initialisation identity)"),
        (RCANSettings(attention_channels=2), "RCAN (attention channels 2)"),
        (InterpolationSettings(), "Bicubic"),
    ],
)
def test_restoration_modules_tell_what_differs_from_the_papers(settings: RestorationSettings, runs_on: str) -> None:
    assert settings.runs_on == runs_on
