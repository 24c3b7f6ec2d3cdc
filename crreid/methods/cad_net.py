"""CAD-Net: features that hide the resolution, an image recovered from them, and identities from both; CAD-Net++, RAIN.

Source: Li et al., "Recover and Identify: A Generative Dual Model for Cross-Resolution Person Re-Identification", ICCV
2019. E encodes images of either resolution to f, D_F must not tell which; G decodes f to a high-resolution image, D_I
must not tell it from a real one; F encodes the recovered image to g; C classifies v = [f, g]. The loss is L_cls +
lambda_F L_adv^{D_F} + lambda_rec L_rec + lambda_I L_adv^{D_I}, which D_F and D_I maximise and all others minimise.

No code of it is public, and only its formulas, tables and figures could be read. What is general knowledge of it and
may be wrong is said at the settings. Ours, because no source speaks of it: in every term both resolutions are added,
not averaged, as the formula of L_rec prints it; both pass E, G and F as one batch, so that batch normalisation sees in
training the mixture that it meets in testing; descriptors are compared by their cosine, as everywhere here.

RAIN (Chen et al., AAAI 2019) has no F and D_I, and discriminators at several depths: `rain_settings`. CAD-Net++ (Li et
al., arXiv 2002.09274) adds those depths to CAD-Net, and a consistency of features: `cad_net_plus_plus_settings`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from crreid.data.pairs import PairBatch
from crreid.errors import InputError
from crreid.losses.adversarial import deceiver_loss, discriminator_loss
from crreid.losses.cross_entropy import label_smoothing_cross_entropy
from crreid.losses.restoration import restoration_loss
from crreid.losses.triplet import batch_hard_triplet
from crreid.methods.method import (
    BY_ADAM,
    UNTOUCHED,
    Method,
    MethodSettings,
    ParameterGroup,
    drawn_alone,
    parameter_group,
)
from crreid.models.common import start_classifier
from crreid.models.cross_resolution_encoder import REDUCTIONS, CrossResolutionEncoder, CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.image_decoder import ImageDecoder, ImageDecoderSettings


@dataclass(frozen=True, kw_only=True)
class CADNetSettings(MethodSettings):
    """Which networks, which losses with which weights; a weight of 0 leaves out the term and who only serves it.

    Attributes:
        encoder: E, and F of the same shape with weights of its own.
        decoder: G.
        discriminators: D_F and D_I.
        classification_weight: Weight of L_cls; at 0, the row without it, F stays as it started.
        feature_adversary_weight: lambda_F. All weights of 1 are a guess; the paper's values could not be read.
        restoration_weight: lambda_rec.
        image_adversary_weight: lambda_I.
        consistency_weight: Weight of the L1 distance between F's maps of recovered and of real images, in CAD-Net++ by
            general knowledge only; the real image's map is a fixed aim (ours).
        adversary_stages: Depths of E that D_F judges, one discriminator each, losses added: 0 the stem, 4 the last one,
            f. Several in RAIN and CAD-Net++; which ones is not known.
        recovery: Whether there is F; without it v = f, as in RAIN.
        labelled_fraction: Share of the training identities whose labels are used, those of the smallest indices; the
            others only have the other losses. Batches are still drawn by identity.
        margin: Margin of the triplets, in units of the pooled features. 2 by general knowledge of the paper.
        triplet_weight: Weight of the triplets within L_cls; the paper adds them to the cross entropy as they are.
        learning_rate_scale: Learning rate of E, G and F in multiples of the schedule's. By a public copy of the paper's
            text, not confirmed, E, G, F and C learn at 1e-3, the discriminators at 1e-4, all by SGD.
        classifier_learning_rate_scale: The same for C.
        discriminator_learning_rate_scale: The same for D_F and D_I.
        discriminator_optimizer: `sgd` by that copy, with the schedule's momentum and weight decay; `adam`, which is
            ours, without decay.
    """

    tag: ClassVar[str] = "CADNet"
    encoder: CrossResolutionEncoderSettings = field(default_factory=CrossResolutionEncoderSettings)
    decoder: ImageDecoderSettings = field(default_factory=ImageDecoderSettings)
    discriminators: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    classification_weight: float = 1.0
    feature_adversary_weight: float = 1.0
    restoration_weight: float = 1.0
    image_adversary_weight: float = 1.0
    consistency_weight: float = 0.0
    adversary_stages: tuple[int, ...] = (4,)
    recovery: bool = True
    labelled_fraction: float = 1.0
    margin: float = 2.0
    triplet_weight: float = 1.0
    learning_rate_scale: float = 0.1
    classifier_learning_rate_scale: float = 1.0
    discriminator_learning_rate_scale: float = 0.01
    discriminator_optimizer: Literal["sgd", "adam"] = "adam"

    def __post_init__(self) -> None:
        stages = self.adversary_stages
        if not stages or len(set(stages)) < len(stages) or not set(stages) <= set(range(len(REDUCTIONS))):
            raise InputError(f"adversary_stages must be one or more of 0 to 4, each once, not {stages}")
        if not 0 < self.labelled_fraction <= 1:
            raise InputError(f"labelled_fraction must lie in (0, 1], not {self.labelled_fraction}")
        if self.consistency_weight and not self.recovery:
            raise InputError("consistency_weight compares features of F, which is left out; expected recovery=True")
        if not (self.classification_weight or self.restoration_weight or self.consistency_weight):
            raise InputError("with no classification, restoration or consistency only adversaries would be left")

    @property
    def title(self) -> str:
        """Return e.g. `CAD-Net`, `CAD-Net without D_I`, `RAIN`."""
        plus = len(self.adversary_stages) > 1 or self.consistency_weight > 0
        name = ("CAD-Net++" if plus else "CAD-Net") if self.recovery else "RAIN"
        image_weight = self.image_adversary_weight if self.recovery else 1.0
        weights = (self.classification_weight, self.feature_adversary_weight, self.restoration_weight, image_weight)
        names = zip(("L_cls", "D_F", "L_rec", "D_I"), weights, strict=True)
        if without := ", ".join(term for term, weight in names if weight == 0):
            name += f" without {without}"
        return name if self.labelled_fraction == 1 else f"{name} ({100 * self.labelled_fraction:g} % labelled)"

    @property
    def backbone_name(self) -> str:
        """Return the name of E's and F's backbone."""
        return self.encoder.backbone

    @property
    def restores(self) -> bool:
        """Return that G recovers images."""
        return True

    @property
    def runs_on(self) -> str:
        """Return E's and F's name and the decoder's width."""
        return f"{self.encoder.backbone} (decoder width {self.decoder.width})"

    def build(self, identities: int, teacher: Method | None = None) -> CADNet:
        """Return fresh networks; `teacher` is not used."""
        return CADNet(self, identities)


