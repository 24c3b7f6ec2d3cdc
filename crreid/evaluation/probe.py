"""How well a simple classifier tells the resolution of an image from its descriptor.

A descriptor that hides the resolution leaves the probe at chance. A probe well above chance proves that the resolution
is encoded in the descriptor; one at chance only proves that no linear classifier reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crreid.errors import InputError


def probe(
    features: NDArray[np.float32],
    targets: NDArray[np.float64],
    identities: NDArray[np.int64],
    *,
    penalties: Sequence[float] = (1.0, 100.0),
) -> pd.DataFrame:
    """Cross-validate a logistic regression by identity: all images of an identity are in one of at most five folds.

    Features are standardised by the training folds, and the penalty is chosen among them by identities too, since one
    that suits few loud features hides many faint ones. Nothing is drawn: the same descriptors give the same result.

    Args:
        features: (N, D) finite descriptors.
        targets: (N,) what is to be told, e.g. the downsampling rate; every value is a class.
        identities: (N,), at least two different ones.
        penalties: Strengths of the L2 penalty to choose from (one over scikit-learn's C).

    Returns:
        One row per fold: fold (from 1), accuracy (balanced: the mean over the classes of the share recognised, in
        [0, 1]), chance (one over the number of classes), images (descriptors judged). Raises InputError where a class
        is not on both sides of every fold.
    """
    classes = np.unique(targets)
    labels = np.searchsorted(classes, targets)
    count = min(5, len(np.unique(identities)))
    lines = []
    for fold, (fitted, judged) in enumerate(GroupKFold(count).split(features, labels, identities), start=1):
        if any(len(np.unique(labels[part])) < len(classes) for part in (fitted, judged)):
            lacks = f"fold {fold} of {count} lacks one of the {len(classes)} classes"
            raise InputError(f"{lacks}; expected every identity at every resolution")
        penalty = _chosen_penalty(features[fitted], labels[fitted], identities[fitted], penalties)
        accuracy = _accuracies(features, labels, [(fitted, judged)], penalty)[0]
        lines.append({"fold": fold, "accuracy": accuracy, "chance": 1 / len(classes), "images": len(judged)})
    return pd.DataFrame(lines)


def _chosen_penalty(
    features: NDArray[np.float32], labels: NDArray[np.int64], identities: NDArray[np.int64], penalties: Sequence[float]
) -> float:
    """Return the penalty that is best on held-out identities; of equal ones, and for one identity, the first."""
    count = min(3, len(np.unique(identities)))
    if len(penalties) == 1 or count == 1:
        return penalties[0]
    splits = list(GroupKFold(count).split(features, labels, identities))
    reached = [sum(_accuracies(features, labels, splits, penalty)) for penalty in penalties]
    return penalties[int(np.argmax(reached))]


def _accuracies(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    splits: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    penalty: float,
) -> list[float]:
    """Return for each split (fitted rows, judged rows) the balanced accuracy of a classifier."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=1000))
    options = {"cv": splits, "scoring": "balanced_accuracy", "error_score": "raise"}
    return [float(found) for found in cross_val_score(model, features.astype(np.float64), labels, **options)]
