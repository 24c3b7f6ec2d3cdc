from dataclasses import replace

import pytest
import torch
from oracles import equal

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.methods.method import drawn_alone
from crreid.methods.restore_and_identify import RestoreAndIdentify, RestoreAndIdentifySettings
from crreid.methods.solo_restoration import SoloRestorationSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

ALONE = RestoreAndIdentifySettings(network=PooledClassifierSettings(backbone="resnet18", feature_length=8, dropout=0.0))
MODULE = SRCNNSettings(widths=(4, 2))
JOINT = replace(ALONE, restoration=MODULE, restoration_optimizer="adam", restoration_learning_rate_scale=0.5)
SOLO = SoloRestorationSettings(restoration=MODULE, restoration_optimizer="adam")


def build(settings: RestoreAndIdentifySettings, teacher: object = None, seed: int = 0) -> RestoreAndIdentify:
    torch.manual_seed(seed)
    return settings.build(3, teacher)  # type: ignore[arg-type]


def test_rows_that_share_a_part_begin_with_the_same_weights_in_it() -> None:
    alone, joint, other = build(ALONE), build(JOINT), build(replace(JOINT, restoration=SRCNNSettings(widths=(6, 3))))
    assert equal(alone.network.state_dict(), joint.network.state_dict())
    assert equal(alone.network.state_dict(), other.network.state_dict())
    assert not equal(alone.network.state_dict(), build(ALONE, seed=1).network.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with drawn_alone("network"):
        torch.rand(5)
    assert torch.equal(torch.rand(2), expected)  # nothing else is drawn otherwise


@pytest.mark.parametrize("reaches", [True, False])
def test_the_identity_loss_reaches_the_module_only_where_the_settings_say_so(reaches: bool, batch: PairBatch) -> None:
    method = build(replace(JOINT, identity_gradient=reaches))
    losses = method.losses(batch)
    assert losses["sr_input"] == pytest.approx(0.5 * (batch.low - batch.high).abs().mean().item())
    assert not losses["sr_input"].requires_grad
    losses["ce"].backward()
    assert all((p.grad is not None) == reaches for p in method.restoration.parameters())
    assert all(p.grad is not None for p in method.network.backbone.parameters())


def test_the_module_steps_by_adam_and_the_network_as_the_schedule_says(batch: PairBatch) -> None:
    method, twin = build(JOINT).train(), build(JOINT).train()
    step = TrainingStep(method, Schedule(precision="fp32"), torch.device("cpu"))
    adam = torch.optim.Adam(twin.restoration.parameters(), lr=0.005)
    sgd = torch.optim.SGD(twin.network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    step.set_learning_rate(0.01)
    for _ in range(2):
        step(batch)
        losses = twin.losses(batch)
        adam.zero_grad()
        sgd.zero_grad()
        (losses["sr"] + losses["ce"] + losses["triplet"]).backward()
        adam.step()
        sgd.step()
    for one, other in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_module_that_learnt_alone_is_where_a_row_starts_and_its_network_guides(batch: PairBatch) -> None:
    network = build(ALONE, seed=5)
    torch.manual_seed(6)
    solo = SOLO.build(3, network)
    guided = build(replace(JOINT, pseudo_siamese_weight=0.9), solo).eval()
    assert equal(guided.restoration.state_dict(), solo.restoration.state_dict())
    assert equal(guided.teacher.state_dict(), network.network.state_dict())
    assert build(JOINT, solo).teacher is None
    output, aim = guided.network(guided.restoration(batch.low)), network.eval().network(batch.high)
    apart = [(output.features - aim.features).abs().mean(), (output.logits[0] - aim.logits[0]).abs().mean()]
    torch.testing.assert_close(guided.losses(batch)["ps"], 0.9 * sum(apart))
    with pytest.raises(InputError, match=r"SRCNN \+ PCB \+ PS needs a trained PCB as teacher"):
        build(replace(JOINT, network=PCBSettings(backbone="resnet18"), pseudo_siamese_weight=0.9), network)
