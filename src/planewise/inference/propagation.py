"""Carry boxes from slice to slice: the mask of one slice gives the box of the next, upwards and downwards.

Each slice is encoded once, whatever the number of classes and objects. The starting slices are decoded first; then two
fronts move outward, one upwards and one downwards, and all boxes of both are decoded in one call.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from planewise.data.prepared import GRID
from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Box, Prompt, tight_box
from planewise.volumes.parts import connected_parts

SAME_OBJECT = 0.8  # IoU of boxes of one class above which two tracks count as one


@dataclass(frozen=True)
class PropagationOptions:
    """How tracks move; margins are in pixels of a 256 grid laid over the slice."""

    margin: float = 5.0  # by which a box is enlarged around the mask it comes from
    least_pixels: int = 16  # a smaller part of a mask is not an object
    least_inside: float = (
        0.5  # share of a part that must lie in the box it was prompted with; otherwise it is another object
    )
    least_score: float = 0.0  # object score (logit) under which a track ends
    split: bool = True  # a mask that falls apart continues as several tracks


@dataclass(frozen=True)
class Track:
    """An object of class ``label``; ``box``, in pixels, is the prompt for the next slice."""

    label: int
    box: Box


T = TypeVar("T", bound=Track)
Window = tuple[slice, slice]  # of a slice: rows and columns
WHOLE: Window = (slice(None), slice(None))
Propagation = Callable[..., np.ndarray]  # ``propagate``, or another that takes and returns the same


def propagate(
    encoder: Encoder,
    consecutive: np.ndarray,
    prompts: list[Prompt],
    options: PropagationOptions,
    advance: Callable[[int], None],
    presence: Callable[[int, int], float] = lambda z, label: math.inf,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Return labels (N, H, W) uint8 of the objects that ``prompts`` start, in the slices of ``encoder``.

    ``consecutive`` (N - 1,): which slices lie directly below the next. No track crosses a gap, nor enters a slice in
    which its class's ``presence``, a logit, is not positive. Where classes overlap, see ``Painter``. Nothing is
    segmented or followed where ``within`` (N, H, W) is False. ``advance`` is called with the number of slices that are
    decoded for the first time.
    """
    painter = Painter(encoder.images.shape)

    def look(slices: list[tuple[int, int, list[Track]]]) -> list[list[Track]]:
        """Decode the tracks of one or two slices in one call; paint, and return the tracks that continue from each."""
        wanted = [(z, without_doubles(tracks) if direction else tracks) for z, direction, tracks in slices]
        for z, direction, _ in slices:
            encoder.look_along(z, direction)
        return [
            go_on(z, tracks, logits if within is None else cut(logits, within[z]), scores, painter, presence, options)
            for (z, tracks), (logits, scores) in zip(wanted, decode_tracks(encoder, wanted, options))
        ]

    starts = [(prompt.z, Track(prompt.label, prompt.box)) for prompt in prompts]
    carry(starts, consecutive, look, advance, presence)
    return painter.labels


def carry(
    starts: list[tuple[int, T]],
    consecutive: np.ndarray,
    look: Callable[[list[tuple[int, int, list[T]]]], list[list[T]]],
    advance: Callable[[int], None],
    presence: Callable[[int, int], float],
) -> None:
    """Carry tracks outwards from the slices they start in, by both fronts, until none continues; see ``propagate``.

    ``look`` is given slices, each with the direction it was reached in (+1, -1; 0 where tracks start) and its tracks,
    and returns those that continue from each.
    """
    tracks: dict[int, dict[int, list[T]]] = {+1: {}, -1: {}}  # tracks to decode, by direction and slice
    seen: set[int] = set()

    def pass_on(z: int, direction: int, slice_tracks: list[T]) -> None:
        following = z + direction
        if 0 <= following <= len(consecutive) and consecutive[min(z, following)]:
            going_on = [track for track in slice_tracks if presence(following, track.label) > 0]
            if going_on:
                tracks[direction].setdefault(following, []).extend(going_on)

    def look_anew(slices: list[tuple[int, int, list[T]]]) -> list[list[T]]:
        new = {z for z, _, _ in slices} - seen
        seen.update(new)
        advance(len(new))
        return look(slices)

    by_slice: dict[int, list[T]] = {}
    for z, track in starts:
        by_slice.setdefault(z, []).append(track)
    for z in sorted(by_slice):
        (slice_tracks,) = look_anew([(z, 0, by_slice[z])])
        pass_on(z, +1, slice_tracks)
        pass_on(z, -1, slice_tracks)
    while tracks[+1] or tracks[-1]:
        front = [
            (min(waiting) if direction > 0 else max(waiting), direction)
            for direction, waiting in tracks.items()
            if waiting
        ]
        slices = [(z, direction, tracks[direction].pop(z)) for z, direction in front]
        for (z, direction), slice_tracks in zip(front, look_anew(slices)):
            pass_on(z, direction, slice_tracks)


