import pytest
import torch

from crreid.errors import InputError
from crreid.models.channel_attention import ChannelAttention
from crreid.models.rcan import RCAN, RCANSettings

SMALL = RCANSettings(groups=2, blocks=2, width=8, attention_channels=2)


def test_the_published_body_has_15296931_parameters() -> None:
    with torch.device("meta"):
        network = RCAN(RCANSettings())
    assert sum(parameter.numel() for parameter in network.parameters()) == 15_296_931


def test_packing_costs_only_the_ends() -> None:
    with torch.device("meta"):
        plain, packed = RCAN(RCANSettings()), RCAN(RCANSettings(scale=4))
    ends = [
        sum(p.numel() for p in (*network.head.parameters(), *network.tail.parameters())) for network in (plain, packed)
    ]
    body = sum(parameter.numel() for parameter in plain.body.parameters())
    assert sum(parameter.numel() for parameter in packed.body.parameters()) == body
    assert ends == [3 * 64 * 9 + 64 + 64 * 3 * 9 + 3, 48 * 64 * 9 + 64 + 64 * 48 * 9 + 48]


@pytest.mark.parametrize(("scale", "size"), [(1, (7, 5)), (1, (1, 1)), (2, (8, 6)), (4, (16, 8))])
def test_output_has_the_size_of_the_input(scale: int, size: tuple[int, int]) -> None:
    network = RCAN(RCANSettings(groups=1, blocks=1, width=4, attention_channels=1, scale=scale))
    assert network(torch.randn(2, 3, *size)).shape == (2, 3, *size)


def test_layers_are_those_of_the_paper() -> None:
    network = RCAN(SMALL)
    attentions = [module for module in network.modules() if isinstance(module, ChannelAttention)]
    wide = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(attentions) == 2 * 2
    # two a block, one a group, one after the groups, head and tail
    assert len(wide) == 2 * 2 * 2 + 2 + 1 + 2


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
