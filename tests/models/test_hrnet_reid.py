from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from crreid.errors import InputError
from crreid.models.hrnet_reid import GRIDS, HRNetReID, HRNetReIDSettings

SMALL = HRNetReIDSettings(backbone="hrnet_w18_small")
LENGTHS = [2048, 1024, 2048, 1024, 6144]


def build(settings: HRNetReIDSettings = SMALL, identities: int = 5) -> HRNetReID:
    torch.manual_seed(0)
    return HRNetReID(settings, identities).eval()


@pytest.fixture(scope="module")
def network() -> HRNetReID:
    return build()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def windows(size: int, grid: int) -> list[slice]:
    """Adaptive pooling's windows: floor of the start, ceiling of the end."""
    return [slice(i * size // grid, -(-(i + 1) * size // grid)) for i in range(grid)]


def pooled(maps: np.ndarray, grid: int, reduce: Callable[..., np.ndarray]) -> np.ndarray:
    rows, columns = windows(maps.shape[2], grid), windows(maps.shape[3], grid)
    cells = [reduce(maps[:, :, row, column], axis=(2, 3)) for row in rows for column in columns]
    return np.stack(cells, axis=2).reshape(len(maps), -1)


def test_paper_network_has_34414383_parameters_and_uses_all() -> None:
    paper = build(HRNetReIDSettings(), 751)
    assert sum(parameter.numel() for parameter in paper.parameters()) == 34_414_383
    output = paper(torch.randn(2, 3, 64, 32))
    (sum(s.square().sum() for s in output.sequences) + output.logits.square().sum()).backward()
    assert [name for name, parameter in paper.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("pooling", ["both", "average", "maximum"])
def test_sequences_equal_equation_6_written_with_windows(pooling: str, images: torch.Tensor) -> None:
    weights = (0.5, 0.2, 0.3, 0.4)
    network = build(replace(SMALL, pooling=pooling, maximum_weights=weights))
    with torch.no_grad():
        maps = [m.numpy() for m in network.backbone(images)]
        sequences = [s.numpy() for s in network(images).sequences]
    for branch, (grid, weight) in enumerate(zip(GRIDS, weights, strict=True)):
        average, maximum = pooled(maps[branch], grid, np.mean), pooled(maps[branch], grid, np.max)
        expected = {"both": average + weight * maximum, "average": average, "maximum": maximum}[pooling]
        np.testing.assert_allclose(sequences[branch], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(sequences[4], np.concatenate(sequences[:4], axis=1))


def test_embedding_is_seq5_and_feature_in_a_row(network: HRNetReID, images: torch.Tensor) -> None:
    with torch.no_grad():
        output, embedding = network(images), network.embed(images)
    assert torch.equal(embedding, torch.cat((output.sequences[4], output.features), dim=1))


def test_head_is_initialised_as_stated() -> None:
    network = build(identities=300)
    assert network.reduction.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert network.classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert network.classifier.weight.mean().item() == pytest.approx(0, abs=2e-5)
    assert not network.reduction.bias.any()
    assert not network.classifier.bias.any()


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 3, 100, 64), (1, 3, 0, 0)])
def test_sizes_that_do_not_fit_are_refused(network: HRNetReID, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 32"):
        network(torch.randn(shape))
