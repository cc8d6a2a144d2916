"""Segments all classes within an organ without drawn boxes: slice by slice, then made consistent along z.

In each slice, all classes are prompted at once, with the organ's box and the learned token of each class. SAM2's object
score tells whether the class is present, its predicted IoU how good the mask is; for their calibration see
``models.reliability``. Objects are then propagated from the slice with the highest certainty, as drawn boxes are, and
end where the class is no longer present. Nothing is segmented away from the organ.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Prompt, tight_box
from planewise.inference.propagation import Painter, Propagation, PropagationOptions, cut, larger, propagate
from planewise.models.reliability import ClassReliability
from planewise.volumes.parts import connected_parts


@dataclass(frozen=True)
class Place:
    """Where classes are searched for: ``organ`` (N, H, W), nonzero inside, whose box is the prompt; and ``within``
    (N, H, W) bool, outside of which nothing is segmented.
    """

    organ: np.ndarray
    within: np.ndarray


@dataclass(frozen=True)
class SliceFindings:
    """The findings in each slice separately.

    ``labels`` (N, H, W) uint8; ``scores`` (N, classes) float32: the model's logit that a class is present, -inf without
    an organ; ``presence``: the same, calibrated; ``ious`` (N, classes): the model's prediction of its mask's IoU, NaN
    without an organ; ``shown``: the number of segmented voxels, of which ``outside`` were removed, since they lay away
    from the organ.
    """

    labels: np.ndarray
    scores: np.ndarray
    presence: np.ndarray
    ious: np.ndarray
    shown: int
    outside: int


def segment_within(
    encoder: Encoder,
    place: Place,
    consecutive: np.ndarray,
    options: PropagationOptions,
    advance: Callable[[int], None],
    reliability: dict[int, ClassReliability],
    propagation: Propagation = propagate,
) -> tuple[np.ndarray, SliceFindings]:
    """Return labels (N, H, W) uint8 of all classes that the model has tokens for, and the findings behind them.

    ``reliability``: by class, for the calibrated ones; ``propagation``: how objects are propagated from the most
    certain slices; see ``propagate`` for the others. A class is empty in each slice in which its calibrated presence is
    negative.
    """
    findings = find_in_slices(encoder, place, options, True, advance, reliability)
    column = encoder.segmenter.classes

    def presence(z: int, label: int) -> float:
        return float(findings.presence[z, column[label]])

    prompts = prompts_from_slices(findings, list(column), options.least_pixels)
    return propagation(encoder, consecutive, prompts, options, advance, presence, place.within), findings


def find_in_slices(
    encoder: Encoder,
    place: Place,
    options: PropagationOptions,
    where_present: bool,
    advance: Callable[[int], None],
    reliability: dict[int, ClassReliability],
) -> SliceFindings:
    """Return the findings in each slice separately; with ``where_present``, without classes that are likelier absent.

    Where classes overlap, see ``Painter``. See ``segment_within`` for the arguments.
    """
    classes = list(encoder.segmenter.classes)
    painter = Painter(encoder.images.shape)
    scores = np.full((len(place.organ), len(classes)), -np.inf, np.float32)
    presence, ious = scores.copy(), np.full_like(scores, np.nan)
    shown = outside = 0
    wanted = np.flatnonzero(place.organ.any(axis=(1, 2))).tolist()
    for i, z in enumerate(wanted):
        encoder.look_ahead(wanted[i:])
        logits, scores[z], ious[z] = ask_slice(encoder, z, place.organ[z], options.margin)
        within = place.within[z]
        seen = np.zeros(within.shape, bool)
        for column, label in enumerate(classes):
            presence[z, column] = likely = calibrated(float(scores[z, column]), reliability.get(label))
            if likely > 0 or not where_present:
                seen |= logits[column] > 0
                painter.paint(z, label, cut(logits[column], within), likely)
        shown, outside = shown + int(seen.sum()), outside + int((seen & ~within).sum())
        advance(1)
    return SliceFindings(painter.labels, scores, presence, ious, shown, outside)


def calibrated(score: float, reliability: ClassReliability | None) -> float:
    """Return the calibrated logit that a class is present; the model's ``score`` for a class without calibration."""
    return score if reliability is None else reliability.presence.log_odds(score)


@torch.inference_mode()
def ask_slice(encoder: Encoder, z: int, organ: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the model's outputs for slice ``z``, prompted with the box of ``organ`` (H, W), for each class with a
    token.

    They are logits of masks (classes, H, W), object scores (classes,), and predicted IoUs of the masks (classes,).
    """
    height, width = organ.shape
    count = len(encoder.segmenter.classes)
    box = np.array(larger(tight_box(organ > 0), organ.shape, margin)) / [width, height, width, height]
    boxes = torch.from_numpy(np.tile(box.astype(np.float32), (1, count, 1))).to(encoder.device)
    asked = torch.arange(count, device=encoder.device)[None]
    logits, scores, ious = encoder.segmenter.decode_rated(encoder(z), boxes, asked)
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
    return full[0].cpu().numpy(), scores[0].cpu().numpy(), ious[0].cpu().numpy()


def prompts_from_slices(findings: SliceFindings, classes: list[int], least_pixels: int) -> list[Prompt]:
    """Return a prompt for each 26-connected object, in the slice with the highest presence of its class.

    Slices with fewer than ``least_pixels`` of it cannot be the start. ``classes``: the classes of presence's columns.
    """
    from scipy import ndimage

    prompts = []
    for label, sure in zip(classes, findings.presence.T):
        parts = connected_parts(findings.labels == label, 26)
        for part, place in enumerate(ndimage.find_objects(parts), start=1):
            component = parts[place] == part
            scores = np.where(component.sum(axis=(1, 2)) >= least_pixels, sure[place[0]], -np.inf)
            if not np.isfinite(scores).any():
                continue
            z = int(scores.argmax())
            x0, y0, x1, y1 = tight_box(component[z])
            dy, dx = place[1].start, place[2].start
            prompts.append(Prompt(label, place[0].start + z, (x0 + dx, y0 + dy, x1 + dx, y1 + dy)))
    return prompts
