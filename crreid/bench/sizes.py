"""What the benchmark runs on: networks, batches and images of each size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch

from crreid.data.augmentation import Augmentation
from crreid.errors import InputError
from crreid.methods.method import Method
from crreid.methods.ps_hrnet import HRNetReIDHighSettings, PSHRNetSettings
from crreid.methods.restore_and_identify import RestoreAndIdentifySettings
from crreid.models.classifier import ClassifierSettings
from crreid.models.hrnet_reid import HRNetReIDSettings
from crreid.models.pcb import PCBSettings
from crreid.models.pooled_classifier import PooledClassifierSettings
from crreid.models.vdsr import VDSRSettings
from crreid.profiles import profile_settings
from crreid.training.schedule import Schedule

__all__ = ["BenchSize", "SizeName", "bench_size", "built"]

SizeName = Literal["paper", "quick", "tiny"]

CPU_BATCH = (3, 4)  # of the paper's size on a processor, where a step of the whole batch takes most of a minute


@dataclass(frozen=True, kw_only=True)
class BenchSize:
    """Networks, batches, images.

    Attributes:
        name: `paper`, `quick` or `tiny`.
        size: (height, width) of the networks' input.
        network: HRNet-ReID, teacher's and student's.
        restoration: VDSR-CA.
        models: The networks whose layout and precision are compared.
        batch: (identities, images of each).
        whole_batch: The same in the profile that the size stands for.
        augmentation: Of training pairs.
        identities: Of the networks' classifiers.
        train_identities: In the built-in images that epochs and loaders go through.
        images_per_camera: Of each of them, in each of four cameras.
        loaded_pairs: Pairs that loaders are timed with.
        images: Embedded for the test.
        ranking: (queries, gallery).
        product: Side of the square matrices whose product gives the peak of arithmetic.
        seconds: For which each measurement is repeated in one process.
    """

    name: SizeName
    size: tuple[int, int]
    network: HRNetReIDSettings
    restoration: VDSRSettings
    models: Mapping[str, ClassifierSettings]
    batch: tuple[int, int]
    whole_batch: tuple[int, int]
    augmentation: Augmentation
    identities: int
    train_identities: int
    images_per_camera: int
    loaded_pairs: int
    images: int
    ranking: tuple[int, int]
    product: int
    seconds: float

    def schedule(self, precision: Literal["bf16", "fp32"], epochs: int = 1) -> Schedule:
        """The optimiser's settings, at a rate at which nothing diverges within a few steps."""
        return Schedule(
            epochs=epochs,
            identities_per_batch=self.batch[0],
            images_per_identity=self.batch[1],
            warmup_epochs=epochs,
            precision=precision,
        )


def bench_size(name: SizeName, device: torch.device, identities_per_batch: int | None = None) -> BenchSize:
    """A size as measured on a device.

    Args:
        name: `paper` (256 x 128, HRNet-W32, VDSR-CA 20 x 64), `quick` (the profile's networks) or `tiny` (for tests).
        device: A processor takes smaller batches and fewer images of the paper's size.
        identities_per_batch: P, other than the size's.

    Raises:
        InputError: An unknown size, or fewer than two identities a batch.
    """
    on_gpu = device.type == "cuda"
    match name:
        case "paper":
            size = _paper(on_gpu)
        case "quick":
            size = _quick(on_gpu)
        case "tiny":
            size = _tiny()
        case _:
            raise InputError(f"unknown size {name!r}; expected paper, quick or tiny")
    if identities_per_batch is None:
        return size
    if identities_per_batch < 2:
        raise InputError(f"batches need at least 2 identities, not {identities_per_batch}")
    identities = max(size.train_identities, identities_per_batch)
    return replace(size, batch=(identities_per_batch, size.batch[1]), train_identities=identities)


def _paper(on_gpu: bool) -> BenchSize:
    whole = Schedule().identities_per_batch, Schedule().images_per_identity
    profile = profile_settings("paper", "mlr-synthetic")
    return BenchSize(
        name="paper",
        size=profile.size,
        network=profile.network,
        restoration=profile.restoration,
        models=_models("hrnet_w32"),
        batch=whole if on_gpu else CPU_BATCH,
        whole_batch=whole,
        augmentation=profile.augmentation,
        identities=751,
        train_identities=100 if on_gpu else CPU_BATCH[0],
        images_per_camera=4 if on_gpu else 2,
        loaded_pairs=4800 if on_gpu else 1200,
        images=2048 if on_gpu else 16,
        ranking=(3368, 15913),
        product=8192 if on_gpu else 2048,
        seconds=5.0,
    )


def _quick(on_gpu: bool) -> BenchSize:
    profile = profile_settings("quick", "mlr-synthetic")
    batch = profile.schedule.identities_per_batch, profile.schedule.images_per_identity
    return BenchSize(
        name="quick",
        size=profile.size,
        network=profile.network,
        restoration=profile.restoration,
        models=_models("hrnet_w18_small"),
        batch=batch,
        whole_batch=batch,
        augmentation=profile.augmentation,
        identities=60,
        train_identities=100 if on_gpu else 18,
        images_per_camera=4,
        loaded_pairs=4800 if on_gpu else 1200,
        images=2048 if on_gpu else 256,
        ranking=(3368, 15913),
        product=8192 if on_gpu else 2048,
        seconds=5.0,
    )


def _tiny() -> BenchSize:
    profile = profile_settings("smoke", "mlr-synthetic")
    return BenchSize(
        name="tiny",
        size=profile.size,
        network=profile.network,
        restoration=profile.restoration,
        models={"ResNet-18": PooledClassifierSettings(backbone="resnet18")},
        batch=(2, 2),
        whole_batch=(3, 4),
        augmentation=profile.augmentation,
        identities=3,
        train_identities=2,
        images_per_camera=2,
        loaded_pairs=16,
        images=8,
        ranking=(40, 300),
        product=256,
        seconds=0.1,
    )


def _models(hrnet: str) -> dict[str, ClassifierSettings]:
    pooled = {"ResNet-50": "resnet50", "DenseNet-121": "densenet121", "SE-ResNet-50": "seresnet50"}
    models: dict[str, ClassifierSettings] = {
        title: PooledClassifierSettings(backbone=backbone) for title, backbone in pooled.items()
    }
    hrnet_title = {"hrnet_w32": "HRNet-W32", "hrnet_w18_small": "HRNet-W18-small"}[hrnet]
    return models | {hrnet_title: PooledClassifierSettings(backbone=hrnet), "PCB": PCBSettings()}


def built(size: BenchSize, identities: int, model: str = "") -> Method:
    """PS-HRNet with its teacher, or a network of `size.models` alone; weights as the seed 0 gives them."""
    torch.manual_seed(0)
    if model:
        return RestoreAndIdentifySettings(network=size.models[model]).build(identities)
    teacher = HRNetReIDHighSettings(network=size.network).build(identities)
    return PSHRNetSettings(network=size.network, restoration=size.restoration).build(identities, teacher)
