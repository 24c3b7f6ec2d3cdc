"""Sizes of the study: `paper` is what the paper did, `printed` and `released` are it word for word, others are smaller.

A profile is a function of the data set's name that returns settings. What it reduces is computed from the runs
(`crreid.rows.reductions`), never listed by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from crreid.data.pairs import Augmentation
from crreid.data.prepare import DataSettings, data_settings
from crreid.errors import InputError
from crreid.evaluation.evaluate import EvaluationSettings
from crreid.losses.pseudo_siamese import PAPER_MEMBERS, RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.lrar import LRARSettings
from crreid.methods.method import MethodSettings
from crreid.methods.ps_hrnet import IdentityLoss
from crreid.models.cross_resolution_encoder import CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.image_decoder import ImageDecoderSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.rcan import RCANSettings
from crreid.models.resolution_masks import ResolutionMaskSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings
from crreid.models.weights import StartingWeights
from crreid.runs import Run
from crreid.training.schedule import Schedule

PROFILE_NAMES = ("smoke", "quick", "reduced", "paper", "printed", "released")


@dataclass(frozen=True, kw_only=True)
class ConventionalNetworks:
    """The networks of Tables I, IV and VI that know nothing of resolution; rows bear their names."""

    resnet: PooledClassifierSettings = field(default_factory=PooledClassifierSettings)
    se_resnet: PooledClassifierSettings = field(default_factory=lambda: PooledClassifierSettings(backbone="seresnet50"))
    densenet: PooledClassifierSettings = field(default_factory=lambda: PooledClassifierSettings(backbone="densenet121"))
    hrnet: PooledClassifierSettings = field(default_factory=lambda: PooledClassifierSettings(backbone="hrnet_w32"))
    pcb: PCBSettings = field(default_factory=PCBSettings)


@dataclass(frozen=True, kw_only=True)
class RestorationModules:
    """The modules of Table IV; rows bear their names.

    The paper does not say how RCAN was attached; at full size it would cost 497 billion multiply-adds per image.
    `scale=4` runs the whole body on packed pixels, as on the small image: 31 billion.
    """

    srcnn: SRCNNSettings = field(default_factory=SRCNNSettings)
    vdsr: VDSRSettings = field(default_factory=lambda: VDSRSettings(attention_channels=None))
    rcan: RCANSettings = field(default_factory=lambda: RCANSettings(scale=4))
    vdsr_ca: VDSRSettings = field(default_factory=VDSRSettings)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Everything that the runs of a study share; the defaults are the paper's."""

    name: str  # one of PROFILE_NAMES
    data: DataSettings
    schedule: Schedule = field(default_factory=Schedule)  # of PS-HRNet's runs
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    size: tuple[int, int] = (256, 128)  # (height, width) of the networks' input
    augmentation: Augmentation = field(default_factory=Augmentation)
    network: HRNetReIDSettings = field(default_factory=HRNetReIDSettings)  # HRNet-ReID, teacher's and student's
    restoration: VDSRSettings = field(default_factory=VDSRSettings)  # VDSR-CA of PS-HRNet
    restoration_learning_rate_scale: float = 1.0  # times the network's: of VDSR-CA, and of most modules of Table IV
    identity: IdentityLoss = field(default_factory=IdentityLoss)  # L_ID of PS-HRNet and its teacher
    members: tuple[str, ...] = PAPER_MEMBERS  # of L_PS in PS-HRNet
    comparison_schedule: Schedule = field(default_factory=Schedule)  # of conventional rows, LRAR, Tables IV-VI
    # networks of those rows; a new system's row may build on them
    conventional: ConventionalNetworks = field(default_factory=ConventionalNetworks)
    modules: RestorationModules = field(default_factory=RestorationModules)  # of Table IV
    # of CAD-Net and RAIN; batch and learning rates are general knowledge of the paper
    adversarial_schedule: Schedule = field(
        default_factory=lambda: Schedule(identities_per_batch=8, images_per_identity=4, learning_rate=1e-2)
    )
    cad_net: CADNetSettings = field(default_factory=CADNetSettings)  # RAIN has its networks
    lrar: LRARSettings = field(default_factory=LRARSettings)

    def run(self, method: MethodSettings, *, seed: int, weights: StartingWeights, teacher: Run | None = None) -> Run:
        """Return a run of this profile; its backbone starts as `weights` say for it."""
        return Run(
            data=self.data,
            method=method,
            schedule=self.schedule,
            evaluation=self.evaluation,
            size=self.size,
            augmentation=self.augmentation,
            weights=weights.of(method.backbone_name),
            teacher=teacher,
            seed=seed,
        )


