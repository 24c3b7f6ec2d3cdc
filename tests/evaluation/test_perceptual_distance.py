import importlib.resources
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from crreid.errors import InputError
from crreid.evaluation.perceptual_distance import LEAST_SIDE, PerceptualDistance

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Of an AlexNet that has learnt nothing, by the names of torchvision's file, its classifier too."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = torchvision.models.alexnet(weights=None, num_classes=10).state_dict()
    return tensors


@pytest.fixture(scope="module")
def distance(weights: dict[str, Tensor]) -> PerceptualDistance:
    return PerceptualDistance(weights, origin="alexnet", device=CPU)


@pytest.fixture
def images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Three images of noise and three that are like them more and more."""
    generator = np.random.default_rng(1)
    first = generator.integers(0, 256, (3, 40, 33, 3))
    second = first + generator.integers(-1, 2, first.shape) * np.array([90, 30, 0])[:, None, None, None]
    return first.astype(np.uint8), second.clip(0, 255).astype(np.uint8)


def activations(image: NDArray[np.uint8], weights: dict[str, Tensor]) -> list[Tensor]:
    """AlexNet's five rectified maps (C, H, W) of one image, by hand."""
    values = 2 * torch.tensor(image).permute(2, 0, 1).float() / 255 - 1
    maps = (values - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
        :, None, None
    ]
    found = []
    for layer, stride, padding, pooled in ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False)):
        maps = max_pool2d(maps, 3, 2) if pooled else maps
        maps = conv2d(maps[None], *of(weights, layer), stride=stride, padding=padding)[0].relu()
        found.append(maps)
    return [*found, conv2d(maps[None], *of(weights, 10), padding=1)[0].relu()]


def of(weights: dict[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    return weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"]


def slow(original: NDArray[np.uint8], image: NDArray[np.uint8], weights: dict[str, Tensor]) -> float:
    """Eq. 1 of Zhang et al., pixel by pixel."""
    file = importlib.resources.files("lpips") / "weights" / "v0.1" / "alex.pth"
    with importlib.resources.as_file(file) as path:
        linear = torch.load(path, map_location="cpu", weights_only=True)
    total = 0.0
    for level, pair in enumerate(zip(activations(original, weights), activations(image, weights), strict=True)):
        scale = linear[f"lin{level}.model.1.weight"].flatten()
        _, height, width = pair[0].shape
        for row in range(height):
            for column in range(width):
                one, other = (maps[:, row, column] / (maps[:, row, column].norm() + 1e-10) for maps in pair)
                total += float((scale * (one - other) ** 2).sum()) / (height * width)
    return total


def test_equals_the_definition(
    distance: PerceptualDistance, weights: dict[str, Tensor], images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    found = distance(*images)
    assert found == pytest.approx([slow(*pair, weights) for pair in zip(*images, strict=True)], rel=1e-4, abs=1e-7)
    assert found[0] > found[1] > found[2] == 0
    assert distance(*reversed(images)) == pytest.approx(found)


def test_other_weights_give_another_distance(
    distance: PerceptualDistance, weights: dict[str, Tensor], images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    doubled = {name: 2 * tensor if name == "features.8.weight" else tensor for name, tensor in weights.items()}
    body = {name: tensor for name, tensor in doubled.items() if name.startswith("features")}
    other = PerceptualDistance(body, origin="alexnet", device=CPU)
    assert other(*images)[0] != pytest.approx(distance(*images)[0], rel=1e-3)


def test_smallest_images(distance: PerceptualDistance) -> None:
    image = np.zeros((1, LEAST_SIDE, LEAST_SIDE, 3), dtype=np.uint8)
    assert distance(image, image) == [0]
    with pytest.raises(InputError, match=rf"at least {LEAST_SIDE}"):
        distance(image[:, 1:], image[:, 1:])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 40, 40, 3)), "float64"),
        (np.zeros((40, 40, 3), dtype=np.uint8), "expected"),
        (np.zeros((2, 40, 40, 3), dtype=np.uint8), "one shape"),
    ],
)
def test_refuses_what_are_no_stacks_of_images(distance: PerceptualDistance, array: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        distance(np.zeros((1, 40, 40, 3), dtype=np.uint8), array)


def test_refuses_the_weights_of_another_network(weights: dict[str, Tensor]) -> None:
    with pytest.raises(InputError, match="another architecture"):
        PerceptualDistance({"conv1.weight": torch.zeros(3)}, origin="other.pth", device=CPU)
    incomplete = {name: tensor for name, tensor in weights.items() if name != "features.10.bias"}
    with pytest.raises(InputError, match=r"alexnet.pth: 1 tensors are missing"):
        PerceptualDistance(incomplete, origin="alexnet.pth", device=CPU)


def test_says_which_extra_is_missing(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"crreid\[lpips\]"):
        PerceptualDistance(weights, origin="alexnet", device=CPU)
