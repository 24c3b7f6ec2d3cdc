import torch

from crreid.data.pairs import PairBatch
from crreid.losses.restoration import restoration_loss
from crreid.methods.ps_hrnet import HRNetReIDHigh, HRNetReIDHighSettings
from crreid.methods.solo_restoration import SoloRestoration, SoloRestorationSettings
from crreid.models.common import InterpolationSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.vdsr import VDSRSettings

SETTINGS = SoloRestorationSettings(restoration=VDSRSettings(depth=3, width=4))


def build_teacher() -> HRNetReIDHigh:
    torch.manual_seed(1)
    small = HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=(("width", 16), ("blocks", 1)))
    return HRNetReIDHighSettings(network=small).build(3)


def build(settings: SoloRestorationSettings = SETTINGS) -> SoloRestoration:
    teacher = build_teacher()
    torch.manual_seed(0)
    return settings.build(3, teacher)


def test_learns_restoration_and_nothing_else(batch: PairBatch) -> None:
    method = build().train()
    losses = method.losses(batch, "restoration")
    assert set(losses) == {"sr", "sr_input"}
    torch.testing.assert_close(losses["sr_input"], restoration_loss(batch.low, batch.high))
    torch.testing.assert_close(losses["sr"], restoration_loss(method.restoration(batch.low), batch.high))
    losses["sr"].backward()
    assert isinstance(method.teacher, torch.nn.Module)
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert all(parameter.grad is not None for parameter in method.restoration.parameters())
    assert not method.teacher.training


def test_describes_restored_images_with_the_teacher(batch: PairBatch) -> None:
    method = build().eval()
    teacher = build_teacher().eval()
    restored = method.restore(batch.low)
    assert not torch.equal(restored, batch.low)
    torch.testing.assert_close(method.embed(batch.low, batch.rates), teacher.embed(restored, batch.rates))
    assert SETTINGS.title == "VDSR-CA alone"


def test_an_interpolation_has_nothing_to_learn(batch: PairBatch) -> None:
    method = build(SoloRestorationSettings(restoration=InterpolationSettings()))
    assert method.players() == {"restoration": []}
    restored = method.restore(batch.low)
    assert torch.equal(restored, batch.low)
