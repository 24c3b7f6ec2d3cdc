from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from crreid.errors import InputError
from crreid.models.resolution_masks import (
    ResolutionMask,
    ResolutionMasks,
    ResolutionMaskSettings,
    positions_in_training,
)

LEVELS = 4
BLOCKS = ("layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1")
DEFAULTS = ResolutionMaskSettings()


def build(settings: ResolutionMaskSettings = DEFAULTS, seed: int = 0) -> tuple[Any, ResolutionMasks]:
    torch.manual_seed(seed)
    backbone = timm.create_model("resnet18", num_classes=0)
    return backbone, ResolutionMasks(settings, backbone, LEVELS)


def each(masks: ResolutionMasks) -> dict[str, ResolutionMask]:
    return dict(zip(masks.positions, masks.masks, strict=True))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def levels() -> torch.Tensor:
    return torch.tensor([0, 3, 1, 2, 3])


def test_resnet_50_has_sixteen_masks_of_15104_channels() -> None:
    with torch.device("meta"):
        masks = ResolutionMasks(DEFAULTS, timm.create_model("resnet50", num_classes=0), LEVELS)
    assert len(masks.positions) == 16
    assert sum(mask.numel() for mask in masks.parameters()) == LEVELS * (3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048)


def test_equals_hooks_that_scale_image_by_image(images: torch.Tensor, levels: torch.Tensor) -> None:
    """The oracle: torch's own forward hooks on timm's modules, and the sum over one-hot levels of the paper."""
    backbone, masks = build()
    backbone.eval()

    def scale(mask: ResolutionMask) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            scaled = []
            for picture, level in zip(output, levels.tolist(), strict=True):
                one_hot = [float(k == level) for k in range(LEVELS)]
                factor = sum(s * (1 / (1 + torch.exp(-row))) for s, row in zip(one_hot, mask.raw, strict=True))
                scaled.append(picture * factor.view(-1, 1, 1))  # type: ignore[union-attr]
            return torch.stack(scaled)

        return hook

    with torch.no_grad():
        found = masks(backbone, images, levels)
        handles = [
            backbone.get_submodule(name).register_forward_hook(scale(mask)) for name, mask in each(masks).items()
        ]
        expected = backbone(images)
        for handle in handles:
            handle.remove()
    assert found.shape == (5, 512)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, backbone(images), rtol=0.05)


def test_gradient_of_a_mask_by_finite_differences() -> None:
    mask = ResolutionMask(3, 2, 1.0).double()
    maps = torch.randn(4, 2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([2, 0, 2, 1])

    def scaled(maps: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.func.functional_call(mask, {"raw": raw}, (maps, levels))
        return result

    assert torch.autograd.gradcheck(scaled, [maps.requires_grad_(), mask.raw.detach().requires_grad_()])


def test_initial_values_are_normal() -> None:
    masks = build(ResolutionMaskSettings(initial_deviation=0.5))[1]
    values = nn.utils.parameters_to_vector(masks.parameters())
    assert values.mean().item() == pytest.approx(3, abs=0.03)
    assert values.std().item() == pytest.approx(0.5, abs=0.03)


@given(positions=st.integers(1, 40), epochs=st.integers(1, 80))
def test_positions_take_their_turns_from_the_output_downwards(positions: int, epochs: int) -> None:
    turns = [positions_in_training(positions, epoch, epochs) for epoch in range(epochs)]
    assert turns[0].stop == positions
    assert turns[-1].start == 0
    assert all(len(turn) > 0 for turn in turns)
    distinct = list(dict.fromkeys(turns))
    assert len(distinct) == min(positions, epochs)
    assert [position for turn in reversed(distinct) for position in turn] == list(range(positions))
    shares = [turns.count(turn) for turn in distinct]
    assert max(shares) - min(shares) <= 1
    assert max(map(len, distinct)) - min(map(len, distinct)) <= 1
    if epochs >= positions:
        assert all(len(turn) == 1 for turn in turns)


def test_masks_of_frozen_positions_do_not_move_over_real_steps(images: torch.Tensor, levels: torch.Tensor) -> None:
    """With momentum and weight decay, from a phase in which they did move; and those to come do not move either."""
    torch.manual_seed(0)
    backbone = timm.create_model("test_resnet", num_classes=0)
    masks = ResolutionMasks(DEFAULTS, backbone, LEVELS)
    optimizer = torch.optim.SGD(
        [*backbone.parameters(), *masks.parameters()], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    )

    def moved(epoch: int) -> dict[str, bool]:
        masks.set_epoch(epoch, 4)
        before = {position: mask.raw.detach().clone() for position, mask in each(masks).items()}
        weights = backbone.layer1[0].conv1.weight.detach().clone()
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            masks(backbone, images, levels).square().mean().backward()
            optimizer.step()
        assert not torch.equal(backbone.layer1[0].conv1.weight, weights)
        return {position: not torch.equal(mask.raw, before[position]) for position, mask in each(masks).items()}

    for epoch in range(4):
        active = masks.positions[3 - epoch]
        assert moved(epoch) == {position: position == active for position in masks.positions}, epoch


def test_only_residual_networks_of_timm_take_masks() -> None:
    backbone = timm.create_model("hrnet_w18_small", num_classes=0)
    with pytest.raises(InputError, match=r"ResNet of timm, e\.g\. resnet50, or of OSNet, not of HighResolutionNet"):
        ResolutionMasks(DEFAULTS, backbone, LEVELS)
