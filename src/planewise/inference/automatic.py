"""Find every class within an organ without a drawn box: slice by slice, then made to agree along z.

Each slice is asked for every class at once: the organ's box, and the token that was learned for the class. SAM2's
object score says whether the class is there at all. What neighbouring slices show is then grown again from the slice
that is surest of it, by the same propagation that carries drawn boxes, and ends where presence does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planewise.inference.prompts import Prompt, tight_box
from planewise.inference.propagation import Encoder, Painter, PropagationOptions, Track, decode_tracks, propagate


@dataclass(frozen=True)
class SliceFindings:
    """What slices show, each by itself.

    ``labels`` (N, H, W) uint8; ``scores`` (N, classes) float32: the logit that a class is there, -inf without an organ.
    """

    labels: np.ndarray
    scores: np.ndarray


def segment_within(
    encoder: Encoder, organ: np.ndarray, consecutive: np.ndarray, options: PropagationOptions,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, SliceFindings]:  # fmt: skip
    """Return labels (N, H, W) uint8 of every class that the encoder's model has a token for, and what led to them.

    ``organ`` (N, H, W), not 0 where it is; see ``propagate`` for the others. A class is empty in every slice whose
    object score says that it is not there.
    """
    findings = find_in_slices(encoder, organ, options, True, advance)
    place = encoder.segmenter.classes

    def present(z: int, label: int) -> bool:
        return bool(findings.scores[z, place[label]] > 0)

    prompts = prompts_from_slices(findings, list(place), options.least_pixels)
    return propagate(encoder, consecutive, prompts, options, advance, present), findings


def find_in_slices(
    encoder: Encoder, organ: np.ndarray, options: PropagationOptions, where_present: bool,
    advance: Callable[[int], None],
) -> SliceFindings:  # fmt: skip
    """Return what each slice shows by itself; with ``where_present`` nothing of a class whose score is negative.

    Where classes overlap, the larger logit wins. See ``segment_within`` for the arguments.
    """
    classes = list(encoder.segmenter.classes)
    painter = Painter(encoder.images.shape)
    scores = np.full((len(organ), len(classes)), -np.inf, np.float32)
    for z in np.flatnonzero(organ.any(axis=(1, 2))).tolist():
        box = tight_box(organ[z] > 0)
        ((logits, scores[z]),) = decode_tracks(encoder, [(z, [Track(label, box) for label in classes])], options)
        for label, mask, score in zip(classes, logits, scores[z]):
            if score > 0 or not where_present:
                painter.paint(z, label, mask)
        advance(1)
    return SliceFindings(painter.labels, scores)


def prompts_from_slices(findings: SliceFindings, classes: list[int], least_pixels: int) -> list[Prompt]:
    """Return a prompt for every 26-connected object, in the slice that is surest of its class.

    Slices that show fewer than ``least_pixels`` of it are no place to start from. ``classes``: of the scores' columns.
    """
    import cc3d
    from scipy import ndimage

    prompts = []
    for label, sure in zip(classes, findings.scores.T):
        parts = cc3d.connected_components(findings.labels == label, connectivity=26)
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
