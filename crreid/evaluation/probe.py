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
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crreid.errors import InputError

__all__ = ["probe"]

FOLDS = 5  # fewer where there are fewer identities


def probe(
    features: NDArray[np.float32],
    targets: NDArray[np.float64],
    identities: NDArray[np.int64],
    *,
    penalties: Sequence[float] = (1.0, 100.0),
) -> pd.DataFrame:
    """Cross-validate a logistic regression by identity: all images of an identity are in one fold.

    Features are standardised by the training folds, and the penalty is chosen among them by identities too, since one
    that suits few loud features hides many faint ones. Classes count alike, however many images each has. Nothing is
    drawn: the same descriptors give the same result.

    Args:
        features: (N, D) finite descriptors.
        targets: (N,) what is to be told, e.g. the downsampling rate; every value is a class.
        identities: (N,) identities, at least two.
        penalties: Strengths of the L2 penalty to choose from (one over scikit-learn's C).

    Returns:
        One row per fold, each judged on identities that the classifier was not fitted to: fold (from 1), accuracy
        (balanced: the mean over the classes of the share recognised, in [0, 1]), chance (one over the number of
        classes), images (descriptors judged).

    Raises:
        InputError: Lengths that do not match, a number that is not finite, fewer than two classes, or a class that some
            fold does not hold or leaves no images to learn from.
    """
    _check(features, targets, identities)
    classes = np.unique(targets)
    labels = np.searchsorted(classes, targets)
    count = min(FOLDS, len(np.unique(identities)))
    lines = []
    for fold, (fitted, judged) in enumerate(GroupKFold(count).split(features, labels, identities), start=1):
        if any(len(np.unique(labels[part])) < len(classes) for part in (fitted, judged)):
            raise InputError(
                f"fold {fold} of {count} lacks one of the {len(classes)} classes; "
                "expected every identity at every resolution"
            )
        penalty = _chosen_penalty(features[fitted], labels[fitted], identities[fitted], penalties)
        accuracy = _accuracy(features, labels, fitted, judged, penalty=penalty)
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
    reached = [sum(_accuracy(features, labels, *split, penalty=penalty) for split in splits) for penalty in penalties]
    return penalties[int(np.argmax(reached))]


def _accuracy(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    fitted: NDArray[np.int64],
    judged: NDArray[np.int64],
    *,
    penalty: float,
) -> float:
    """Return the balanced accuracy on some rows of a classifier fitted to others."""
    regression = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=1000)
    model = make_pipeline(StandardScaler(), regression)
    model.fit(features[fitted].astype(np.float64), labels[fitted])
    return float(balanced_accuracy_score(labels[judged], model.predict(features[judged].astype(np.float64))))


def _check(features: NDArray[np.float32], targets: NDArray[np.float64], identities: NDArray[np.int64]) -> None:
    if features.ndim != 2 or not len(features) or not np.isfinite(features).all():
        raise InputError(f"features of shape {features.shape} must be finite numbers (images, dimensions)")
    for name, values in (("targets", targets), ("identities", identities)):
        if values.shape != (len(features),):
            raise InputError(f"{name} has the shape {values.shape}; expected ({len(features)},), one for each image")
    if len(np.unique(targets)) < 2:
        raise InputError("targets has one class only; expected at least two resolutions to tell apart")
    if len(np.unique(identities)) < 2:
        raise InputError("a probe needs images of at least 2 identities")
