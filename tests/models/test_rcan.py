import pytest
import torch

from crreid.errors import InputError
from crreid.models.rcan import RCAN, RCANSettings

SMALL = RCANSettings(groups=2, blocks=2, width=8, attention_channels=2)


def test_the_published_body_has_15296931_parameters() -> None:
    with torch.device("meta"):
        network = RCAN(RCANSettings())
    assert sum(parameter.numel() for parameter in network.parameters()) == 15_296_931


def test_skips_carry_the_maps_past_groups_that_do_nothing() -> None:
    """With all convolutions of the body at zero, each residual chain adds nothing: tail(head) is added to the image."""
    torch.manual_seed(0)
    network = RCAN(SMALL)
    for parameter in network.body.parameters():
        torch.nn.init.zeros_(parameter)
    images = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(network(images), images + network.tail(network.head(images)))


def test_packed_pixels_are_unpacked_to_their_places() -> None:
    network = RCAN(RCANSettings(groups=1, blocks=1, width=12, attention_channels=1, scale=2))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    for convolution in (network.head[1], network.tail[0]):
        for channel in range(12):
            convolution.weight.data[channel, channel, 1, 1] = 1  # each channel to itself
    images = torch.randn(1, 3, 4, 6)
    torch.testing.assert_close(network(images), 2 * images)


def test_refuses_sizes_that_cannot_be_packed() -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        RCAN(RCANSettings(groups=1, blocks=1, scale=4))(torch.zeros(1, 3, 10, 8))
