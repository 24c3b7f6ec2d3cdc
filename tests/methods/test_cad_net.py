import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.triplet import batch_hard_triplet
from crreid.methods.cad_net import (
    CADNet,
    CADNetSettings,
    cad_net_plus_plus_settings,
    rain_settings,
)
from crreid.methods.method import cosine_distances
from crreid.models.cross_resolution_encoder import CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.image_decoder import ImageDecoderSettings
from crreid.training.schedule import Schedule
from crreid.training.step import TrainingStep

TINY: dict[str, Any] = {
    "encoder": CrossResolutionEncoderSettings(backbone="test_resnet"),
    "decoder": ImageDecoderSettings(width=2),
    "discriminators": DiscriminatorSettings(widths=(4, 4, 4, 4), image_backbone=None),
}
FULL = CADNetSettings(**TINY)
PLUS = replace(cad_net_plus_plus_settings(), **TINY)
RAIN = replace(rain_settings(), **TINY)
LENGTH = 96  # channels of the tiny encoder's last map
PARTS = {
    "E": "encoder",
    "G": "decoder",
    "F": "recovered_encoder",
    "C": "classifier",
    "D_F": "feature_discriminators",
    "D_I": "image_discriminator",
}


def build(settings: CADNetSettings = FULL, identities: int = 3) -> CADNet:
    torch.manual_seed(0)
    return settings.build(identities)


def images(size: tuple[int, int], seed: int = 0) -> PairBatch:
    """Two images of each of three identities."""
    generator = torch.Generator().manual_seed(seed)
    high, noise = torch.randn(2, 6, 3, *size, generator=generator)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    return PairBatch(high=high, low=high + 0.5 * noise, labels=labels, rates=torch.full((6,), 2.0))


def learning(method: CADNet, loss: torch.Tensor) -> set[str]:
    """Parts with a parameter that the loss's backward pass gives a gradient."""
    method.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    modules = {symbol: getattr(method, name) for symbol, name in PARTS.items()}
    return {
        symbol
        for symbol, module in modules.items()
        if module is not None and any(parameter.grad is not None for parameter in module.parameters())
    }


@pytest.mark.parametrize(
    ("settings", "title", "terms", "players"),
    [
        (FULL, "CAD-Net", "ce triplet adv_f rec adv_i d_f d_i", 3),
        (replace(FULL, image_adversary_weight=0), "CAD-Net without D_I", "ce triplet adv_f rec d_f", 2),
        (replace(FULL, feature_adversary_weight=0), "CAD-Net without D_F", "ce triplet rec adv_i d_i", 2),
        (replace(FULL, restoration_weight=0), "CAD-Net without L_rec", "ce triplet adv_f adv_i d_f d_i", 3),
        (replace(FULL, classification_weight=0), "CAD-Net without L_cls", "adv_f rec adv_i d_f d_i", 3),
        (PLUS, "CAD-Net++", "ce triplet adv_f rec adv_i consistency d_f d_i", 3),
        (RAIN, "RAIN", "ce triplet adv_f rec d_f", 2),
        (replace(FULL, labelled_fraction=0.5), "CAD-Net (50 % labelled)", "ce triplet adv_f rec adv_i d_f d_i", 3),
    ],
)
def test_a_weight_of_zero_leaves_out_term_player_and_network(settings, title, terms, players, batch):
    method = build(settings)
    losses: dict[str, torch.Tensor] = {}
    for player in method.players():
        losses |= method.losses(batch, player)
    assert settings.title == title
    assert {name for name in losses if name != "rec_input"} == set(terms.split())
    assert ("rec_input" in losses) == ("rec" in losses)
    assert len(method.players()) == players
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    assert (method.image_discriminator is None) == (settings.image_adversary_weight == 0)
    assert (method.feature_discriminators is None) == (settings.feature_adversary_weight == 0)
    assert (method.recovered_encoder is None) == (not settings.recovery)


