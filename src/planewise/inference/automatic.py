"""Find every class within an organ without a drawn box: slice by slice, then made to agree along z.

Each slice is asked for every class at once: the organ's box, and the token that was learned for the class. SAM2's
object score says whether the class is there at all, its predicted IoU how good the mask is; what they are worth, see
``Reliability``. What neighbouring slices show is then grown again from the slice that is most certain of it, by the
propagation that carries drawn boxes too, and ends where presence does. Nothing is found away from the organ.
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
    """Where classes are looked for: ``organ`` (N, H, W), not 0 where it is, whose box is asked; and ``within``
    (N, H, W) bool, outside of which nothing is found.
    """

    organ: np.ndarray
    within: np.ndarray


@dataclass(frozen=True)
class SliceFindings:
    """What slices show, each by itself.

    ``labels`` (N, H, W) uint8; ``scores`` (N, classes) float32: the logit that a class is there, as the model says it,
    -inf without an organ; ``presence``: the same, calibrated; ``ious`` (N, classes): the model's own guess of the IoU
    of its mask, NaN without an organ; ``shown``: voxels that slices showed, and ``outside``: those of them that were
    cut, since they lay away from the organ.
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
    """Return labels (N, H, W) uint8 of every class that the encoder's model has a token for, and what led to them.

    ``reliability``: by class, of those that were calibrated; ``propagation``: by which objects go
    on from the most certain slices; see ``propagate`` for the others. A class is empty in
    every slice whose calibrated presence says that it is not there.
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
    """Return what each slice shows by itself; with ``where_present`` nothing of a class that is likelier absent.

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
    """Return the logit that a class is there, as it was calibrated; of a class that was not, the model's ``score``."""
    return score if reliability is None else reliability.presence.log_odds(score)


@torch.inference_mode()
def ask_slice(encoder: Encoder, z: int, organ: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the model says of slice ``z`` with the box of ``organ`` (H, W): of every class it has a token for.

    Logits of its mask (classes, H, W), object scores (classes,), and the IoU that it expects of the mask (classes,).
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
    """Return a prompt for every 26-connected object, in the slice that is most certain of its class.

    Slices that show fewer than ``least_pixels`` of it are no place to start from. ``classes``: of presence's columns.
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
