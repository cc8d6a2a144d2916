"""MitoNet's training: targets made from instance labels, and the loss over the network's outputs.

The terms and their weights are those of the published recipe (Conrad and Narayan 2023, doi:10.1016/j.cels.2022.12.006).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from planewise.data.panoptic import class_of
from planewise.models.model_file import CriterionParams
from planewise.models.point_rend import sample_points

HEATMAP_SIGMA = 6.0  # pixels
RADIUS = 24  # pixels, of the filter: 4 sigma
GAUSSIAN = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / HEATMAP_SIGMA) ** 2)


def panoptic_targets(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the instance heads should predict for one slice.

    ``labels`` (H, W), integers; 0 is background, and what is below 0 is ignored. Returns ``ctr_hmp`` (1, H, W) float32
    in [0, 1]: a Gaussian of 6 pixels at the truncated centroid of every instance, zero beyond the border, divided by
    the slice's maximum; and ``offsets`` (2, H, W) float32: centroid minus pixel, (dy, dx), inside instances and 0
    outside.
    """
    height, width = labels.shape
    heatmap = np.zeros((height, width), np.float64)
    offsets = np.zeros((2, height, width), np.float32)
    rows, columns = np.nonzero(labels > 0)
    if len(rows) == 0:
        return heatmap[None].astype(np.float32), offsets
    _, instance = np.unique(labels[rows, columns], return_inverse=True)
    area = np.bincount(instance)
    y, x = np.bincount(instance, rows) / area, np.bincount(instance, columns) / area
    offsets[0, rows, columns] = y[instance] - rows
    offsets[1, rows, columns] = x[instance] - columns
    # Filtering an image of a few single pixels: adding the filter's window at each is many times less work.
    for row, column in {*zip(y.astype(int).tolist(), x.astype(int).tolist())}:
        top, left = max(row - RADIUS, 0), max(column - RADIUS, 0)
        window = heatmap[top : row + RADIUS + 1, left : column + RADIUS + 1]
        first = top - row + RADIUS, left - column + RADIUS
        down, right = (GAUSSIAN[start:][:side] for start, side in zip(first, window.shape))
        window += np.outer(down, right)
    heatmap /= heatmap.max()
    return heatmap[None].astype(np.float32), offsets


def panoptic_loss(outputs: dict[str, Tensor], targets: dict[str, Tensor], params: CriterionParams) -> dict[str, Tensor]:
    """Return the scalar terms ``ce``, ``mse``, ``l1``, ``pointrend_ce`` (if points were predicted), and ``total``.

    ``outputs`` as the network returns them when training. ``targets``: ``foreground`` (N, 1, H, W) of 0 and 1,
    ``ctr_hmp`` (N, 1, H, W), ``offsets`` (N, 2, H, W), all float32, and ``counted`` (N, 1, H, W) bool: the pixels that
    are not ignored; the others take no part in any term. With several classes, ``foreground`` is 1 where their things
    are, and ``classes`` (N, H, W) int64 is the target of the semantic outputs, 0 for background. Instance outputs on a
    coarser grid are compared with the targets at every n-th pixel. The total is weighted by ``params``.
    """
    foreground, counted = targets["foreground"], targets["counted"]
    semantic = targets["classes"][:, None].float() if "classes" in targets else foreground
    pixels = _cross_entropy(outputs["sem_logits"], semantic) * counted
    hardest = max(1, int(params.top_k_percent * int(counted.sum())))
    step = foreground.shape[-1] // outputs["ctr_hmp"].shape[-1]
    objects, seen = foreground[..., ::step, ::step], counted[..., ::step, ::step]
    heatmap, offsets = targets["ctr_hmp"][..., ::step, ::step], targets["offsets"][..., ::step, ::step]
    squares = F.mse_loss(outputs["ctr_hmp"], heatmap, reduction="none") * seen
    distance = (outputs["offsets"] - offsets).abs() * objects  # ``objects`` excludes ignored pixels
    terms = {
        "ce": pixels.flatten().topk(hardest, sorted=False)[0].mean(),  # ignored pixels are 0, so they come last
        "mse": squares.sum() / seen.sum().clamp(min=1),
        "l1": distance.sum() / objects.sum().clamp(min=1),
    }
    total = params.ce_weight * terms["ce"] + params.mse_weight * terms["mse"] + params.l1_weight * terms["l1"]
    if "sem_points" in outputs:
        points, known = (
            sample_points(target, outputs["point_coords"], mode="nearest") for target in (semantic, counted.float())
        )
        of_points = _cross_entropy(outputs["sem_points"], points) * known
        terms["pointrend_ce"] = of_points.sum() / known.sum().clamp(min=1)
        total = total + params.pr_weight * terms["pointrend_ce"]
    return {"total": total, **terms}


def _cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the cross entropy of each place, (N, 1, ...), by ``logits`` (N, K, ...) and ``truth`` (N, 1, ...) float32.

    For one class (K = 1) the truth is 0 or 1; else it is the class, 0 to K - 1.
    """
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return F.cross_entropy(logits, truth.squeeze(1).long(), reduction="none").unsqueeze(1)


def collate_targets(labels: list[np.ndarray], things: tuple[int, ...] | None = None) -> dict[str, Tensor]:
    """Return the ``targets`` that ``panoptic_loss`` takes, from N label slices (H, W) of one shape.

    ``things``: with several classes, those that have separate objects; labels are then panoptic values. None: labels
    are ids of the objects of one class.
    """
    ids = labels if things is None else [np.where(np.isin(class_of(slice_), things), slice_, 0) for slice_ in labels]
    heatmaps, offsets = zip(*(panoptic_targets(slice_) for slice_ in ids))
    stacked = np.stack(labels)[:, None]
    targets = {
        "foreground": torch.from_numpy((np.stack(ids)[:, None] > 0).astype(np.float32)),
        "counted": torch.from_numpy(stacked >= 0),
        "ctr_hmp": torch.from_numpy(np.stack(heatmaps)),
        "offsets": torch.from_numpy(np.stack(offsets)),
    }
    if things is not None:
        targets["classes"] = torch.from_numpy(class_of(np.maximum(stacked[:, 0], 0)).astype(np.int64))
    return targets
