"""What all settings say of the networks that run, and what is shared by all methods."""

import numpy as np
import pytest
import torch

from crreid.methods.cad_net import CADNetSettings
from crreid.methods.lrar import LRARSettings
from crreid.methods.method import MethodSettings, cosine_distances
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.common import InterpolationSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings

SMALL = HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=(("width", 16), ("blocks", 1)))
VDSR_CA = VDSRSettings(depth=4, width=16)


@pytest.mark.parametrize(
    ("settings", "runs_on", "backbone"),
    [
        (PSHRNetSettings(), "VDSR-CA + hrnet_w32", "hrnet_w32"),
        (
            PSHRNetSettings(network=SMALL, restoration=VDSR_CA),
            "VDSR-CA (depth 4, width 16) + hrnet_w18_small (width 16, blocks 1)",
            "hrnet_w18_small",
        ),
        (HRNetReIDHighSettings(network=SMALL), "hrnet_w18_small (width 16, blocks 1)", "hrnet_w18_small"),
        (RestoreAndIdentifySettings(), "resnet50", "resnet50"),
        (RestoreAndIdentifySettings(restoration=InterpolationSettings()), "Bicubic + resnet50", "resnet50"),
        (SoloRestorationSettings(restoration=VDSR_CA), "VDSR-CA (depth 4, width 16)", ""),
        (CADNetSettings(), "resnet50 (decoder width 64)", "resnet50"),
        (LRARSettings(), "resnet50", "resnet50"),
    ],
)
def test_settings_say_what_runs(settings: MethodSettings, runs_on: str, backbone: str) -> None:
    assert settings.runs_on == runs_on
    assert settings.backbone_name == backbone


def test_cosine_distances_equal_a_loop() -> None:
    generator = np.random.default_rng(0)
    query, gallery = generator.normal(size=(4, 7)), generator.normal(size=(5, 7))
    expected = np.empty((4, 5))
    for i, one in enumerate(query):
        for j, other in enumerate(gallery):
            expected[i, j] = 1 - one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    found = cosine_distances(torch.tensor(query), torch.tensor(gallery))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    torch.testing.assert_close(cosine_distances(torch.tensor(query * 3), torch.tensor(gallery * 0.1)), found)
