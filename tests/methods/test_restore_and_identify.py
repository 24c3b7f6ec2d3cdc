from dataclasses import replace

import pytest
import torch

from crreid.data.pairs import PairBatch
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.restoration import restoration_loss
from crreid.losses.triplet import batch_hard_triplet
from crreid.methods.restore_and_identify import RestoreAndIdentify, RestoreAndIdentifySettings
from crreid.models.common import InterpolationSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.rcan import RCANSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings

NETWORK = PooledClassifierSettings(backbone="resnet18", feature_length=8, dropout=0.0)
ALONE = RestoreAndIdentifySettings(network=NETWORK)
MODULES = {
    "Bicubic + ResNet-18": InterpolationSettings(),
    "SRCNN + ResNet-18": SRCNNSettings(widths=(4, 2)),
    "VDSR + ResNet-18": VDSRSettings(depth=3, width=4, attention_channels=None),
    "RCAN + ResNet-18": RCANSettings(groups=1, blocks=1, width=4, attention_channels=1, scale=2),
    "VDSR-CA + ResNet-18": VDSRSettings(depth=3, width=4),
}
JOINT = replace(ALONE, restoration=MODULES["VDSR-CA + ResNet-18"])


def build(settings: RestoreAndIdentifySettings) -> RestoreAndIdentify:
    torch.manual_seed(0)
    return settings.build(3)


@pytest.mark.parametrize("title", MODULES)
def test_one_method_serves_every_row_of_table_4(title: str, batch: PairBatch) -> None:
    settings = replace(ALONE, restoration=MODULES[title])
    method = build(settings)
    losses = method.losses(batch, "network")
    assert settings.title == title
    learns = title != "Bicubic + ResNet-18"
    assert set(losses) == {"ce", "triplet"} | ({"sr", "sr_input"} if learns else set())
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    assert len(method.players()["network"]) == (2 if learns else 1)
    restored = method.restore(batch.low)
    assert restored.shape == batch.low.shape
    assert method.eval().embed(batch.low, batch.rates).shape == (6, 8)


def test_terms_are_their_weights_times_the_losses_by_hand(batch: PairBatch) -> None:
    settings = replace(JOINT, cross_entropy_weight=2.0, triplet_weight=3.0, restoration_weight=5.0, margin=0.7)
    method = build(settings).eval()
    losses = method.losses(batch, "network")
    restored = method.restoration(batch.low)
    output = method.network(restored)
    torch.testing.assert_close(losses["sr"], 5 * restoration_loss(restored, batch.high))
    torch.testing.assert_close(losses["ce"], 2 * label_smoothing_cross_entropy(output.logits[0], batch.labels, 0.1))
    torch.testing.assert_close(losses["triplet"], 3 * batch_hard_triplet(output.features, batch.labels, 0.7))


def test_the_cross_entropies_of_stripes_are_added_and_no_triplet_is_asked_for(batch: PairBatch) -> None:
    settings = RestoreAndIdentifySettings(network=PCBSettings(backbone="resnet18", stripes=4), triplet_weight=0)
    method = build(settings).eval()
    losses = method.losses(batch, "network")
    each = [label_smoothing_cross_entropy(logits, batch.labels, 0.1) for logits in method.network(batch.low).logits]
    assert set(losses) == {"ce"}
    torch.testing.assert_close(losses["ce"], 1.15 * sum(each))


def test_the_module_learns_at_its_own_rate() -> None:
    groups = build(replace(JOINT, restoration_learning_rate_scale=0.1)).players()["network"]
    assert [group["learning_rate_scale"] for group in groups] == [1.0, 0.1]
    assert sum(len(group["params"]) for group in groups) == len(list(build(JOINT).parameters()))