def test_each_term_by_hand(batch: PairBatch) -> None:
    weights = {"classification_weight": 2.0, "feature_adversary_weight": 3.0, "restoration_weight": 5.0}
    method = build(replace(FULL, **weights, image_adversary_weight=7.0, triplet_weight=0.5, margin=1.5)).eval()
    losses = method.losses(batch, "generator")
    expected = dict.fromkeys(("ce", "triplet", "rec", "adv_i"), torch.tensor(0.0))
    features, logits = {}, {}
    for name, x in (("high", batch.high), ("low", batch.low)):
        maps = method.encoder(x)
        recovered = method.decoder(maps, x)
        f, g = maps[-1], method.recovered_encoder(recovered)[-1]
        v = torch.cat([f, g], dim=1).mean(dim=(2, 3))
        expected["ce"] = expected["ce"] + 2 * cross_entropy(method.classifier(v), batch.labels)
        expected["triplet"] = expected["triplet"] + 2 * 0.5 * batch_hard_triplet(v, batch.labels, 1.5)
        expected["rec"] = expected["rec"] + 5 * (recovered - batch.high).abs().mean()
        features[name], logits[name] = f, method.image_discriminator(recovered)
        expected["adv_i"] = expected["adv_i"] + 7 * torch.log(1 - torch.sigmoid(logits[name])).mean()
    high, low = (torch.sigmoid(method.feature_discriminators[0](features[name])) for name in ("high", "low"))
    expected["adv_f"] = 3 * (torch.log(high).mean() + torch.log(1 - low).mean())
    expected["rec_input"] = 5 * (batch.low - batch.high).abs().mean()
    torch.testing.assert_close(losses, expected)
    judged = method.losses(batch, "feature_discriminator") | method.losses(batch, "image_discriminator")
    real = method.image_discriminator(batch.high)
    fakes = softplus(logits["high"]).mean() + softplus(logits["low"]).mean()
    torch.testing.assert_close(judged["d_f"], -expected["adv_f"] / 3)
    torch.testing.assert_close(judged["d_i"], 2 * softplus(-real).mean() + fakes)  # real images count twice


@pytest.mark.parametrize(
    ("player", "term", "who"),
    [
        ("generator", "ce", "E G F C"),
        ("generator", "triplet", "E G F"),
        ("generator", "adv_f", "E"),
        ("generator", "rec", "E G"),
        ("generator", "adv_i", "E G"),
        ("generator", "consistency", "E G F"),
        ("feature_discriminator", "d_f", "D_F"),
        ("image_discriminator", "d_i", "D_I"),
    ],
)
def test_who_learns_from_which_term(player: str, term: str, who: str, batch: PairBatch) -> None:
    method = build(PLUS)
    method.losses(batch, "generator")
    assert learning(method, method.losses(batch, player)[term]) == set(who.split())


def test_the_feature_adversary_reaches_no_deeper_than_its_stage(batch: PairBatch) -> None:
    method = build(replace(FULL, adversary_stages=(2,)))
    method.losses(batch, "generator")["adv_f"].backward()
    reached = {
        name.split(".")[1] for name, parameter in method.encoder.named_parameters() if parameter.grad is not None
    }
    assert {"layer1", "layer2"} <= reached
    assert not {"layer3", "layer4"} & reached


