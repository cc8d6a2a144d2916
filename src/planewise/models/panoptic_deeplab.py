"""MitoNet: Panoptic-DeepLab (Cheng et al. 2020, arXiv:1911.10194) with PointRend on its semantic head.

Two architectures share their encoder and heads: ``PanopticDeepLab`` (MitoNet_v1) and ``PanopticBiFPN``
(MitoNet_v1_mini); ``PanopticUNet`` (MitoNet_small, which has no published weights) shares the heads. Module names are
those of the published weights. ``folding.fold_batch_norms`` turns any of them into the published, folded variant: its
state_dict has exactly the published keys, it is trainable, and the export scripts it. So this code must stay acceptable
to ``torch.jit.script``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.errors import PlanewiseError
from planewise.models.bifpn import BiFPN, BiFPNDecoder, resample
from planewise.models.blocks import Head, separable
from planewise.models.point_rend import PointRend
from planewise.models.resnet import EXPANSION, ResNet, initialise
from planewise.models.unet import UNetDecoder, UNetEncoder


@dataclass(frozen=True)
class Architecture:
    """The settings in which networks of this family differ."""

    kind: str  # "deeplab", "bifpn" or "unet"
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)  # of the encoder's stages
    width: int = 64  # of the encoder's stem
    channels: int = 256  # of the decoders (of the pyramid, for bifpn)
    low_level: int = 32  # width of the projected low-level feature; half in the instance decoder


ARCHITECTURES = {
    "mitonet_v1": Architecture("deeplab"),
    "mitonet_v1_mini": Architecture("bifpn", channels=128),
    "mitonet_small": Architecture("deeplab", blocks=(1, 1, 1, 1), width=16, channels=64),  # for older models
    "mitonet_small_unet": Architecture("unet", blocks=(1, 2, 2, 1), width=16, channels=48),  # for older models
    "mitonet_small_unet32": Architecture("unet", blocks=(1, 2, 2, 1), width=16, channels=32),
}


def build(name: str, outputs: int = 1) -> "PanopticNetwork":
    """Return the architecture ``name`` of ``ARCHITECTURES`` with random weights.

    ``outputs``: channels of the semantic head: 1 for one class, else the number of classes plus one, for background.
    """
    architecture = ARCHITECTURES[name]
    kinds = {"deeplab": PanopticDeepLab, "bifpn": PanopticBiFPN, "unet": PanopticUNet}
    return kinds[architecture.kind](architecture, outputs)


class PanopticNetwork(nn.Module):
    """The common part of all architectures: encoder, heads, rendering. Subclasses define how features are decoded."""

    instances_on_their_grid = False  # whether the instance heads are trained on the quarter grid, where they are used
    published_form = True  # whether its weights are written in the published form of MitoNet: folded, as TorchScript

    def __init__(self, encoder: nn.Module, channels: int, outputs: int = 1, head_kernel: int = 5) -> None:
        super().__init__()
        self.encoder = encoder
        self.semantic_head = Head(channels, outputs, head_kernel)
        self.ins_center = Head(channels, 1, head_kernel)
        self.ins_xy = Head(channels, 2, head_kernel)
        self.semantic_pr = PointRend(channels, outputs)

    def _initialise(self) -> None:
        self.apply(initialise)
        # Start with empty predictions: most pixels are background, and a heatmap is mostly zero.
        for head, bias in ((self.semantic_head, -2.0), (self.ins_center, 0.0), (self.ins_xy, 0.0)):
            last = head.head[1]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, bias)
            if head is self.semantic_head and last.out_channels > 1:  # with several classes, background is one of them
                nn.init.constant_(last.bias[:1], 0.0)
        nn.init.normal_(self.semantic_pr.point_head.predictor.weight, std=0.001)

    def decode(self, stages: list[Tensor]) -> list[Tensor]:
        """Return the semantic and the instance features (N, channels, H/4, W/4)."""
        raise NotImplementedError

    def parts(self) -> list[nn.Module]:
        """Return the encoder's stem and its four stages, which can be frozen one by one."""
        encoder: Any = self.encoder
        stem = nn.ModuleList([encoder.conv1, encoder.bn1])
        return [stem, encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]

    def load_base(self, source: Path) -> None:
        """Load the encoder's weights from a hub folder, or from the hub model with this id.

        Raises PlanewiseError if they do not fit this encoder, or if the hub has no weights for it.
        """
        raise PlanewiseError(
            f"--base {source}: {type(self).__name__} has no encoder from the hub; its weights are those named in the "
            "model's YAML"
        )

    def forward(self, x: Tensor, render_steps: int = 2, interpolate_ins: bool = True) -> dict[str, Tensor]:
        """Predict from ``x`` (N, 1, H, W), normalised, with sides that are multiples of the padding factor.

        In evaluation mode returns ``sem_logits`` (N, K, H', W'), H' = H / 4 * 2**render_steps, where K is 1 for one
        class, else the number of classes plus one: background and classes exclude each other; ``ctr_hmp`` (N, 1, h, w)
        and ``offsets`` (N, 2, h, w), (dy, dx) in pixels of the input, where h, w = H, W with ``interpolate_ins`` and
        H / 4, W / 4 without. In training mode returns ``sem_logits`` at the input's size, and adds ``sem_points``
        (N, K, 1024), logits at ``point_coords`` (N, 1024, 2), (x, y) in [0, 1].
        """
        decoded = self.decode(self.encoder(x))
        semantic, instance = decoded[0], decoded[1]
        coarse = self.semantic_head(semantic).float()
        outputs = {"ctr_hmp": self.ins_center(instance).float(), "offsets": self.ins_xy(instance).float()}
        if interpolate_ins:
            outputs["ctr_hmp"] = enlarge(outputs["ctr_hmp"])
            outputs["offsets"] = enlarge(outputs["offsets"])
        if self.training:
            points = self.semantic_pr.random_points(coarse.detach())
            outputs["sem_logits"] = enlarge(coarse)
            outputs["sem_points"] = self.semantic_pr(coarse, semantic, points)
            outputs["point_coords"] = points
        else:
            outputs["sem_logits"] = self.semantic_pr.render(coarse, semantic, render_steps)
        return outputs


