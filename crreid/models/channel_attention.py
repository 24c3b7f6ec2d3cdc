"""Channel attention: one scale a channel, computed from the channels' means.

Source: PS-HRNet (Zhang et al., arXiv 2105.11722), Eq. 2-4, after RCAN (Zhang et al., ECCV 2018).
Differs from the paper: nothing in the equations. The paper gives the "ratio r = 4", its authors' release a bottleneck
of four channels (a ratio of 16 at width 64); the bottleneck is therefore given here in channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from crreid.errors import InputError

__all__ = ["ChannelAttention"]


class ChannelAttention(nn.Module):
    """Multiplies each channel by a factor between 0 and 1 (Eq. 2): f_c * sigmoid(W_U relu(W_D mean(f)))_c."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        """Builds the two 1x1 convolutions W_D and W_U of Eq. 3, both with bias.

        Args:
            channels: Channels C of the maps.
            bottleneck: Channels between W_D and W_U; 4 in the authors' release, C / 4 by the paper's text.

        Raises:
            InputError: One of them is below 1.
        """
        super().__init__()
        if channels < 1 or bottleneck < 1:
            raise InputError(
                f"channel attention needs at least 1 channel and 1 in between, not {channels}, {bottleneck}"
            )
        self.reduce = nn.Conv2d(channels, bottleneck, kernel_size=1)
        self.activation = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(bottleneck, channels, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Scales the channels.

        Args:
            maps: (N, C, height, width), any range.

        Returns:
            (N, C, height, width).
        """
        means = maps.mean(dim=(2, 3), keepdim=True)  # Eq. 4
        scales: Tensor = self.expand(self.activation(self.reduce(means))).sigmoid()  # Eq. 3
        return maps * scales