def test_without_adversaries_and_f_it_is_reconstruction_and_classification(batch: PairBatch) -> None:
    """Three steps of the whole training against a model written out here: the same losses, the same weights."""
    settings = replace(FULL, recovery=False, feature_adversary_weight=0, image_adversary_weight=0, margin=0.5)
    schedule = Schedule(learning_rate=0.1, precision="fp32")
    method = build(settings)
    encoder, decoder, classifier = (copy.deepcopy(getattr(method, PARTS[symbol])) for symbol in "EGC")
    groups = [{"params": encoder.parameters(), "lr": 0.01}]
    groups += [{"params": decoder.parameters(), "lr": 0.01, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(
        [*groups, {"params": classifier.parameters(), "lr": 0.1}],
        momentum=schedule.momentum,
        nesterov=True,
        weight_decay=schedule.weight_decay,
    )
    step = TrainingStep(method.train(), schedule, torch.device("cpu"))
    step.set_learning_rate(0.1)
    for _ in range(3):
        both = torch.cat([batch.high, batch.low])
        maps = encoder(both)
        reconstruction = 2 * (decoder(maps, both) - torch.cat([batch.high, batch.high])).abs().mean()
        embeddings = maps[-1].mean(dim=(2, 3))
        identity = 2 * cross_entropy(classifier(embeddings), batch.labels.repeat(2))
        triplets = [batch_hard_triplet(each, batch.labels, 0.5) for each in (embeddings[:6], embeddings[6:])]
        optimizer.zero_grad()
        (reconstruction + identity + triplets[0] + triplets[1]).backward()
        optimizer.step()
        losses = dict(zip(step.names or ("ce", "triplet", "rec", "rec_input"), step(batch), strict=True))
        expected = {"ce": identity, "triplet": triplets[0] + triplets[1], "rec": reconstruction}
        expected["rec_input"] = (batch.low - batch.high).abs().mean()
        torch.testing.assert_close(losses, {name: loss.detach() for name, loss in expected.items()})
    for module, symbol in ((encoder, "E"), (decoder, "G"), (classifier, "C")):
        torch.testing.assert_close(module.state_dict(), getattr(method, PARTS[symbol]).state_dict())


def test_the_parts_of_the_descriptor_are_f_and_g(batch: PairBatch) -> None:
    method = build().eval()
    with torch.inference_mode():
        whole, restored = method.embed(batch.low, batch.rates), method.restore(batch.low)
        parts = {name: whole[:, part] for name, part in method.parts().items()}
        f, g = method.encoder(batch.low)[-1], method.recovered_encoder(restored)[-1]
        distances = method.distances(whole, whole, batch.rates)
    torch.testing.assert_close(parts, {"f": f.mean(dim=(2, 3)), "g": g.mean(dim=(2, 3))})
    torch.testing.assert_close(distances, cosine_distances(whole, whole))
    assert build(RAIN).parts() == {}
    with torch.inference_mode():
        assert build(RAIN).eval().embed(batch.low, batch.rates).shape == (6, LENGTH)


def test_the_players_have_the_papers_proportions() -> None:
    method = build()
    players = method.players()
    assert list(players) == ["generator", "feature_discriminator", "image_discriminator"]
    assert [groups[0].get("optimizer") for groups in players.values()] == [None, "adam", "adam"]
    scales = {name: [group["learning_rate_scale"] for group in each] for name, each in players.items()}
    assert scales["generator"] == [0.1, 0.1, 0.1, 1.0]
    assert scales["feature_discriminator"] == scales["image_discriminator"] == [0.01]
    optimised = [id(p) for player in players.values() for group in player for p in group["params"]]
    assert sorted(optimised) == sorted(id(p) for p in method.parameters())


def test_discriminators_judge_what_was_just_made_and_nothing_of_it_is_saved(batch: PairBatch) -> None:
    method, fresh = build().eval(), build().eval()
    names = set(method.state_dict())
    method.losses(batch, "generator")
    assert set(method.state_dict()) == names
    ran = []
    method.encoder.register_forward_hook(lambda *_: ran.append("E"))
    for player in ("feature_discriminator", "image_discriminator"):
        torch.testing.assert_close(method.losses(batch, player), fresh.losses(batch, player))
    assert not ran
    other = images((64, 32), seed=1)
    torch.testing.assert_close(
        method.losses(other, "feature_discriminator"), build().eval().losses(other, "feature_discriminator")
    )
    assert ran == ["E"]


def test_unlabelled_identities_are_seen_by_all_losses_but_the_identitys(batch: PairBatch) -> None:
    """With two of three identities labelled, the third's images and its label are nothing to L_cls."""
    decoder = ImageDecoderSettings(width=4)  # a narrower one may draw nothing
    settings = replace(FULL, labelled_fraction=2 / 3, decoder=decoder)
    method = build(settings).eval()
    assert method.classifier.out_features == 2
    assert build(replace(FULL, labelled_fraction=0.7), identities=10).classifier.out_features == 7
    losses = method.losses(batch, "generator")
    changed = {name: getattr(batch, name).clone() for name in ("high", "low", "labels")}
    changed["high"][4:] += 1
    changed["low"][4:] -= 1
    changed["labels"][4:] = torch.tensor([2, 7])
    other = method.losses(replace(batch, **changed), "generator")
    for name, loss in losses.items():
        if name in ("ce", "triplet"):
            torch.testing.assert_close(loss, other[name])
        else:
            assert not torch.equal(loss, other[name]), name
    labelled = PairBatch(**{name: tensor[:4] for name, tensor in vars(batch).items()})
    expected = build(replace(FULL, decoder=decoder), identities=2).eval().losses(labelled, "generator")
    torch.testing.assert_close(losses["triplet"], expected["triplet"])
    torch.testing.assert_close(losses["ce"], expected["ce"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversary_stages": ()}, "adversary_stages must be one or more of 0 to 4"),
        ({"adversary_stages": (4, 4)}, "each once"),
        ({"adversary_stages": (5,)}, "0 to 4"),
        ({"labelled_fraction": 0.0}, r"labelled_fraction must lie in \(0, 1\]"),
        ({"consistency_weight": 1.0, "recovery": False}, "expected recovery=True"),
        ({"classification_weight": 0.0, "restoration_weight": 0.0}, "only adversaries would be left"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(FULL, **changes)
