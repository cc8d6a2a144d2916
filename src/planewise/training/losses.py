"""The losses of masks predicted from prompts; ignored pixels are excluded from all of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, distributed


def with_total(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the terms of a loss with their sum, ``total``, before them."""
    return {"total": torch.stack(list(terms.values())).sum(), **terms}


def is_there(masks: Tensor) -> Tensor:
    """Return which masks (P, H, W) hold anything."""
    return masks.any(-1).any(-1)


def mean_of(values: Tensor) -> Tensor:
    """Return the mean, 0 if there are no values."""
    return values.sum() / max(1, values.numel())


def dice_loss(logits: Tensor, masks: Tensor, counted: Tensor) -> Tensor:
    """Return 1 minus the mean soft Dice of masks (P, H, W), without ignored pixels; 0 if there are no masks.

    Its denominator is a sum of squares (Milletari et al. 2016, arXiv:1606.04797), as in the published fine-tuning,
    which takes it from MONAI; importing that takes longer than importing torch.
    """
    return mean_of(1 - soft_dices(*_overlaps(logits, masks, counted)))


def class_dice_loss(logits: Tensor, masks: Tensor, counted: Tensor, classes: Tensor, count: int) -> Tensor:
    """Return 1 minus the mean soft Dice of those ``classes`` (P,) that occur in ``masks`` (P, H, W); 0 if none does.

    All masks of a class, also those of other processes that share the batch, count as one (nnU-Net's batch Dice), so
    that false predictions in a slice without the class lower it too. ``count``: of classes. See ``dice_loss``.
    """
    of_masks = torch.stack([*_overlaps(logits, masks, counted), masks.sum((1, 2))])
    shared, both, true = _over_processes(of_masks.new_zeros(3, count).index_add(1, classes, of_masks))
    return mean_of(1 - soft_dices(shared, both)[true > 0])


def _over_processes(sums: Tensor) -> Tensor:
    """Return ``sums`` added over all processes that train together; in validation a process is alone.

    Each has the gradient of its own, times their number, since gradients are then averaged over processes.
    """
    if not (torch.is_grad_enabled() and distributed.is_available() and distributed.is_initialized()):
        return sums
    total, local = sums.detach().clone(), sums * distributed.get_world_size()
    distributed.all_reduce(total)
    return local + (total - local).detach()


def _overlaps(logits: Tensor, masks: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each mask (P, H, W) the sum of its products with the prediction, and of the squares of both: (P,)."""
    predicted = logits.sigmoid() * counted
    return (predicted * masks).sum((1, 2)), (predicted.square() + masks.square()).sum((1, 2))


def soft_dices(shared: Tensor, both: Tensor) -> Tensor:
    """Return the soft Dice of ``_overlaps``."""
    return (2 * shared + 1e-5) / (both + 1e-5)


def cross_entropy(logits: Tensor, masks: Tensor, counted: Tensor) -> Tensor:
    pixels = F.binary_cross_entropy_with_logits(logits, masks, reduction="none") * counted
    return pixels.sum() / counted.sum().clamp(min=1)


def presence_loss(scores: Tensor, masks: Tensor, counted: Tensor) -> Tensor:
    """Return the mean cross entropy of scores (P,) for the presence of masks (P, H, W), where that is known.

    For an empty mask it is known only if no pixel is ignored.
    """
    there = is_there(masks)
    known = there | ~is_there(~counted)
    entropy = F.binary_cross_entropy_with_logits(scores, there.float(), reduction="none")
    return mean_of(entropy[known])
