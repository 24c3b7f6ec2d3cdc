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
from crreid.losses.pseudo_siamese import RELEASE_MEMBERS
from crreid.methods.cad_net import CADNetSettings
from crreid.methods.lrar import LRARSettings
from crreid.methods.method import MethodSettings
from crreid.methods.ps_hrnet import IdentityLoss, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.common import ClassifierSettings
from crreid.models.cross_resolution_encoder import CrossResolutionEncoderSettings
from crreid.models.discriminators import DiscriminatorSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.image_decoder import ImageDecoderSettings
from crreid.models.osnet import OSNetSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.rcan import RCANSettings
from crreid.models.resolution_masks import ResolutionMaskSettings
from crreid.models.srcnn import SRCNNSettings
from crreid.models.vdsr import VDSRSettings
from crreid.models.weights import RANDOM_WEIGHTS, StartingWeights
from crreid.runs import Run
from crreid.training.schedule import Schedule

PROFILE_NAMES = ("smoke", "quick", "native", "paper", "printed", "released")


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


def conventional_networks() -> dict[str, ClassifierSettings]:
    """Return the networks of Table I that know nothing of resolution, by the paper's names: a new one adds its line."""
    return {
        "ResNet-50": PooledClassifierSettings(),
        "SE-ResNet-50": PooledClassifierSettings(backbone="seresnet50"),
        "DenseNet-121": PooledClassifierSettings(backbone="densenet121"),
        "PCB": PCBSettings(),
        "HRNet-W32-C": PooledClassifierSettings(backbone="hrnet_w32"),
    }


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Everything that the runs of a study share; the defaults are the paper's."""

    name: str  # one of PROFILE_NAMES
    data: DataSettings
    seed: int = 0
    weights: StartingWeights = RANDOM_WEIGHTS
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    size: tuple[int, int] = (256, 128)  # (height, width) of the networks' input
    augmentation: Augmentation = field(default_factory=Augmentation)
    ps_hrnet: PSHRNetSettings = field(default_factory=PSHRNetSettings)  # the whole system; its teacher has its network
    schedule: Schedule = field(default_factory=Schedule)  # of PS-HRNet's runs, and of Tables V and VI
    # the network on which losses, modules and rival systems are compared, and how it learns
    plain: RestoreAndIdentifySettings = field(default_factory=RestoreAndIdentifySettings)
    plain_schedule: Schedule = field(default_factory=Schedule)
    # of modules that learn alone; where it is given, every other module starts from what its like has learnt alone
    solo_schedule: Schedule | None = None
    modules: RestorationModules = field(default_factory=RestorationModules)  # of Table IV
    conventional: dict[str, ClassifierSettings] = field(default_factory=conventional_networks)  # of Table I
    backbones: dict[str, ClassifierSettings] = field(default_factory=conventional_networks)  # of Table VI
    # of CAD-Net and RAIN; batch and learning rates are general knowledge of the paper
    adversarial_schedule: Schedule = field(
        default_factory=lambda: Schedule(identities_per_batch=8, images_per_identity=4, learning_rate=1e-2)
    )
    cad_net: CADNetSettings = field(default_factory=lambda: CADNetSettings(**_CAD_NET_OF_THE_PAPER))
    lrar: LRARSettings = field(default_factory=LRARSettings)

    def run(self, method: MethodSettings, *, teacher: Run | None = None, **changes: Any) -> Run:
        """Return a run of this profile, but for `changes` of its fields; its backbone starts as the weights say for it.

        Restored images are measured where the method restores.
        """
        if method.restores:
            tests: dict[str, Any] = {
                "restoration_rates": RESTORATION_RATES,
                "perceptual_weights": self.weights.perceptual,
            }
            changes = {"evaluation": replace(self.evaluation, **tests), **changes}
        run = Run(
            data=self.data,
            method=method,
            schedule=self.schedule,
            evaluation=self.evaluation,
            size=self.size,
            augmentation=self.augmentation,
            weights=self.weights.of(method.backbone_name),
            teacher=teacher,
            seed=self.seed,
        )
        return replace(run, **changes)


RESTORATION_RATES = (2.0, 3.0, 4.0, 8.0)
"""Rates at which restored images are measured: the protocol's, and one that no training saw."""

# by a public copy of its text, not confirmed: E, G, F and C at 1e-3, discriminators at 1e-4, all by SGD
_CAD_NET_OF_THE_PAPER: dict[str, Any] = {"classifier_learning_rate_scale": 0.1, "discriminator_optimizer": "sgd"}


def profile_settings(name: str, dataset: str) -> Profile:
    """Return the settings of a profile on a data set, e.g. `mlr-synthetic`, `mlr-market-1501`, `caviar`.

    `smoke` takes seconds, for tests; `quick` half an hour, on built-in data; `native` is for whole data sets on a
    laptop; `printed` is PS-HRNet as its paper prints it, `released` as its authors' code runs.
    """
    if name not in PROFILE_NAMES:
        raise InputError(f"unknown profile {name!r}; expected one of {', '.join(PROFILE_NAMES)}")
    makers = (_smoke, _quick, _native, _paper, _printed, _released)
    return makers[PROFILE_NAMES.index(name)](data_settings(dataset))


