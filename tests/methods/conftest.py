import pytest
import torch

from crreid.data.pairs import PairBatch


@pytest.fixture(scope="session")
def batch() -> PairBatch:
    """Two images of each of three identities, at rates that need every level of LRAR."""
    generator = torch.Generator().manual_seed(0)
    high, noise = torch.randn(2, 6, 3, 64, 32, generator=generator)
    labels, rates = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([2.0, 3.0, 4.0, 2.0, 3.0, 4.0])
    return PairBatch(high=high, low=high + 0.5 * noise, labels=labels, rates=rates)