def profile_settings(name: str, dataset: str) -> Profile:
    """Return the settings of a profile on a data set, e.g. `mlr-synthetic`, `mlr-market-1501`, `caviar`.

    `smoke` takes seconds, for tests; `quick` minutes, on built-in data; `reduced` an hour on real data and two CPU
    cores; `printed` is PS-HRNet as its paper prints it, `released` as its authors' code runs.
    """
    if name not in PROFILE_NAMES:
        raise InputError(f"unknown profile {name!r}; expected one of {', '.join(PROFILE_NAMES)}")
    makers = (_smoke, _quick, _reduced, _paper, _printed, _released)
    return makers[PROFILE_NAMES.index(name)](data_settings(dataset))


def _paper(data: DataSettings) -> Profile:
    return Profile(name="paper", data=data, evaluation=EvaluationSettings(query_rates=(1, 2, 3, 4, 8)))


def _printed(data: DataSettings) -> Profile:
    """Every setting as the paper prints it; the text is silent on warm-up and flip test: neither."""
    schedule = Schedule(epochs=70, identities_per_batch=4, images_per_identity=6, warmup_epochs=0)
    paper, ratio_of_four = _paper(data), VDSRSettings(attention_channels=VDSRSettings().width // 4)
    return replace(
        paper,
        name="printed",
        schedule=schedule,
        comparison_schedule=schedule,
        evaluation=replace(paper.evaluation, flip=False),
        identity=IdentityLoss(margin=0.1),
        restoration=ratio_of_four,
        modules=RestorationModules(vdsr_ca=ratio_of_four),
        restoration_learning_rate_scale=0.1,
    )


def _released(data: DataSettings) -> Profile:
    """All six members in L_PS, one camera low resolution in training; the rest are the defaults.

    The released code of phase 1 is another repository with another recipe (batches of 8 x 4, colour jitter, a new
    optimiser every epoch); the teacher here is trained by phase 2's.
    """
    if data.mlr is None or not data.mlr.cameras:
        raise InputError(f"{data.dataset} has no low-resolution camera to train on; expected an MLR build, mlr-...")
    cameras = replace(data, mlr=replace(data.mlr, train="cameras"))
    return replace(_paper(cameras), name="released", members=RELEASE_MEMBERS)


def _smoke(data: DataSettings) -> Profile:
    schedule = Schedule(
        epochs=2, identities_per_batch=3, images_per_identity=4, warmup_epochs=1, milestones=(), precision="fp32"
    )
    return Profile(
        name="smoke",
        data=replace(data, train_identities=6, test_identities=6),
        schedule=schedule,
        evaluation=EvaluationSettings(flip=False, draws=5, query_rates=(1, 4)),
        size=(64, 32),
        augmentation=Augmentation(padding=3),
        network=HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=_ONE_BLOCK_A_BRANCH),
        restoration=VDSRSettings(depth=3, width=8),
        comparison_schedule=schedule,
        conventional=_small_networks(dropout=0.5, stripes=4),
        modules=RestorationModules(
            srcnn=SRCNNSettings(widths=(8, 4)),
            vdsr=VDSRSettings(depth=3, width=8, attention_channels=None),
            rcan=RCANSettings(groups=1, blocks=1, width=8, attention_channels=2, scale=4),
            vdsr_ca=VDSRSettings(depth=3, width=8),
        ),
        adversarial_schedule=schedule,
        cad_net=_small_cad_net(),
        lrar=_small_lrar(length=64),
    )


def _quick(data: DataSettings) -> Profile:
    warmup: dict[str, Any] = {"warmup_epochs": 1, "warmup_learning_rate": 5e-3, "ramp": True}
    schedule = Schedule(epochs=8, **warmup, learning_rate=4e-2, decay="cosine", milestones=())
    return Profile(
        name="quick",
        data=replace(data, train_identities=54, test_identities=60),
        schedule=schedule,
        evaluation=EvaluationSettings(flip=False, query_rates=(1, 2, 3, 4)),
        size=(128, 64),
        augmentation=Augmentation(padding=5),
        # half of the features dropped is too much for so few steps
        network=HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=_ONE_BLOCK_A_BRANCH, dropout=0.2),
        restoration=VDSRSettings(depth=4, width=16, initialisation="identity"),
        # at the networks' learning rate it leaves the identity in the first epoch, or diverges
        restoration_learning_rate_scale=0.1,
        comparison_schedule=schedule,
        conventional=_small_networks(dropout=0.0),
        modules=_small_modules(depth=4),
        adversarial_schedule=replace(schedule, epochs=5, learning_rate=2e-2),
        cad_net=_small_cad_net(),
        lrar=_small_lrar(length=512),
    )