def _paper(data: DataSettings) -> Profile:
    return Profile(name="paper", data=data, evaluation=EvaluationSettings(query_rates=(1, 2, 3, 4, 8)))


def _printed(data: DataSettings) -> Profile:
    """Every setting as the paper prints it; the text is silent on warm-up and flip test: neither."""
    schedule = Schedule(epochs=70, identities_per_batch=4, images_per_identity=6, warmup_epochs=0)
    paper, ratio_of_four = _paper(data), VDSRSettings(attention_channels=VDSRSettings().width // 4)
    module: dict[str, Any] = {"restoration": ratio_of_four, "restoration_learning_rate_scale": 0.1}
    return replace(
        paper,
        name="printed",
        schedule=schedule,
        plain_schedule=schedule,
        evaluation=replace(paper.evaluation, flip=False),
        ps_hrnet=PSHRNetSettings(identity=IdentityLoss(margin=0.1), **module),
        plain=RestoreAndIdentifySettings(restoration_learning_rate_scale=0.1),
        modules=RestorationModules(vdsr_ca=ratio_of_four),
    )


def _released(data: DataSettings) -> Profile:
    """All six members in L_PS, one camera low resolution in training; the rest are the defaults.

    The released code of phase 1 is another repository with another recipe (batches of 8 x 4, colour jitter, a new
    optimiser every epoch); the teacher here is trained by phase 2's.
    """
    if data.mlr is None or not data.mlr.cameras:
        raise InputError(f"{data.dataset} has no low-resolution camera to train on; expected an MLR build, mlr-...")
    cameras = replace(data, mlr=replace(data.mlr, train="cameras"))
    return replace(_paper(cameras), name="released", ps_hrnet=PSHRNetSettings(members=RELEASE_MEMBERS))


def _smoke(data: DataSettings) -> Profile:
    schedule = Schedule(
        epochs=2, identities_per_batch=3, images_per_identity=4, warmup_epochs=1, milestones=(), precision="fp32"
    )
    module = VDSRSettings(depth=3, width=8)
    networks = _small_networks(dropout=0.5, stripes=4)
    return Profile(
        name="smoke",
        data=replace(data, train_identities=6, test_identities=6),
        schedule=schedule,
        plain_schedule=schedule,
        solo_schedule=replace(schedule, epochs=1),
        adversarial_schedule=schedule,
        evaluation=EvaluationSettings(flip=False, draws=5, query_rates=(1, 4)),
        size=(64, 32),
        augmentation=Augmentation(padding=3),
        ps_hrnet=PSHRNetSettings(network=_small_hrnet(dropout=0.5), restoration=module),
        plain=RestoreAndIdentifySettings(network=networks["ResNet-50"]),
        conventional={networks["ResNet-50"].title: networks["ResNet-50"], "PCB": networks["PCB"]},
        backbones=networks,
        modules=RestorationModules(
            srcnn=SRCNNSettings(widths=(8, 4)),
            vdsr=replace(module, attention_channels=None),
            rcan=RCANSettings(groups=1, blocks=1, width=8, attention_channels=2, scale=4),
            vdsr_ca=module,
        ),
        cad_net=_small_cad_net("test_resnet"),
        lrar=_small_lrar(
            PooledClassifierSettings(
                backbone="resnet18", backbone_options=_ONE_BLOCK_A_STAGE, dropout=0.0, feature_length=64
            )
        ),
    )


def _quick(data: DataSettings) -> Profile:
    """As `native`, on few identities and with a smaller HRNet, so that the whole study fits into half an hour."""
    native, small = _native(data), _small_hrnet(dropout=0.2)  # half of l_f dropped is too much for so few steps
    return replace(
        native,
        name="quick",
        data=replace(data, train_identities=54, test_identities=240),
        schedule=replace(native.schedule, warmup_epochs=1),
        ps_hrnet=replace(native.ps_hrnet, network=small),
        plain_schedule=_pretrained_schedule(epochs=8),
        solo_schedule=_solo_schedule(epochs=16),
        adversarial_schedule=_pretrained_schedule(epochs=8),
        backbones=_small_networks(dropout=0.0),
    )


def _native(data: DataSettings) -> Profile:
    """Whole data sets at half the paper's size: every system on one network that others trained for re-identification.

    What a system adds is thus compared all else being equal. PS-HRNet and Tables V to VII have the paper's networks,
    but for the HRNet, which is timm's smallest.
    """
    osnet, hrnet, modules = OSNetSettings(), HRNetReIDSettings(backbone="hrnet_w18_small"), _small_modules()
    warmup: dict[str, Any] = {"warmup_epochs": 2, "warmup_learning_rate": 5e-3, "ramp": True}
    return Profile(
        name="native",
        data=data,
        evaluation=EvaluationSettings(flip=False, query_rates=(1, 2, 3, 4, 8)),
        size=(128, 64),
        augmentation=Augmentation(padding=5),
        ps_hrnet=PSHRNetSettings(
            network=hrnet, restoration=modules.vdsr_ca, **_BY_ADAM, restoration_learning_rate_scale=0.025
        ),
        schedule=Schedule(epochs=24, **warmup, learning_rate=4e-2, decay="cosine", milestones=()),
        plain=RestoreAndIdentifySettings(network=osnet, cross_entropy_weight=1.0, triplet_weight=0.0, **_BY_ADAM),
        plain_schedule=_pretrained_schedule(epochs=14, identities_per_batch=8),
        solo_schedule=_solo_schedule(epochs=4),
        modules=modules,
        conventional={osnet.title: osnet},
        backbones=conventional_networks() | {"HRNet-W32-C": PooledClassifierSettings(backbone=hrnet.backbone)},
        adversarial_schedule=_pretrained_schedule(epochs=14, identities_per_batch=8),
        cad_net=_small_cad_net(osnet.backbone),
        lrar=_small_lrar(osnet),
    )


# A restoration module's own player, chosen on validation identities: docs/tuning.md.
_BY_ADAM: dict[str, Any] = {"restoration_optimizer": "adam", "identity_gradient": False}

# On the built-in data a ResNet so narrow learns more in a given time: rank-1 39 after 12 s, ResNet-18's 32 after 38 s.
_NARROW_STAGES = (("layers", (1, 1, 1, 1)), ("channels", (32, 48, 48, 96)))
_ONE_BLOCK_A_STAGE = (*_NARROW_STAGES, ("stem_type", "deep"), ("stem_width", 16))

# So does the smallest HRNet with a block a branch instead of two.
_ONE_BLOCK_A_BRANCH = (("width", 16), ("blocks", 1), ("stem_width", 16))


def _pretrained_schedule(*, epochs: int, **options: Any) -> Schedule:
    """For networks that know the task: Adam at 1e-3; by SGD with triplets OSNet collapsed."""
    return Schedule(
        epochs=epochs, optimizer="adam", learning_rate=1e-3, warmup_epochs=0, decay="cosine", milestones=(), **options
    )


def _solo_schedule(*, epochs: int) -> Schedule:
    return replace(_pretrained_schedule(epochs=epochs), learning_rate=2e-3)


def _small_hrnet(*, dropout: float) -> HRNetReIDSettings:
    return HRNetReIDSettings(backbone="hrnet_w18_small", backbone_options=_ONE_BLOCK_A_BRANCH, dropout=dropout)


def _small_networks(*, dropout: float, stripes: int = 6) -> dict[str, ClassifierSettings]:
    few_layers = (("block_config", (2, 4, 6, 4)), ("growth_rate", 16))
    built = {
        "ResNet-50": ("resnet18", _ONE_BLOCK_A_STAGE),
        "SE-ResNet-50": ("seresnet18", _ONE_BLOCK_A_STAGE),
        "DenseNet-121": ("densenet121", few_layers),
        "HRNet-W32-C": ("hrnet_w18_small", _ONE_BLOCK_A_BRANCH),
    }
    networks: dict[str, ClassifierSettings] = {
        name: PooledClassifierSettings(backbone=backbone, backbone_options=options, dropout=dropout)
        for name, (backbone, options) in built.items()
    }
    pcb = PCBSettings(backbone="resnet18", backbone_options=_ONE_BLOCK_A_STAGE, stripes=stripes)
    return networks | {"PCB": pcb}


def _small_cad_net(backbone: str) -> CADNetSettings:
    """For short trainings, which a margin of 2 draws together before they have learnt anything.

    Nor does a decoder learn to draw a whole image in so few steps: it predicts what the input lacks.
    """
    return CADNetSettings(
        encoder=CrossResolutionEncoderSettings(backbone=backbone),
        decoder=ImageDecoderSettings(width=4, add_input=True),
        discriminators=DiscriminatorSettings(widths=(16, 32, 64), image_backbone=None),
        margin=0.3,
        learning_rate_scale=1.0,
    )


def _small_lrar(network: PooledClassifierSettings | OSNetSettings) -> LRARSettings:
    """Masks that start far apart draw the levels' descriptors apart, and few steps do not bring them together again."""
    return LRARSettings(network=network, masks=ResolutionMaskSettings(initial_deviation=0.1))


def _small_modules() -> RestorationModules:
    """Narrow and shallow, and starting at the identity: from other weights few epochs lead nowhere."""
    vdsr = VDSRSettings(depth=6, width=16, initialisation="identity")
    return RestorationModules(
        srcnn=SRCNNSettings(widths=(16, 8), initialisation="identity"),
        vdsr=replace(vdsr, attention_channels=None),
        rcan=RCANSettings(groups=2, blocks=4, width=32, attention_channels=4, scale=4),
        vdsr_ca=vdsr,
    )