class Painter:
    """The labels (N, H, W) so far. Where classes overlap, a voxel gets the class with the largest probability.

    This is the probability of the class in the slice times that of the voxel in its mask; of equal ones, the first that
    was painted wins.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.labels = np.zeros(shape, np.uint8)
        self.likely = np.full(shape, -np.inf, np.float32)  # logarithms, which still differ between near certainties

    def paint(self, z: int, label: int, logits: np.ndarray, presence: float = math.inf, window: Window = WHOLE) -> None:
        """Paint where ``logits`` (h, w), of a ``window`` of the slice, are positive and exceed those painted before.

        ``presence``: the logit that the class is in the slice; without it, as for drawn boxes, the larger logit wins.
        """
        rows, columns = np.nonzero(logits > 0)
        likely = _log_sigmoid(logits[rows, columns]) + _log_sigmoid(np.float32(presence))
        wins = likely > self.likely[z][window][rows, columns]
        at = rows[wins], columns[wins]
        self.labels[z][window][at] = label
        self.likely[z][window][at] = likely[wins]


def cut(logits: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return ``logits`` (..., H, W), set to background where ``within`` (H, W) is False."""
    return np.where(within, logits, -np.inf)


def _log_sigmoid(logits: np.ndarray | np.float32) -> np.ndarray:
    return -np.logaddexp(np.float32(0), -logits)


@torch.inference_mode()
def decode_tracks(
    encoder: Encoder, slices: list[tuple[int, list[Track]]], options: PropagationOptions
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each slice, the logits (tracks, H, W) and object scores (tracks,) of its tracks.

    Boxes are enlarged by the margin; the tokens of the tracks' classes are added if the model has them all.
    """
    height, width = encoder.images.shape[1:]
    most = max(len(wanted) for _, wanted in slices)
    boxes = np.zeros((len(slices), most, 4), np.float32)
    for i, (_, wanted) in enumerate(slices):
        for j, track in enumerate(wanted):
            boxes[i, j] = np.array(larger(track.box, (height, width), options.margin)) / [width, height, width, height]
    embeddings = [torch.cat(level) for level in zip(*(encoder(z) for z, _ in slices))]
    classes = _classes(encoder, slices, most)
    logits, scores = encoder.segmenter.decode(embeddings, torch.from_numpy(boxes).to(encoder.device), classes)
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False).cpu().numpy()
    return [(full[i, : len(wanted)], scores[i, : len(wanted)].cpu().numpy()) for i, (_, wanted) in enumerate(slices)]


def _classes(encoder: Encoder, slices: list[tuple[int, list[Track]]], most: int) -> Tensor | None:
    """Return the places of the tracks' tokens (slices, tracks); None if a class has no token."""
    place = encoder.segmenter.classes
    if any(track.label not in place for _, wanted in slices for track in wanted):
        return None
    classes = [[place[track.label] for track in wanted] + [0] * (most - len(wanted)) for _, wanted in slices]
    return torch.tensor(classes, device=encoder.device)


def go_on(
    z: int,
    tracks: list[Track],
    logits: np.ndarray,
    scores: np.ndarray,
    painter: Painter,
    presence: Callable[[int, int], float],
    options: PropagationOptions,
) -> list[Track]:
    """Paint the masks predicted in slice ``z``; return the tracks that continue from it."""
    going_on = []
    for track, track_logits, score in zip(tracks, logits, scores):
        mask = track_logits > 0
        if score < options.least_score or not mask.any():
            continue
        looked_in = np.zeros_like(mask)
        looked_in[_pixels(larger(track.box, mask.shape, options.margin))] = True
        for window, piece in pieces(mask, options.split):
            size = int(piece.sum())
            inside = int((piece & looked_in[window]).sum())
            if size >= options.least_pixels and inside >= options.least_inside * size:
                shown = np.where(piece, track_logits[window], 0)
                painter.paint(z, track.label, shown, presence(z, track.label), window)
                going_on.append(Track(track.label, _box(window)))
    return going_on


def pieces(mask: np.ndarray, split: bool) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield each 8-connected part of ``mask`` (H, W), or all of it if not ``split``: its window and its mask there."""
    from scipy.ndimage import find_objects

    whole = rows, columns = _pixels(tight_box(mask))
    parts = mask[whole]
    if not split:
        yield whole, parts
        return
    labelled = connected_parts(parts, 8)
    for part, (inner_rows, inner_columns) in enumerate(find_objects(labelled.astype(np.int32)), 1):
        window = _shifted(inner_rows, rows.start), _shifted(inner_columns, columns.start)
        yield window, labelled[inner_rows, inner_columns] == part


def _box(window: Window) -> Box:
    rows, columns = window
    return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def larger(box: Box, shape: tuple[int, ...], margin: float) -> Box:
    """Return ``box`` enlarged by ``margin``, on a 256 grid laid over the slice, within the slice."""
    height, width = shape
    dx, dy = margin * width / GRID, margin * height / GRID
    return max(box[0] - dx, 0.0), max(box[1] - dy, 0.0), min(box[2] + dx, width), min(box[3] + dy, height)


def _pixels(box: Box) -> Window:
    return slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2])))


def without_doubles(tracks: list[T]) -> list[T]:
    """Return the tracks without duplicates: those of one class whose boxes nearly coincide."""
    kept: list[T] = []
    for track in tracks:
        if not any(track.label == other.label and _box_iou(track.box, other.box) > SAME_OBJECT for other in kept):
            kept.append(track)
    return kept


def _box_iou(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
