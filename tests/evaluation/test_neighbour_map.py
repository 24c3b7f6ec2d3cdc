"""The t-SNE: neighbours stay neighbours, the same every time."""

import numpy as np
import pytest

from crreid.errors import InputError
from crreid.evaluation.neighbour_map import neighbour_map


def clusters(size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Three directions with a little noise and lengths that say nothing."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), size)
    directions = np.eye(3, 16)[labels] + 0.05 * generator.normal(size=(3 * size, 16))
    lengths = generator.uniform(0.1, 10, (3 * size, 1))
    return (directions * lengths).astype(np.float32), labels


def test_neighbours_in_direction_stay_neighbours() -> None:
    features, labels = clusters()
    places = neighbour_map(features)
    assert places.shape == (36, 2)
    assert places.dtype == np.float32
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()
    assert np.allclose(places.mean(axis=0), 0, atol=1e-3)


def test_the_same_every_time() -> None:
    features, _ = clusters()
    before = np.random.get_state()[1].copy()  # noqa: NPY002 -- it must stay what it was
    assert np.array_equal(neighbour_map(features), neighbour_map(features))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_few_points_have_few_neighbours() -> None:
    assert np.isfinite(neighbour_map(clusters()[0][::6])).all()


def test_bad_input() -> None:
    features, _ = clusters()
    with pytest.raises(InputError, match=r"shape \(4, 16\).*at least 5 images"):
        neighbour_map(features[:4])
    for value in (0, np.nan):
        spoiled = features.copy()
        spoiled[7] = value
        with pytest.raises(InputError, match="features of image 7 are not finite or all zero"):
            neighbour_map(spoiled)
