"""Descriptors laid out in a plane so that near ones stay near (t-SNE)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from crreid.errors import InputError

__all__ = ["neighbour_map"]


def neighbour_map(features: NDArray[np.float32], *, perplexity: float = 30.0, seed: int = 0) -> NDArray[np.float32]:
    """t-SNE (van der Maaten and Hinton, 2008) of descriptors by their cosine distance.

    Only who lies near whom means something in it: distances between clusters, their sizes and the axes do not.

    Args:
        features: (N, D) finite descriptors, none of them zero, N at least 5.
        perplexity: About how many neighbours count; at most a third of the images.
        seed: Of the optimisation, which starts from the first two principal components.

    Returns:
        (N, 2) places, centred, the same for the same input on one machine.

    Raises:
        InputError: Too few descriptors, or one that is not finite or zero.
    """
    if features.ndim != 2 or len(features) < 5:
        raise InputError(f"features has the shape {features.shape}; expected (images, dimensions), at least 5 images")
    lengths = np.linalg.norm(features.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise InputError(f"features of image {bad[0]} are not finite or all zero; expected a direction")
    near = min(perplexity, (len(features) - 1) / 3)
    # exact: some hundred images, and no approximation whose result depends on the number of threads
    layout = TSNE(perplexity=near, metric="cosine", init="pca", method="exact", random_state=seed)
    places: NDArray[np.float32] = np.asarray(layout.fit_transform(features / lengths[:, None]), dtype=np.float32)
    centred: NDArray[np.float32] = places - places.mean(axis=0)
    return centred