def rain_settings() -> CADNetSettings:
    """Return RAIN (Chen et al., AAAI 2019): an encoder, judged at each of its four stages, a decoder, no F, no D_I.

    Its abstract names the adversarial, end-to-end and semi-supervised learning; the rest is general knowledge of it.
    """
    return CADNetSettings(recovery=False, image_adversary_weight=0.0, adversary_stages=(1, 2, 3, 4))


def cad_net_plus_plus_settings() -> CADNetSettings:
    """Return CAD-Net++ (Li et al., arXiv 2002.09274) as far as known: D_F at E's four stages, and consistency.

    Both additions are general knowledge of it; which stages and which weight is a guess.
    """
    return CADNetSettings(adversary_stages=(1, 2, 3, 4), consistency_weight=1.0)


class _Shown(NamedTuple):
    """What discriminators are shown of N pairs, detached: E's maps at their stages, G's images; HR first, then LR."""

    batch: PairBatch
    features: tuple[Tensor, ...]
    recovered: Tensor | None


class CADNet(Method):
    """E, G, F and C against D_F and D_I."""

    def __init__(self, settings: CADNetSettings, identities: int) -> None:
        """Build the networks for a number of training identities, labelled or not."""
        super().__init__()
        self.settings = settings
        # rounded first: 0.7 x 10 is a little more than 7
        self.labelled_identities = math.ceil(round(settings.labelled_fraction * identities, 6))
        with drawn_alone("encoder"):
            self.encoder = CrossResolutionEncoder(settings.encoder)
        recovers = settings.recovery or settings.restoration_weight > 0 or settings.image_adversary_weight > 0
        with drawn_alone("decoder"):
            self.decoder = ImageDecoder(settings.decoder, self.encoder.channels) if recovers else None
        with drawn_alone("recovered_encoder"):
            self.recovered_encoder = CrossResolutionEncoder(settings.encoder) if settings.recovery else None
        length = self.encoder.length * (2 if settings.recovery else 1)
        with drawn_alone("classifier"):
            self.classifier = start_classifier(nn.Linear(length, self.labelled_identities))
        make, self.feature_discriminators, self.image_discriminator = settings.discriminators, None, None
        if settings.feature_adversary_weight > 0:
            shapes = [(self.encoder.channels[stage], 4 - stage) for stage in settings.adversary_stages]
            with drawn_alone("feature_discriminators"):
                self.feature_discriminators = nn.ModuleList(make.build_for_features(*shape) for shape in shapes)
        if settings.image_adversary_weight > 0:
            with drawn_alone("image_discriminator"):
                self.image_discriminator = make.build_for_images()
        self._shown: _Shown | None = None

    def backbones(self) -> tuple[nn.Module, ...]:
        """Return the backbones of E and F."""
        return tuple(each.backbone for each in (self.encoder, self.recovered_encoder) if each is not None)

    def players(self) -> dict[str, list[ParameterGroup]]:
        """Return E, G, F and C first: discriminators then judge what these just made, and E and G run once per step."""
        settings = self.settings
        learners: list[nn.Module | None] = [self.encoder]
        if settings.classification_weight > 0 or settings.consistency_weight > 0:
            learners.append(self.recovered_encoder)
        groups = [parameter_group(each, settings.learning_rate_scale) for each in learners if each is not None]
        if self.decoder is not None:  # decay would undo what the small gradients of L_rec say
            groups.append(parameter_group(self.decoder, settings.learning_rate_scale, weight_decay=0.0))
        if settings.classification_weight > 0:
            groups.append(parameter_group(self.classifier, settings.classifier_learning_rate_scale))
        players = {"generator": groups}
        options = BY_ADAM if settings.discriminator_optimizer == "adam" else {"optimizer": "sgd"}
        for kind, judge in {"feature": self.feature_discriminators, "image": self.image_discriminator}.items():
            if judge is not None:
                group = parameter_group(judge, settings.discriminator_learning_rate_scale, **options)
                players[f"{kind}_discriminator"] = [group]
        return players

    def losses(self, batch: PairBatch, player: str = "generator") -> dict[str, Tensor]:
        """Return the weighted terms of L for the generator, and for a discriminator its own, not weighted.

        A discriminator judges what the generator's turn with this very batch has made; without one E and G run again.
        """
        if player == "generator":
            return self._generator_losses(batch)
        if self._shown is None or self._shown.batch is not batch:
            with torch.no_grad():
                self._encode(batch)
        assert self._shown is not None
        if player == "feature_discriminator" and self.feature_discriminators is not None:
            pairs = zip(self.feature_discriminators, self._shown.features, strict=True)
            judged = [judge(features).chunk(2) for judge, features in pairs]
            return {"d_f": _total(discriminator_loss(high, low) for high, low in judged)}
        assert self.image_discriminator is not None
        assert self._shown.recovered is not None
        real, fakes = self.image_discriminator(batch.high), self.image_discriminator(self._shown.recovered).chunk(2)
        # the real images count twice, as in the paper's sum over both reconstructions
        return {"d_i": _total(discriminator_loss(real, fake) for fake in fakes)}

    def embed(self, images: Tensor, rates: Tensor) -> Tensor:
        """Return what f and g tell of a person in a row, (N, 2 d), whatever the rate; f alone without F."""
        features = self.encoder(images)
        parts = [self.encoder.described(features[-1])]
        if self.recovered_encoder is not None and self.decoder is not None:
            recovered = self.recovered_encoder(self.decoder(features, images))[-1]
            parts.append(self.recovered_encoder.described(recovered))
        return torch.cat(parts, dim=1)

    def restore(self, images: Tensor) -> Tensor | None:
        """Return G(E(images)), (N, 3, H, W)."""
        return None if self.decoder is None else self.decoder(self.encoder(images), images).float()

    def parts(self) -> dict[str, slice]:
        """Return `f` and `g`; none without F."""
        length = self.encoder.length
        return {} if self.recovered_encoder is None else {"f": slice(0, length), "g": slice(length, 2 * length)}

    def _encode(self, batch: PairBatch) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Return E's maps and G's images of the batch, high resolution first; keep what the discriminators need."""
        images = torch.cat([batch.high, batch.low])
        features = self.encoder(images)
        recovered = None if self.decoder is None else self.decoder(features, images)
        judged = tuple(features[stage].detach() for stage in self.settings.adversary_stages)
        self._shown = _Shown(batch, judged, None if recovered is None else recovered.detach())
        return features, recovered

    def _generator_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        settings, terms = self.settings, dict[str, Tensor]()
        features, recovered = self._encode(batch)
        parts = [self.encoder.described(features[-1])]
        if self.recovered_encoder is not None and (settings.classification_weight or settings.consistency_weight):
            assert recovered is not None
            # real images in one batch with the recovered: compared where batch normalisation treats them alike
            real = [batch.high] if settings.consistency_weight > 0 else []
            encoded = self.recovered_encoder(torch.cat([recovered, *real]))[-1]
            parts.append(self.recovered_encoder.described(encoded[: len(recovered)]))
            if real:
                *maps, aim = encoded.chunk(3)
                distance = _total(restoration_loss(each, aim.detach()) for each in maps)  # the same L1, of maps
                terms["consistency"] = settings.consistency_weight * distance
        if settings.classification_weight > 0:
            terms |= self._identity_terms(torch.cat(parts, dim=1), batch.labels)
        if self.feature_discriminators is not None:
            judges = zip(self.feature_discriminators, settings.adversary_stages, strict=True)
            pairs = [_judged(judge, features[stage]).chunk(2) for judge, stage in judges]
            terms["adv_f"] = settings.feature_adversary_weight * _total(deceiver_loss(low, high) for high, low in pairs)
        if settings.restoration_weight > 0 and recovered is not None:
            errors = (restoration_loss(images, batch.high) for images in recovered.chunk(2))
            terms["rec"] = settings.restoration_weight * _total(errors)
            # of the sharp half nothing is missing
            terms[f"rec{UNTOUCHED}"] = settings.restoration_weight * restoration_loss(batch.low, batch.high).detach()
        if self.image_discriminator is not None and recovered is not None:
            fakes = _judged(self.image_discriminator, recovered).chunk(2)
            terms["adv_i"] = settings.image_adversary_weight * _total(deceiver_loss(fake) for fake in fakes)
        return terms

    def _identity_terms(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return L_cls: cross entropy and triplets within each resolution, of v (2 N, D) and the labels (N,)."""
        settings = self.settings
        labelled = None if settings.labelled_fraction == 1 else labels < self.labelled_identities
        cross_entropy, triplet = [], []
        for points, logits in zip(embeddings.chunk(2), self.classifier(embeddings).chunk(2), strict=True):
            cross_entropy.append(label_smoothing_cross_entropy(logits, labels, 0.0, labelled))
            triplet.append(batch_hard_triplet(points, labels, settings.margin, labelled))
        weight = settings.classification_weight
        return {"ce": weight * _total(cross_entropy), "triplet": weight * settings.triplet_weight * _total(triplet)}


def _total(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack([*losses]).sum()


def _judged(discriminator: nn.Module, inputs: Tensor) -> Tensor:
    """Return the discriminator's logits; gradients flow to the inputs and not to its weights, nor are they computed."""
    weights = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    logits: Tensor = functional_call(discriminator, weights, (inputs,))
    return logits