def _reduced(data: DataSettings) -> Profile:
    schedule = Schedule(epochs=12, warmup_epochs=1, ramp=True, learning_rate=2e-2, decay="cosine", milestones=())
    return Profile(
        name="reduced",
        data=replace(data, train_identities=300),
        schedule=schedule,
        evaluation=EvaluationSettings(query_rates=(1, 2, 3, 4, 8)),
        size=(128, 64),
        augmentation=Augmentation(padding=5),
        network=HRNetReIDSettings(backbone="hrnet_w18_small"),
        restoration=VDSRSettings(depth=6, width=16),
        comparison_schedule=replace(schedule, epochs=6),
        conventional=ConventionalNetworks(hrnet=PooledClassifierSettings(backbone="hrnet_w18_small")),
        modules=_small_modules(depth=6),
        adversarial_schedule=replace(schedule, epochs=6),
        # at the paper's learning rates and margin the classifier's loss does not fall within so few steps
        cad_net=CADNetSettings(
            decoder=ImageDecoderSettings(width=16, add_input=True),
            discriminators=DiscriminatorSettings(widths=(32, 64, 128, 256), image_backbone=None),
            margin=0.3,
            triplet_weight=0.2,
            learning_rate_scale=0.3,
            classifier_learning_rate_scale=0.1,
        ),
        # a classifier of 2,048 normalised dimensions overshoots at this learning rate
        lrar=_small_lrar(length=512, backbone="resnet50", options=()),
    )


# On the built-in data a ResNet so narrow learns more in a given time: rank-1 39 after 12 s, ResNet-18's 32 after 38 s.
_NARROW_STAGES = (("layers", (1, 1, 1, 1)), ("channels", (32, 48, 48, 96)))
_ONE_BLOCK_A_STAGE = (*_NARROW_STAGES, ("stem_type", "deep"), ("stem_width", 16))

# So does the smallest HRNet with a block a branch instead of two.
_ONE_BLOCK_A_BRANCH = (("width", 16), ("blocks", 1), ("stem_width", 16))


def _small_networks(*, dropout: float, stripes: int = 6) -> ConventionalNetworks:
    few_layers = (("block_config", (2, 4, 6, 4)), ("growth_rate", 16))
    return ConventionalNetworks(
        resnet=PooledClassifierSettings(backbone="resnet18", backbone_options=_ONE_BLOCK_A_STAGE, dropout=dropout),
        se_resnet=PooledClassifierSettings(backbone="seresnet18", backbone_options=_ONE_BLOCK_A_STAGE, dropout=dropout),
        densenet=PooledClassifierSettings(backbone="densenet121", backbone_options=few_layers, dropout=dropout),
        hrnet=PooledClassifierSettings(
            backbone="hrnet_w18_small", backbone_options=_ONE_BLOCK_A_BRANCH, dropout=dropout
        ),
        pcb=PCBSettings(backbone="resnet18", backbone_options=_ONE_BLOCK_A_STAGE, stripes=stripes),
    )


def _small_cad_net() -> CADNetSettings:
    """For networks from random weights, which a margin of 2 draws together before they have learnt anything.

    Nor does a decoder learn to draw a whole image in so few steps: it predicts what the input lacks. `test_resnet` is
    timm's smallest ResNet, four stages of one block: on the built-in data it learns more in a given time than wider
    ones do, or than the one of the conventional rows, whose shortcuts skip pixels (rank-1 33 and 12).
    """
    return CADNetSettings(
        encoder=CrossResolutionEncoderSettings(backbone="test_resnet"),
        decoder=ImageDecoderSettings(width=4, add_input=True),
        discriminators=DiscriminatorSettings(widths=(16, 32, 64), image_backbone=None),
        margin=0.3,
        learning_rate_scale=0.3,
    )


def _small_lrar(
    *, length: int, backbone: str = "resnet18", options: tuple[tuple[str, Any], ...] = _ONE_BLOCK_A_STAGE
) -> LRARSettings:
    """For few steps, in which a cross entropy alone learns nothing, nor masks at the networks' learning rate.

    Masks that start or move far apart draw the levels' descriptors apart, and so few steps do not bring them together
    again: on the built-in data rank-1 fell from 37 to 15 % with a deviation of 1 instead of 0.1 (5 epochs), and from 55
    to 22 % at 100 times the networks' learning rate instead of 30 (10 epochs).
    """
    return LRARSettings(
        network=PooledClassifierSettings(
            backbone=backbone, backbone_options=options, dropout=0.0, feature_length=length
        ),
        masks=ResolutionMaskSettings(initial_deviation=0.1),
        mask_learning_rate_scale=30.0,
        triplet_weight=0.4,
    )


def _small_modules(*, depth: int) -> RestorationModules:
    """Narrow and shallow, and starting at the identity: from other weights few epochs lead nowhere."""
    vdsr = VDSRSettings(depth=depth, width=16, initialisation="identity")
    return RestorationModules(
        srcnn=SRCNNSettings(widths=(16, 8), initialisation="identity"),
        vdsr=replace(vdsr, attention_channels=None),
        rcan=RCANSettings(groups=2, blocks=4, width=32, attention_channels=4, scale=4),
        vdsr_ca=vdsr,
    )
