"""Carry boxes from slice to slice: the mask of one slice gives the box of the next, upwards and downwards.

Every slice is encoded once, whatever the number of classes and objects. The starting slices are decoded first; then two
fronts move outward, one upwards and one downwards, and all boxes of both are decoded in one call.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from planewise.data.prepared import GRID
from planewise.inference.prompts import Box, Prompt, tight_box
from planewise.models.sam2 import BoxSegmenter

SAME_OBJECT = 0.8  # IoU of boxes of one class above which two tracks are one


@dataclass(frozen=True)
class PropagationOptions:
    """How tracks move; margins are in pixels of a 256 grid laid over the slice."""

    margin: float = 5.0  # by which a box is larger than the mask it comes from
    least_pixels: int = 16  # a smaller part of a mask is no object
    least_inside: float = (
        0.5  # share of a part that must lie in the box it was looked for in; else it is another object
    )
    least_score: float = 0.0  # object score (logit) under which a track ends
    split: bool = True  # a mask that falls apart goes on as several tracks


@dataclass(frozen=True)
class Track:
    """An object of class ``label`` whose ``box``, in pixels, is to be looked into next."""

    label: int
    box: Box


def propagate(
    encoder: "Encoder", consecutive: np.ndarray, prompts: list[Prompt], options: PropagationOptions,
    advance: Callable[[int], None], present: Callable[[int, int], bool] = lambda z, label: True,
) -> np.ndarray:  # fmt: skip
    """Return labels (N, H, W) uint8 of the objects that ``prompts`` start, in the slices of ``encoder``.

    ``consecutive`` (N - 1,) tells which slices lie directly below the next: no track crosses a gap, nor goes into a
    slice in which its class is not ``present``. Where classes overlap, the larger logit wins. ``advance`` is called
    with the number of slices that are decoded for the first time.
    """
    images = encoder.images
    painter = Painter(images.shape)
    tracks: dict[int, dict[int, list[Track]]] = {+1: {}, -1: {}}  # by direction and slice, what to look into there

    def decode(slices: list[tuple[int, list[Track]]]) -> list[list[Track]]:
        """Decode the tracks of one or two slices in one call; paint, and return what goes on from each."""
        new = {z for z, _ in slices} - decoded
        decoded.update(new)
        advance(len(new))
        return [
            _go_on(z, wanted, logits, scores, painter, options)
            for (z, wanted), (logits, scores) in zip(slices, decode_tracks(encoder, slices, options))
        ]

    def pass_on(z: int, direction: int, slice_tracks: list[Track]) -> None:
        following = z + direction
        if 0 <= following < len(images) and consecutive[min(z, following)]:
            going_on = [track for track in slice_tracks if present(following, track.label)]
            if going_on:
                tracks[direction].setdefault(following, []).extend(going_on)

    decoded: set[int] = set()
    starts: dict[int, list[Track]] = {}
    for prompt in prompts:
        starts.setdefault(prompt.z, []).append(Track(prompt.label, prompt.box))
    for z in sorted(starts):
        (slice_tracks,) = decode([(z, starts[z])])
        pass_on(z, +1, slice_tracks)
        pass_on(z, -1, slice_tracks)
    while tracks[+1] or tracks[-1]:
        front = [
            (direction, min(waiting) if direction > 0 else max(waiting))
            for direction, waiting in tracks.items()
            if waiting
        ]
        slices = [(z, _without_doubles(tracks[direction].pop(z))) for direction, z in front]
        for (direction, z), slice_tracks in zip(front, decode(slices)):
            pass_on(z, direction, slice_tracks)
    return painter.labels


class Encoder:
    """Embeddings of slices ``images`` (N, H, W) uint8, each made once as long as it is kept: the last ``limit``."""

    def __init__(self, segmenter: BoxSegmenter, images: np.ndarray, limit: int = 64) -> None:
        self.segmenter, self.images, self.limit = segmenter, images, max(2, limit)
        self.device = next(segmenter.parameters()).device
        self.kept: OrderedDict[int, list[Tensor]] = OrderedDict()

    def __call__(self, z: int) -> list[Tensor]:
        if z in self.kept:
            self.kept.move_to_end(z)
        else:
            slice_ = torch.from_numpy(self.images[z].astype(np.float32) / 255)[None].to(self.device)
            self.kept[z] = self.segmenter.encode(slice_)
            if len(self.kept) > self.limit:
                self.kept.popitem(last=False)
        return self.kept[z]


class Painter:
    """The labels (N, H, W) so far, with the positive logit that each voxel was won by."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.labels = np.zeros(shape, np.uint8)
        self.logits = np.zeros(shape, np.float32)

    def paint(self, z: int, label: int, logits: np.ndarray) -> None:
        wins = logits > self.logits[z]
        self.labels[z][wins] = label
        self.logits[z][wins] = logits[wins]


