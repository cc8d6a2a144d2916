"""The residual encoder (He et al. 2016, doi:10.1109/CVPR.2016.90) with one input channel and bottleneck blocks.

Module names are those of the published MitoNet weights, so state_dicts are exchanged without renaming.
Everything here must stay acceptable to ``torch.jit.script``: the export is this very code.
"""

import torch
from torch import Tensor, nn

EXPANSION = 4  # a bottleneck's output is this many times as wide as its 3x3 convolution


def shortcut(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """Return the layers that bring the input of a residual block to the shape of its output."""
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))


class Bottleneck(nn.Module):
    """1x1 -> 3x3 -> 1x1 convolutions around a residual; the stride and the dilation are in the 3x3."""

    def __init__(self, channels_in: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        channels_out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(channels_out)
        self.relu1: nn.Module = nn.ReLU(inplace=True)
        self.relu2: nn.Module = nn.ReLU(inplace=True)
        self.relu3 = nn.ReLU(inplace=True)
        self.downsample = shortcut(channels_in, channels_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu3(y + self.downsample(x))


class ResNet(nn.Module):
    """A ResNet of bottleneck blocks that returns the features of its four stages.

    ``output_stride`` 32 is the usual network; with 16 the last stage keeps its resolution and all its blocks are
    dilated by 2.
    """

    def __init__(self, blocks: tuple[int, int, int, int], width: int, output_stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, 2, padding=3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.relu: nn.Module = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        dilated = output_stride == 16
        self.layer1 = _stage(width, width, blocks[0], 1, 1)
        self.layer2 = _stage(width * 4, width * 2, blocks[1], 2, 1)
        self.layer3 = _stage(width * 8, width * 4, blocks[2], 2, 1)
        self.layer4 = _stage(width * 16, width * 8, blocks[3], 1 if dilated else 2, 2 if dilated else 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four stages' features for ``x`` (N, 1, H, W), at strides 4, 8, 16 and 16 or 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x1 = self.layer1(x)
        x2 = self.layer2(x1)
        x3 = self.layer3(x2)
        return [x1, x2, x3, self.layer4(x3)]


def _stage(channels_in: int, width: int, count: int, stride: int, dilation: int) -> nn.Sequential:
    first = Bottleneck(channels_in, width, stride, dilation)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1, dilation) for _ in range(count - 1)))


def initialise(module: nn.Module) -> None:
    """Initialise one module: He normal for convolutions, ones and zeros for batch norms."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)
