from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import copied, cross_entropy_by_loops, equal, triplet_by_loops

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.methods.ps_hrnet import HRNetReIDHigh, HRNetReIDHighSettings, IdentityLoss, PSHRNet, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.pcb import PCBSettings
from crreid.models.vdsr import VDSRSettings

NETWORK = HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=(("width", 16), ("blocks", 1)))
HIGH = HRNetReIDHighSettings(network=NETWORK)
FULL = PSHRNetSettings(network=NETWORK, restoration=VDSRSettings(depth=3, width=4))
ROWS = {
    "ID": replace(FULL, restoration=None, pseudo_siamese_weight=0),
    "SR+ID": replace(FULL, pseudo_siamese_weight=0),
    "SR+ID+PS": FULL,
}
IDENTITIES = 3


def build_teacher(seed: int = 1) -> HRNetReIDHigh:
    torch.manual_seed(seed)
    return HIGH.build(IDENTITIES)


def build(settings: PSHRNetSettings = FULL, seed: int = 0) -> PSHRNet:
    teacher = build_teacher() if settings.needs_teacher else None
    torch.manual_seed(seed)
    return settings.build(IDENTITIES, teacher)


@pytest.mark.parametrize(
    ("title", "terms"),
    [("ID", "ce triplet"), ("SR+ID", "ce triplet sr sr_input"), ("SR+ID+PS", "ce triplet sr sr_input ps")],
)
def test_rows_of_the_ablation_have_their_terms(title: str, terms: str, batch: PairBatch) -> None:
    method = build(ROWS[title]).train()
    losses = method.losses(batch, "network")
    assert ROWS[title].title == title
    assert set(losses) == set(terms.split())
    assert all(loss.ndim == 0 and loss.isfinite() and loss > 0 for loss in losses.values())


def test_terms_are_their_weights_times_the_losses_by_hand(batch: PairBatch) -> None:
    settings = replace(
        FULL,
        identity=IdentityLoss(cross_entropy_weight=1.5, triplet_weight=0.3, margin=2.0, smoothing=0.2),
        restoration_weight=0.7,
        pseudo_siamese_weight=0.9,
        members=("seq2", "logits"),
    )
    method = build(settings).eval()
    terms = {name: loss.item() for name, loss in method.losses(batch, "network").items()}
    with torch.no_grad():
        restored = method.restoration(batch.low)
        student, teacher = method.network(restored), method.teacher(batch.high)

    assert terms["sr"] == pytest.approx(0.7 * mean_absolute(restored, batch.high), rel=1e-5)
    between = mean_absolute(student.sequences[1], teacher.sequences[1]) + mean_absolute(student.logits, teacher.logits)
    assert terms["ps"] == pytest.approx(0.9 * between, rel=1e-5)
    assert terms["ce"] == pytest.approx(1.5 * cross_entropy_by_loops(student.logits, batch.labels, 0.2), rel=1e-5)
    hardest = sum(triplet_by_loops(sequence, batch.labels, 2.0) for sequence in student.sequences)
    assert terms["triplet"] == pytest.approx(0.3 * hardest, rel=1e-4)


def mean_absolute(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(np.abs(one.double().numpy() - other.double().numpy()).mean())


def test_the_teacher_does_not_move(batch: PairBatch) -> None:
    method = build().train()
    teacher, student = copied(method.teacher.state_dict()), copied(method.network.state_dict())
    assert any(name.endswith("running_mean") for name in teacher)
    optimizer = torch.optim.SGD(method.players()["network"], lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(method.losses(batch, "network").values()).backward()
        optimizer.step()
    assert equal(method.teacher.state_dict(), teacher)
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    after = method.network.state_dict()
    assert not torch.equal(after["classifier.weight"], student["classifier.weight"])
    assert not torch.equal(after["normalisation.running_mean"], student["normalisation.running_mean"])


def test_a_guided_row_needs_a_teacher() -> None:
    with pytest.raises(InputError, match=r"PS-HRNet's row SR\+ID\+PS needs a trained HRNet-ReID-H as teacher"):
        FULL.build(IDENTITIES)
    with pytest.raises(InputError, match="as teacher"):
        FULL.build(IDENTITIES, RestoreAndIdentifySettings(network=PCBSettings(backbone="resnet18")).build(3))


@pytest.mark.parametrize("members", [(), ("seq6",), ("seq1", "seq1"), "logits", ("seq1", "features")])
def test_bad_members_are_refused(members: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="members must be one or more of seq1"):
        replace(FULL, members=members)


@pytest.mark.parametrize("title", ROWS)
def test_descriptors(title: str, batch: PairBatch) -> None:
    method = build(ROWS[title]).eval()
    with torch.inference_mode():
        descriptors = method.embed(batch.low, batch.rates)
        restored = method.restore(batch.low)
        expected = method.network.embed(batch.low if restored is None else restored)
    assert descriptors.shape == (6, 6656)
    assert descriptors.dtype == torch.float32
    assert torch.equal(descriptors, expected)
    assert (restored is None) == (title == "ID")
    distances = method.distances(descriptors[:2], descriptors, batch.rates[:2])
    assert distances.shape == (2, 6)
    assert distances.argmin(dim=1).tolist() == [0, 1]