@torch.inference_mode()
def decode_tracks(
    encoder: Encoder, slices: list[tuple[int, list[Track]]], options: PropagationOptions
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each slice, the logits (tracks, H, W) and object scores (tracks,) of its tracks.

    Boxes are enlarged by the margin; the tokens of the tracks' classes stand beside them where the model has them all.
    """
    height, width = encoder.images.shape[1:]
    most = max(len(wanted) for _, wanted in slices)
    boxes = np.zeros((len(slices), most, 4), np.float32)
    for i, (_, wanted) in enumerate(slices):
        for j, track in enumerate(wanted):
            boxes[i, j] = np.array(_larger(track.box, (height, width), options.margin)) / [width, height, width, height]
    embeddings = [torch.cat(level) for level in zip(*(encoder(z) for z, _ in slices))]
    classes = _classes(encoder, slices, most)
    logits, scores = encoder.segmenter.decode(embeddings, torch.from_numpy(boxes).to(encoder.device), classes)
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False).cpu().numpy()
    return [(full[i, : len(wanted)], scores[i, : len(wanted)].cpu().numpy()) for i, (_, wanted) in enumerate(slices)]


def _classes(encoder: Encoder, slices: list[tuple[int, list[Track]]], most: int) -> Tensor | None:
    """Return the places of the tracks' tokens (slices, tracks), None if there is a class without one."""
    place = encoder.segmenter.classes
    if any(track.label not in place for _, wanted in slices for track in wanted):
        return None
    classes = [[place[track.label] for track in wanted] + [0] * (most - len(wanted)) for _, wanted in slices]
    return torch.tensor(classes, device=encoder.device)


def _go_on(
    z: int, tracks: list[Track], logits: np.ndarray, scores: np.ndarray, painter: Painter, options: PropagationOptions
) -> list[Track]:
    """Paint what was found in slice ``z``; return the tracks that go on from it."""
    import cc3d

    going_on = []
    for track, track_logits, score in zip(tracks, logits, scores):
        mask = track_logits > 0
        if score < options.least_score or not mask.any():
            continue
        parts = cc3d.connected_components(mask, connectivity=8) if options.split else mask.astype(np.uint8)
        for part in range(1, int(parts.max()) + 1):
            piece = parts == part
            size = int(piece.sum())
            inside = int(piece[_pixels(_larger(track.box, mask.shape, options.margin))].sum())
            if size >= options.least_pixels and inside >= options.least_inside * size:
                painter.paint(z, track.label, np.where(piece, track_logits, 0))
                going_on.append(Track(track.label, tight_box(piece)))
    return going_on


def _larger(box: Box, shape: tuple[int, ...], margin: float) -> Box:
    """Return ``box`` enlarged by ``margin``, on a 256 grid laid over the slice, within the slice."""
    height, width = shape
    dx, dy = margin * width / GRID, margin * height / GRID
    return max(box[0] - dx, 0.0), max(box[1] - dy, 0.0), min(box[2] + dx, width), min(box[3] + dy, height)


def _pixels(box: Box) -> tuple[slice, slice]:
    return slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2])))


def _without_doubles(tracks: list[Track]) -> list[Track]:
    """Return the tracks without those of one class whose boxes are nearly one."""
    kept: list[Track] = []
    for track in tracks:
        if not any(track.label == other.label and _box_iou(track.box, other.box) > SAME_OBJECT for other in kept):
            kept.append(track)
    return kept


def _box_iou(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
