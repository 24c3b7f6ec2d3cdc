"""What several tests compare with: losses as one would read them, and weights bit by bit."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def triplet_by_loops(embeddings: Tensor, identities: Tensor, margin: float) -> float:
    """Equation 7 as printed."""
    points, names = embeddings.double().tolist(), identities.tolist()
    total = 0.0
    for anchor, name in zip(points, names, strict=True):
        positives = [math.dist(anchor, p) for p, other in zip(points, names, strict=True) if other == name]
        negatives = [math.dist(anchor, p) for p, other in zip(points, names, strict=True) if other != name]
        total += max(0.0, margin + max(positives) - min(negatives))
    return total / len(points)


def cross_entropy_by_loops(logits: Tensor, targets: Tensor, epsilon: float) -> float:
    """Equations 8 and 9 as printed, with a mean over images."""
    total = 0.0
    for row, truth in zip(logits.double().tolist(), targets.tolist(), strict=True):
        count, normaliser = len(row), sum(math.exp(value) for value in row)
        for label, value in enumerate(row):
            q = 1 - (count - 1) / count * epsilon if label == truth else epsilon / count
            total -= q * math.log(math.exp(value) / normaliser)
    return total / len(targets)


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
