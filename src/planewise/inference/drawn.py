"""Masks from drawings in a slice: a box around an object, a line along it, points inside and outside of it."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from planewise.data.prepared import GRID
from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Box
from planewise.inference.propagation import PropagationOptions
from planewise.volumes.parts import connected_parts

LEAST_INSIDE = PropagationOptions.least_inside
LINE_POINTS = 5  # points taken along a line, evenly spaced
Point = tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """What is drawn for one object of class ``label`` in slice ``z``: its ``box``, and points (x, y), in pixels."""

    z: int
    label: int
    box: Box
    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()


def along(line: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return ``LINE_POINTS`` evenly spaced points along a line; for a line of one point, that point."""
    corners = np.array(line, float)
    lengths = np.concatenate([[0.0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    if lengths[-1] == 0:
        return line[:1]
    at = np.linspace(0, lengths[-1], LINE_POINTS)
    x, y = (np.interp(at, lengths, corners[:, axis]).tolist() for axis in (0, 1))
    return tuple(zip(x, y))


@torch.inference_mode()
def mask_of(encoder: Encoder, drawn: Drawn, margin: float) -> np.ndarray:
    """Return the mask (H, W) bool of the drawn object; empty if the model segments none.

    Parts with less than half inside the box are other objects and left out, as in prediction.

    The box is enlarged by ``margin`` pixels of a 256 x 256 grid, as in prediction; the class's token is added to the
    prompt if the model has one. The slice is encoded once, as long as ``encoder`` keeps it.
    """
    height, width = encoder.images.shape[1:]
    sides = np.array([width, height])
    ends = np.array(drawn.box).reshape(2, 2) / sides + np.array([[-margin], [margin]]) / GRID
    box = torch.from_numpy(np.clip(ends, 0, 1).reshape(1, 1, 4).astype(np.float32)).to(encoder.device)
    points = None
    if at := [*drawn.inside, *drawn.outside]:
        places = torch.from_numpy((np.array(at) / sides)[None, None].astype(np.float32)).to(encoder.device)
        inside = torch.tensor([1] * len(drawn.inside) + [0] * len(drawn.outside), device=encoder.device)
        points = places, inside[None, None]
    place = encoder.segmenter.classes.get(drawn.label)
    classes = None if place is None else torch.tensor([[place]], device=encoder.device)
    logits, _ = encoder.segmenter.decode(encoder(drawn.z), box, classes, points)
    full = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
    x0, y0, x1, y1 = (ends.clip(0, 1) * sides).ravel()
    within = slice(int(y0), int(np.ceil(y1))), slice(int(x0), int(np.ceil(x1)))
    return parts_within((full[0, 0] > 0).cpu().numpy(), within)


def parts_within(mask: np.ndarray, within: tuple[slice, slice]) -> np.ndarray:
    """Return the 8-connected parts of a mask (H, W) bool of which at least ``LEAST_INSIDE`` lies in a box."""
    parts = connected_parts(mask, 8)
    sizes = np.bincount(parts.ravel())
    inside = np.bincount(parts[within].ravel(), minlength=len(sizes))
    kept = inside >= LEAST_INSIDE * sizes
    return np.asarray(mask & kept[parts])
