"""The encoder and decoder of MitoNet_small: few channels where pixels are many, so that a CPU trains it in minutes.

A residual U-Net (Ronneberger et al. 2015, arXiv:1505.04597) down to stride 16, of plain 3x3 convolutions, which a CPU
computes faster than the published network's 5x5 depthwise ones. Everything here must stay acceptable to
``torch.jit.script``: the export is this very code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.models.resnet import shortcut


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a residual; the stride is in the first."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(channels_out)
        self.relu1: nn.Module = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(channels_out)
        self.relu2 = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.downsample(x))


class UNetEncoder(nn.Module):
    """A stem at half the resolution and four stages, at strides 4, 8, 16 and 16, the last one dilated by 2."""

    def __init__(self, blocks: tuple[int, int, int, int], width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 5, 2, padding=2, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.relu: nn.Module = nn.ReLU(inplace=True)
        self.layer1 = _stage(width, width * 2, blocks[0], 2, 1)
        self.layer2 = _stage(width * 2, width * 4, blocks[1], 2, 1)
        self.layer3 = _stage(width * 4, width * 8, blocks[2], 2, 1)
        self.layer4 = _stage(width * 8, width * 8, blocks[3], 1, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four stages' features for ``x`` (N, 1, H, W)."""
        x1 = self.layer1(self.relu(self.bn1(self.conv1(x))))
        x2 = self.layer2(x1)
        x3 = self.layer3(x2)
        return [x1, x2, x3, self.layer4(x3)]


class UNetDecoder(nn.Module):
    """From stride 16 to stride 4, each step fused with the encoder's features of its resolution."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.fuse8 = _convolution(width * 8 + width * 4, channels)
        self.fuse4 = _convolution(channels + width * 2, channels)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Return features (N, channels, H / 4, W / 4) from those of the encoder."""
        x = self.fuse8(_beside(stages[3], stages[1]))
        return self.fuse4(_beside(x, stages[0]))


def _beside(coarse: Tensor, fine: Tensor) -> Tensor:
    """Return ``coarse``, enlarged to the size of ``fine``, and ``fine`` as one feature."""
    enlarged = F.interpolate(coarse, size=fine.shape[2:], mode="nearest")
    return torch.cat([enlarged, fine], dim=1)


def _convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _stage(channels_in: int, channels_out: int, count: int, stride: int, dilation: int) -> nn.Sequential:
    first = ResidualBlock(channels_in, channels_out, stride, dilation)
    return nn.Sequential(first, *(ResidualBlock(channels_out, channels_out, 1, dilation) for _ in range(count - 1)))
