import math

import pytest
import torch

from crreid.models.channel_attention import ChannelAttention
from crreid.models.vdsr import VDSR, VDSRSettings

SMALL = VDSRSettings(depth=4, width=8, attention_channels=2)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("attention_channels", "count"), [(4, 677_448), (None, 667_008), (16, 705_312)])
def test_parameter_counts(attention_channels: int | None, count: int) -> None:
    assert parameters(VDSR(VDSRSettings(attention_channels=attention_channels))) == count


def test_attention_equals_equations_2_to_4_written_as_loops() -> None:
    torch.manual_seed(0)
    attention = ChannelAttention(3, 2)
    maps = torch.randn(2, 3, 4, 5)
    result = attention(maps)
    down, up = attention.reduce, attention.expand
    for image in range(2):
        z = [maps[image, c].sum().item() / 20 for c in range(3)]
        hidden = [
            max(0.0, sum(down.weight[k, c].item() * z[c] for c in range(3)) + down.bias[k].item()) for k in range(2)
        ]
        for c in range(3):
            score = sum(up.weight[c, k].item() * hidden[k] for k in range(2)) + up.bias[c].item()
            expected = maps[image, c] / (1 + math.exp(-score))
            torch.testing.assert_close(result[image, c], expected)


def test_a_layer_keeps_one_map_for_the_backward_pass() -> None:
    """What attention and ReLU need is what the next convolution keeps anyway: its input."""
    images, maps = torch.randn(2, 3, 16, 8), 2 * SMALL.width * 16 * 8
    network, kept = VDSR(SMALL), set[int]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.numel() == maps:
            kept.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(images)
    assert len(kept) == SMALL.depth - 1
    result.sum().backward()
