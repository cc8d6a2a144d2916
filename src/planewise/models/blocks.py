"""Blocks that both MitoNet variants are made of. Names are those of the published weights."""

from torch import Tensor, nn


class SeparableConv2d(nn.Module):
    """A depthwise convolution followed by a 1x1 convolution, without biases."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.sepconv = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, kernel, padding=kernel // 2, groups=channels_in, bias=False),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.sepconv(x)


def separable(channels_in: int, channels_out: int, kernel: int, activation: nn.Module) -> nn.Sequential:
    """Return separable convolution, batch norm and activation in a row."""
    return nn.Sequential(SeparableConv2d(channels_in, channels_out, kernel), nn.BatchNorm2d(channels_out), activation)


class Head(nn.Module):
    """A separable block, 5x5 in the published networks, then a 1x1 convolution to the outputs."""

    def __init__(self, channels: int, outputs: int, kernel: int = 5) -> None:
        super().__init__()
        self.head = nn.Sequential(
            separable(channels, channels, kernel, nn.ReLU(inplace=True)), nn.Conv2d(channels, outputs, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)
