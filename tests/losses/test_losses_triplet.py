import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import triplet_by_loops
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer

from crreid.errors import InputError
from crreid.losses.triplet import batch_hard_triplet, sequence_triplet


def batch(persons: int, images: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(persons * images, length, dtype=torch.float64, generator=generator)
    identities = torch.arange(persons).repeat_interleave(images)
    return embeddings, identities[torch.randperm(persons * images, generator=generator)] * 7 + 3


def by_library(embeddings: torch.Tensor, identities: torch.Tensor, margin: float) -> torch.Tensor:
    distance = LpDistance(normalize_embeddings=False)
    loss = TripletMarginLoss(margin=margin, distance=distance, reducer=MeanReducer())
    result: torch.Tensor = loss(embeddings, identities, BatchHardMiner(distance=distance)(embeddings, identities))
    return result


@settings(max_examples=30, deadline=None)
@given(
    persons=st.integers(2, 5),
    images=st.integers(2, 4),
    length=st.integers(1, 9),
    margin=st.floats(0, 3),
    seed=st.integers(0, 2**31),
)
def test_equals_equation_7_written_as_loops(persons: int, images: int, length: int, margin: float, seed: int) -> None:
    embeddings, identities = batch(persons, images, length, seed)
    loss = batch_hard_triplet(embeddings, identities, margin)
    assert loss.item() == pytest.approx(triplet_by_loops(embeddings, identities, margin), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("margin", [0.1, 0.3])
def test_equals_pytorch_metric_learning_with_its_gradient(margin: float, seed: int) -> None:
    embeddings, identities = batch(6, 4, 16, seed)
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss, reference = batch_hard_triplet(ours, identities, margin), by_library(theirs, identities, margin)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradient_by_finite_differences() -> None:
    embeddings, identities = batch(3, 2, 4, 0)
    assert torch.autograd.gradcheck(
        lambda x: batch_hard_triplet(x, identities, margin=1.0), embeddings.requires_grad_()
    )


@pytest.mark.parametrize("embeddings", [torch.zeros(4, 3), torch.tensor([[1.0, 2.0]] * 2 + [[1.5, 2.5]] * 2)])
def test_duplicate_images_give_finite_gradients(embeddings: torch.Tensor) -> None:
    points = embeddings.clone().requires_grad_()
    loss = batch_hard_triplet(points, torch.tensor([0, 0, 1, 1]), margin=1.0)
    loss.backward()
    assert loss.isfinite()
    assert points.grad.isfinite().all()


def test_near_duplicates_far_from_the_origin_keep_their_distance() -> None:
    # more than 25 rows: where torch.cdist would by default take a matrix product and give twice this loss
    embeddings, identities = batch(10, 4, 64, 0)
    embeddings = 0.001 * embeddings + 100
    loss = batch_hard_triplet(embeddings.float(), identities, margin=0.3)
    assert loss.item() == pytest.approx(triplet_by_loops(embeddings.float().double(), identities, 0.3), rel=1e-4)


def test_sequence_triplet_is_the_sum_over_sequences() -> None:
    sequences = [batch(4, 3, length, seed)[0] for seed, length in enumerate((5, 3, 5, 3, 16))]
    identities = batch(4, 3, 1, 0)[1]
    expected = sum(triplet_by_loops(sequence, identities, 0.3) for sequence in sequences)
    assert sequence_triplet(sequences, identities).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("known", [[0, 1, 2], [0, 1], [1], []])
def test_only_labelled_images_are_anchor_positive_or_negative(known: list[int]) -> None:
    points = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    identities = torch.tensor([0, 1, 2, 0, 1, 2])
    labelled = torch.isin(identities, torch.tensor(known, dtype=torch.int64))
    loss = batch_hard_triplet(points, identities, 2.0, labelled)
    expected = triplet_by_loops(points[labelled], identities[labelled], 2.0) if len(known) > 1 else 0
    assert loss.item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, identities, 2.0, labelled), points)


@pytest.mark.parametrize(
    ("identities", "message"),
    [([5, 5, 5, 5], "shows 1 identities"), ([1, 1, 2, 9], "one image of identity [29]")],
)
def test_bad_batches_are_named(identities: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        batch_hard_triplet(torch.zeros(4, 2), torch.tensor(identities))
