"""One operation against the four modules that it stands for."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from crreid.models import channel_attention
from crreid.models.channel_attention import ChannelAttention

LAYOUTS = (torch.contiguous_format, torch.channels_last)
MAPS, GRADIENT, WEIGHTS = 0, 1, slice(2, None)  # of what `learned` returns


class Naive(nn.Module):
    """Eq. 2-4 as anyone would write them."""

    def __init__(self, channels: int, bottleneck: int, *, rectified: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, bottleneck, kernel_size=1)
        self.expand = nn.Conv2d(bottleneck, channels, kernel_size=1)
        self.rectified = rectified

    def forward(self, maps: Tensor) -> Tensor:
        means = maps.mean(dim=(2, 3), keepdim=True)
        attended = maps * self.expand(self.reduce(means).relu()).sigmoid()
        return attended.relu() if self.rectified else attended


def pair(channels: int, *, rectified: bool, seed: int = 0) -> tuple[ChannelAttention, Naive]:
    """Both with the same weights, some units of the bottleneck on, some off; scales near 1 as in trained networks."""
    torch.manual_seed(seed)
    fused, naive = (kind(channels, 4, rectified=rectified) for kind in (ChannelAttention, Naive))
    for parameter in naive.parameters():
        nn.init.normal_(parameter, std=0.5)
    naive.expand.bias.data += 2
    fused.load_state_dict(naive.state_dict())
    return fused, naive


def noise(*shape: int, layout: torch.memory_format = torch.contiguous_format, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).contiguous(memory_format=layout)


def learned(module: nn.Module, maps: Tensor, gradient: Tensor, *, autocast: bool = False) -> list[Tensor]:
    """The result, its gradient by the maps, and by every weight, in float64."""
    module, maps = deepcopy(module), maps.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        result = module(maps)
    result.backward(gradient)
    found = [result.detach(), maps.grad, *(parameter.grad for parameter in module.parameters())]
    return [tensor.double() for tensor in found if tensor is not None]


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(params=["whole", "image by image"])
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "image by image":
        monkeypatch.setattr(channel_attention, "_VALUES_IN_CACHE", 1)


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 8, 7, 5), (1, 6, 1, 1), (2, 1, 4, 4)])
def test_equals_the_modules_in_float32(shape: tuple[int, ...], layout: torch.memory_format, rectified: bool) -> None:
    fused, naive = pair(shape[1], rectified=rectified)
    maps, gradient = (noise(*shape, layout=layout, seed=seed) for seed in (1, 2))
    for found, expected in zip(learned(fused, maps, gradient), learned(naive, maps, gradient), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_those_of_finite_differences(layout: torch.memory_format, rectified: bool) -> None:
    fused, _ = pair(3, rectified=rectified)
    maps = noise(2, 3, 3, 2, layout=layout).double().requires_grad_()
    weights = {name: parameter.detach().double().requires_grad_() for name, parameter in fused.named_parameters()}

    def attended(maps: Tensor, *values: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(fused, dict(zip(weights, values, strict=True)), maps)
        return result

    assert torch.autograd.gradcheck(attended, (maps, *weights.values()))


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_under_autocast_nearer_to_exact_gradients_than_the_modules(layout, rectified):
    """Relative distances in the norm, mean of ten draws: at most half a percent, and at most those of the modules."""
    errors = torch.zeros(2, 6, dtype=torch.float64)
    for seed in range(10):
        modules = pair(16, rectified=rectified, seed=seed)
        maps = noise(4, 16, 32, 16, layout=layout, seed=seed) + noise(4, 16, 1, 1, seed=seed + 100)
        maps, gradient = maps.bfloat16(), noise(4, 16, 32, 16, layout=layout, seed=seed + 200).bfloat16()
        exact = learned(modules[1].double(), maps.double(), gradient.double())
        for row, module in enumerate((modules[0], modules[1].float())):
            found = learned(module, maps, gradient, autocast=True)
            errors[row] += torch.tensor([distance(*both) for both in zip(found, exact, strict=True)]) / 10
    fused, naive = errors
    assert (fused <= naive).all()
    assert (fused[[MAPS, GRADIENT]] < 0.003).all()  # bfloat16 itself: 2 ** -9 = 0.002
    assert (fused[WEIGHTS] < 0.01).all()


def test_takes_gradients_that_are_expanded_or_laid_out_otherwise() -> None:
    fused, naive = pair(4, rectified=True)
    maps = noise(2, 4, 6, 5, layout=torch.channels_last)
    for gradient in (torch.full((1, 1, 1, 1), 0.5).expand(2, 4, 6, 5), noise(2, 4, 6, 5), noise(2, 4, 5, 6).mT):
        for found, expected in zip(learned(fused, maps, gradient), learned(naive, maps, gradient), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_repeats_bit_by_bit() -> None:
    fused, _ = pair(8, rectified=True)
    maps, gradient = noise(4, 8, 32, 16), noise(4, 8, 32, 16, seed=2)
    assert all(map(torch.equal, learned(fused, maps, gradient), learned(fused, maps, gradient)))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, nullcontext])
def test_result_is_the_same_without_gradients(mode: Callable[[], object]) -> None:
    fused, naive = pair(8, rectified=True)
    maps = noise(2, 8, 6, 4)
    with mode():
        result = fused(maps)
    assert result.requires_grad == (mode is nullcontext)
    torch.testing.assert_close(result, naive(maps))
    assert torch.equal(maps, noise(2, 8, 6, 4))  # not changed in place


@pytest.mark.parametrize("frozen", ["maps", "weights"])
def test_learns_what_is_not_frozen(frozen: str) -> None:
    fused, naive = pair(8, rectified=True)
    for module in (fused, naive):
        maps = noise(2, 8, 6, 4).requires_grad_(frozen != "maps")
        module.requires_grad_(frozen != "weights")
        module(maps).square().sum().backward()
        assert (maps.grad is None) == (frozen == "maps")
    for found, expected in zip(fused.parameters(), naive.parameters(), strict=True):
        assert (found.grad is None) == (frozen == "weights")
        torch.testing.assert_close(found.grad, expected.grad)


def test_backward_pass_within_autocast_changes_nothing() -> None:
    fused, _ = pair(8, rectified=True)
    maps, gradient = noise(2, 8, 6, 4), noise(2, 8, 6, 4, seed=2)
    outside = learned(fused, maps, gradient, autocast=True)
    with torch.autocast("cpu", torch.bfloat16):
        inside = learned(fused, maps, gradient, autocast=True)
    assert all(map(torch.equal, inside, outside))
