"""PointRend (Kirillov et al. 2020, arXiv:1912.08193): re-predict a segmentation only where it is uncertain.

Sampling and scattering are done in float32 whatever the precision of the network around them: in half precision
the point coordinates of a large slice collide and the result is corrupted.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sample_points(features: Tensor, points: Tensor, mode: str = "bilinear") -> Tensor:
    """Return ``features`` (N, C, H, W) at ``points`` (N, P, 2), (x, y) in [0, 1], as (N, C, P) float32."""
    grid = 2.0 * points.unsqueeze(2) - 1.0  # (N, P, 1, 2)
    return F.grid_sample(features.float(), grid, mode=mode, align_corners=False).squeeze(3)


class PointHead(nn.Module):
    """A per-point perceptron that sees the coarse logits again at every layer."""

    def __init__(self, channels: int, outputs: int = 1, layers: int = 3) -> None:
        super().__init__()
        self.fc_layers = nn.ModuleList(
            nn.Sequential(nn.Conv1d(channels + outputs, channels, 1), nn.ReLU(inplace=True)) for _ in range(layers)
        )
        self.predictor = nn.Conv1d(channels + outputs, outputs, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return logits (N, K, P) from features ``fine`` (N, C, P) and logits ``coarse`` (N, K, P)."""
        x = fine
        for layer in self.fc_layers:
            x = layer(torch.cat([x, coarse], dim=1))
        return self.predictor(torch.cat([x, coarse], dim=1))

    def predict(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return the same as ``forward``, without gradients, in the precision of ``fine``.

        A convolution of width 1 is a matrix product, which is several times faster on a CPU; layers write into two
        buffers whose last channels are the coarse logits, so that nothing is concatenated.
        """
        count, channels, points = fine.shape
        before, after = (fine.new_empty(count, channels + coarse.shape[1], points) for _ in range(2))
        before[:, :channels] = fine
        before[:, channels:] = after[:, channels:] = coarse
        for layer in self.fc_layers:
            weight, bias = _as_product(layer, fine.dtype)
            out = after[:, :channels]
            torch.baddbmm(bias, weight.expand(count, -1, -1), before, out=out).relu_()
            before, after = after, before
        weight, bias = _as_product(self.predictor, fine.dtype)
        return torch.baddbmm(bias, weight.expand(count, -1, -1), before)


def _as_product(layer: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the weight (out, in) and bias (out, 1) of the convolution in ``layer``."""
    conv = next(module for module in layer.modules() if isinstance(module, nn.Conv1d))
    assert conv.bias is not None
    return conv.weight[:, :, 0].to(dtype), conv.bias[:, None].to(dtype)


def uncertainty(logits: Tensor) -> Tensor:
    """Return the uncertainty (N, ...) of pixels from their ``logits`` (N, K, ...): the larger, the less certain.

    For one class it is how near its logit is to 0; for several, which compete, how near the best two are to each other.
    """
    if logits.shape[1] == 1:
        return -logits.abs().squeeze(1)
    best = logits.topk(2, dim=1)[0]
    return best[:, 1] - best[:, 0]


class PointRend(nn.Module):
    """Refines coarse logits of one class, or of background and several; see ``render`` for inference and
    ``random_points`` for training."""

    def __init__(self, channels: int, outputs: int = 1) -> None:
        super().__init__()
        self.point_head = PointHead(channels, outputs)
        self.train_points = 1024
        self.oversampling = 3
        self.importance = 0.75  # share of the training points taken where the coarse logits are uncertain
        self.render_points = 8192  # per step

    def forward(self, coarse: Tensor, features: Tensor, points: Tensor) -> Tensor:
        """Return logits (N, K, P) at ``points`` (N, P, 2)."""
        fine, logits = sample_points(features, points), sample_points(coarse, points)
        if torch.jit.is_scripting():
            return self.point_head(fine, logits)
        with torch.autocast(features.device.type, enabled=False):
            if torch.is_grad_enabled():
                return self.point_head(fine, logits)
            return self.point_head.predict(fine.to(features.dtype), logits)

    def random_points(self, coarse: Tensor) -> Tensor:
        """Return training points (N, 1024, 2): most where ``coarse`` is uncertain, the rest anywhere."""
        count = coarse.shape[0]
        candidates = torch.rand(count, self.train_points * self.oversampling, 2, device=coarse.device)
        uncertain = uncertainty(sample_points(coarse, candidates))
        important = int(self.importance * self.train_points)
        chosen = uncertain.topk(important, dim=1)[1].unsqueeze(2).expand(-1, -1, 2)
        rest = torch.rand(count, self.train_points - important, 2, device=coarse.device)
        return torch.cat([candidates.gather(1, chosen), rest], dim=1)

    def render(self, coarse: Tensor, features: Tensor, steps: int) -> Tensor:
        """Return logits (N, K, H * 2**steps, W * 2**steps), float32, from ``coarse`` (N, K, H, W).

        Each step doubles the grid bilinearly, then re-predicts the most uncertain pixels from ``features``
        (N, C, H, W).
        """
        logits = coarse.float()
        for _ in range(steps):
            logits = F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
            count, outputs, height, width = logits.shape[0], logits.shape[1], logits.shape[2], logits.shape[3]
            uncertain = uncertainty(logits).flatten(1)  # (N, H * W)
            index = uncertain.topk(min(self.render_points, height * width), dim=1, sorted=False)[1]  # (N, P)
            column = ((index % width).float() + 0.5) / width  # the pixel's centre
            row = (torch.div(index, width, rounding_mode="floor").float() + 0.5) / height
            refined = self.forward(coarse, features, torch.stack([column, row], dim=2))
            places = index.unsqueeze(1).expand(-1, outputs, -1)  # (N, K, P)
            logits = logits.flatten(2).scatter(2, places, refined.float()).view(count, outputs, height, width)
        return logits