def enlarge(x: Tensor) -> Tensor:
    """Enlarge a head's output from the quarter grid to the image's."""
    return F.interpolate(x, scale_factor=4.0, mode="bilinear", align_corners=True)


class PanopticDeepLab(PanopticNetwork):
    """MitoNet_v1: output stride 16, one atrous decoder for semantics and one for instances."""

    padding_factor = 16

    def __init__(self, architecture: Architecture, outputs: int = 1) -> None:
        encoder = ResNet(architecture.blocks, architecture.width, output_stride=16)
        super().__init__(encoder, architecture.channels, outputs)
        low, high = architecture.width * EXPANSION, architecture.width * 8 * EXPANSION
        self.semantic_decoder = AtrousDecoder(high, low, architecture.channels, architecture.low_level)
        self.instance_decoder = AtrousDecoder(high, low, architecture.channels, architecture.low_level // 2)
        self._initialise()

    def decode(self, stages: list[Tensor]) -> list[Tensor]:
        return [self.semantic_decoder(stages[3], stages[0]), self.instance_decoder(stages[3], stages[0])]


class AtrousDecoder(nn.Module):
    """Atrous spatial pyramid pooling, enlarged and fused with one low-level feature."""

    def __init__(self, channels_in: int, low_level_in: int, channels: int, low_level: int) -> None:
        super().__init__()
        self.aspp = AtrousPyramid(channels_in, channels)
        self.project = nn.ModuleList([_convolution(low_level_in, low_level, 1, 1)])
        self.fuse = nn.ModuleList([separable(channels + low_level, channels, 5, nn.ReLU(inplace=True))])

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        x = self.aspp(high)
        for project, fuse in zip(self.project, self.fuse):
            skip = project(low)
            x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
            x = fuse(torch.cat([x, skip], dim=1))
        return x


class AtrousPyramid(nn.Module):
    """Parallel convolutions at several dilations beside a global average (Chen et al. 2017, arXiv:1706.05587)."""

    def __init__(self, channels_in: int, channels: int, rates: tuple[int, ...] = (2, 4, 6)) -> None:
        super().__init__()
        self.convs = nn.ModuleList([_convolution(channels_in, channels, 1, 1)])
        self.convs.extend(_convolution(channels_in, channels, 3, rate) for rate in rates)
        self.convs.append(GlobalPooling(channels_in, channels))
        self.project = _convolution(channels * (len(rates) + 2), channels, 1, 1)
        self.project.append(nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        branches: list[Tensor] = []
        for conv in self.convs:
            branches.append(conv(x))
        return self.project(torch.cat(branches, dim=1))


class GlobalPooling(nn.Module):
    """The whole slice's average at every position; no batch norm, since it is one value per slice."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.aspp_pooling = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels_in, channels, 1, bias=False), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.aspp_pooling(x).expand(-1, -1, x.shape[2], x.shape[3])


class PanopticBiFPN(PanopticNetwork):
    """MitoNet_v1_mini: output stride 32, a bidirectional pyramid for semantics and one for instances."""

    padding_factor = 128

    def __init__(self, architecture: Architecture, outputs: int = 1) -> None:
        encoder = ResNet(architecture.blocks, architecture.width, output_stride=32)
        super().__init__(encoder, architecture.channels, outputs)
        channels = architecture.channels
        stages = [architecture.width * factor * EXPANSION for factor in (1, 2, 4, 8)]
        self.p2_resample = resample(stages[0], channels)
        self.semantic_fpn = BiFPN(stages[1:], channels, layers=3)
        self.semantic_decoder = BiFPNDecoder(channels)
        self.instance_fpn = BiFPN(stages[1:], channels, layers=3)
        self.instance_decoder = BiFPNDecoder(channels)
        self._initialise()

    def decode(self, stages: list[Tensor]) -> list[Tensor]:
        p2 = [self.p2_resample(stages[0])]
        semantic = p2 + self.semantic_fpn(stages[1:])
        instance = p2 + self.instance_fpn(stages[1:])
        return [self.semantic_decoder(semantic[::-1]), self.instance_decoder(instance[::-1])]


class PanopticUNet(PanopticNetwork):
    """MitoNet_small: output stride 16, one decoder for semantics and instances."""

    padding_factor = 16
    instances_on_their_grid = True  # a fifth less work

    def __init__(self, architecture: Architecture, outputs: int = 1) -> None:
        encoder = UNetEncoder(architecture.blocks, architecture.width)
        # heads of 5x5 take as long to train as all the rest
        super().__init__(encoder, architecture.channels, outputs, head_kernel=3)
        self.decoder = UNetDecoder(architecture.width, architecture.channels)
        self._initialise()

    def decode(self, stages: list[Tensor]) -> list[Tensor]:
        features = self.decoder(stages)
        return [features, features]


def _convolution(channels_in: int, channels_out: int, kernel: int, dilation: int) -> nn.Sequential:
    padding = dilation if kernel > 1 else 0
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
