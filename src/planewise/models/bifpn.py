"""The bidirectional feature pyramid (Tan et al. 2020, arXiv:1911.09070) and the decoder of MitoNet_v1_mini."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.models.blocks import separable


def resample(channels_in: int, channels_out: int) -> nn.Module:
    """Return a 1x1 convolution with batch norm that brings a feature to the pyramid's width, if it has another one."""
    module = Resample()
    if channels_in != channels_out:
        module.conv = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))
    return module


class Resample(nn.Module):
    """Holds ``conv``, which is the identity where the widths already agree."""

    def __init__(self) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def shrink(x: Tensor) -> Tensor:
    """Halve a feature's sides by a 3x3 maximum."""
    return F.max_pool2d(x, 3, stride=2, padding=1)


class _Fusion(nn.Module):
    """The part common to both directions: a resampling and a weight per level, and one convolution."""

    epsilon: Final[float] = 1e-4  # of the fast normalised fusion, as in the paper

    def __init__(self, channels_in: list[int], channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(len(channels_in) + 1))
        self.resamplings = nn.ModuleList(resample(width, channels) for width in channels_in)
        # One module serves every level: the published weights name it once per level but hold one set of values.
        self.after_combines = nn.ModuleList([separable(channels, channels, 3, nn.SiLU())] * len(channels_in))

    def positive_weights(self) -> Tensor:
        weights = F.relu(self.weights)
        return weights / (weights.sum() + self.epsilon)


class TopDown(_Fusion):
    """From the coarsest level to the finest, each fused with the level above it, enlarged."""

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        """``pyramid`` runs from the coarsest to the finest level; so does the result."""
        weights = self.positive_weights()
        fused = [pyramid[0]]
        for i, (resampling, combine) in enumerate(zip(self.resamplings, self.after_combines)):
            above = F.interpolate(fused[-1], scale_factor=2.0, mode="nearest")
            total = weights[i] * above + weights[i + 1] * resampling(pyramid[i + 1])
            fused.append(combine(total / (weights[i] + weights[i + 1] + self.epsilon)))
        return fused


class BottomUp(_Fusion):
    """From the finest level to the coarsest, each fused with its input and with the level below it, shrunk."""

    def forward(self, pyramid: list[Tensor], top_down: list[Tensor]) -> list[Tensor]:
        """``top_down`` runs from the finest to the coarsest level, ``pyramid`` too but without the finest."""
        weights = self.positive_weights()
        fused = [top_down[0]]
        last = len(pyramid) - 1
        for i, (resampling, combine) in enumerate(zip(self.resamplings, self.after_combines)):
            total = weights[i] * shrink(fused[-1]) + weights[i + 1] * resampling(pyramid[i])
            share = weights[i] + weights[i + 1] + self.epsilon
            if i < last:  # at the coarsest level the top-down feature is the input itself
                total = total + weights[i + 2] * top_down[i + 1]
                share = share + weights[i + 2]
            fused.append(combine(total / share))
        return fused


class BiFPNLayer(nn.Module):
    """One pass down and one up."""

    def __init__(self, channels_in: list[int], channels: int) -> None:
        super().__init__()
        self.top_down_fpn = TopDown(channels_in[::-1][1:], channels)
        self.bottom_up_fpn = BottomUp(channels_in[1:], channels)

    def forward(self, pyramid: list[Tensor]) -> list[Tensor]:
        top_down = self.top_down_fpn(pyramid[::-1])
        return self.bottom_up_fpn(pyramid[1:], top_down[::-1])


class BiFPN(nn.Module):
    """Several layers over the encoder's last three stages (P3 to P5) and two coarser levels (P6, P7)."""

    def __init__(self, channels_in: list[int], channels: int, layers: int) -> None:
        super().__init__()
        self.p6_resample = resample(channels_in[-1], channels)
        first = [*channels_in, channels, channels]
        self.bifpns = nn.ModuleList(
            BiFPNLayer(first if i == 0 else [channels] * len(first), channels) for i in range(layers)
        )

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """Return five features (N, channels, ., .) at strides 8 to 128 from the stages at strides 8, 16 and 32."""
        p6 = shrink(self.p6_resample(stages[-1]))
        pyramid = stages + [p6, shrink(p6)]
        for layer in self.bifpns:
            pyramid = layer(pyramid)
        return pyramid


class BiFPNDecoder(nn.Module):
    """Climbs from the coarsest level to stride 4 by transposed convolutions, joining each level on the way."""

    def __init__(self, channels: int, levels: int = 5) -> None:
        super().__init__()
        self.upsamplings = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(channels if i == 0 else 2 * channels, channels, 2, stride=2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for i in range(levels)
        )
        self.fusion = separable(2 * channels, channels, 5, nn.ReLU(inplace=True))

    def forward(self, features: list[Tensor]) -> Tensor:
        """``features`` run from the coarsest level to stride 4."""
        x = features[0]
        for i, upsampling in enumerate(self.upsamplings):
            x = torch.cat([upsampling(x), features[i + 1]], dim=1)
        return self.fusion(x)
