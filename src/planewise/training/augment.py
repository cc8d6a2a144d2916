"""Random crops: magnification, rotation, flips, bending, placement, contrast, noise.

One warp, so pixels are interpolated once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from scipy import ndimage

BRIGHTNESS = 0.3  # of the full scale, added
CONTRAST = 0.3  # relative
TILT = np.pi / 12  # largest rotation of slices with a fixed orientation
PROBABILITY = 0.5  # of a rotation, of a change of brightness and contrast, and of each flip
KNOT = 64  # approximate distance, in pixels, of the knots whose displacements bend a crop
RARELY = 0.3  # probability of each change that imitates a microscope: gamma, noise, blur
GAMMA = 0.4  # largest change of the logarithm
NOISE = 0.04  # largest standard deviation, of the full scale
BLUR = 1.2  # largest sigma, in pixels
MARGIN = 0.2  # probability that a side of a view is empty, as beside a specimen
WIDEST = 0.7  # largest share of the view that is then empty
ASIDE = 0.25  # share of the view, at most, between its centre and the object pixel near which it is placed
DRAWS = 10  # slices that are drawn at most until one shows an object
STRAIGHT = np.zeros((2, 2, 2))

Drawn = tuple[np.ndarray, np.ndarray]  # an image slice (H, W), float32 in 0..1, and its labels, int32


@dataclass(frozen=True)
class Variation:
    """Variations of crops beyond flips, rotation and contrast.

    ``scale_range``: of the magnification; ``bend``: the standard deviation, in pixels, by which the knots of a coarse
    grid are displaced; ``microscope``: whether gamma, noise and blur change too; ``near_objects``: the share of views
    that are placed near an object. ``divisor``: of labels that are panoptic values, see ``data.panoptic``.
    """

    scale_range: tuple[float, float] = (0.1, 2.0)
    bend: float = 0.0
    microscope: bool = False
    near_objects: float = 0.0
    divisor: int | None = None


def random_crop(
    image: np.ndarray,
    labels: np.ndarray,
    size: int,
    scale_range: tuple[float, float],
    rng: np.random.Generator,
    upright: bool = False,
) -> Drawn:
    """Return a random view (size, size) of ``image`` (H, W), float32 in 0..1, and of its ``labels``, int32.

    As published for MitoNet: magnified by a factor from ``scale_range``, cropped (what lies outside the slice is 0),
    rotated by up to 180 degrees, flipped, brightness and contrast changed by up to 0.3. ``upright``: slices in which
    left and right matter are rotated by up to 15 degrees only, and not flipped.
    """
    scale = rng.uniform(*scale_range)
    most = TILT if upright else np.pi
    angle = rng.uniform(-most, most) if rng.random() < PROBABILITY else 0.0
    pixels, ids = _view(image, labels, (size, size), scale, angle, 0.0, rng, not upright)
    return _contrast(pixels, rng), ids


def varied_crop(draw: Callable[[], Drawn], size: int, variation: Variation, rng: np.random.Generator) -> Drawn:
    """Return a random view (size, size) of a slice that ``draw`` returns, or of several if one would not fill it.

    A slice along the short axis of a flat volume is a ribbon: as many ribbons as fill the view are stacked in bands,
    with distinct ids. Single ribbons are not rotated; the whole view is then rotated by 90 degrees or not.
    """

    def next_slice() -> tuple[np.ndarray, np.ndarray, bool]:
        near = variation.near_objects > 0 and rng.random() < variation.near_objects
        image, labels = draw()
        for _ in range(DRAWS - 1 if near else 0):
            if (labels > 0).any():
                break
            image, labels = draw()
        return image, labels, near

    image, labels, near = next_slice()
    scale = rng.uniform(*variation.scale_range)
    bands = min(size, max(1, int(size / (min(image.shape) * scale) + 0.5)))  # of a pixel at least
    if bands == 1:
        angle = rng.uniform(-np.pi, np.pi) if rng.random() < PROBABILITY else 0.0
        pixels, ids = _view(image, labels, (size, size), scale, angle, variation.bend, rng, near=near)
    else:
        pixels, ids = np.empty((size, size), np.float32), np.empty((size, size), np.int32)
        edges = np.linspace(0, size, bands + 1).astype(int)
        highest = 0
        for band, (start, stop) in enumerate(pairwise(edges.tolist())):
            if band:
                image, labels, near = next_slice()
            ribbon = (image, labels) if image.shape[0] <= image.shape[1] else (image.T, labels.T)
            shape = stop - start, size
            pixels[start:stop], labelled = _view(*ribbon, shape, scale, 0.0, variation.bend, rng, near=near)
            ids[start:stop] = _renumbered(labelled, highest, variation.divisor)
            highest = max(highest, int(_ids_of(ids[start:stop], variation.divisor).max()))
        if rng.random() < PROBABILITY:
            pixels, ids = np.ascontiguousarray(pixels.T), np.ascontiguousarray(ids.T)
    if rng.random() < MARGIN:
        _empty_side(pixels, ids, rng)
    pixels = _contrast(pixels, rng)
    return (_microscope(pixels, rng) if variation.microscope else pixels), ids


def _ids_of(labels: np.ndarray, divisor: int | None) -> np.ndarray:
    """Return the ids of objects in ``labels``, of which those of several classes are remainders by ``divisor``."""
    return labels if divisor is None else np.where(labels > 0, labels % divisor, 0)


def _renumbered(labels: np.ndarray, highest: int, divisor: int | None) -> np.ndarray:
    """Return ``labels`` with ``highest`` added to each id, so that ids are distinct from previous ones."""
    ids = _ids_of(labels, divisor)
    more = highest if divisor is None else (ids - 1 + highest) % (divisor - 1) + 1 - ids  # which stays in its class
    return np.where(ids > 0, labels + more, labels)


def _view(
    image: np.ndarray,
    labels: np.ndarray,
    shape: tuple[int, int],
    scale: float,
    angle: float,
    bend: float,
    rng: np.random.Generator,
    flip: bool = True,
    near: bool = False,
) -> Drawn:
    """Return a view of ``shape``, at a random place, flipped if it may be, and bent by ``bend`` pixels.

    ``near``: near a random pixel of the slice's objects, if it has any.
    """
    flip_rows, flip_columns = (rng.random(2) < PROBABILITY) & flip
    # Where the crop's centre lies in the slice: anywhere that keeps it full, or as full as can be.
    ranges = [
        sorted((length / 2 / scale, side - length / 2 / scale)) if side * scale > length else [side / 2] * 2
        for side, length in zip(image.shape, shape)
    ]
    objects = np.flatnonzero(labels > 0) if near else np.empty(0, np.int64)
    if len(objects):
        pixel = np.unravel_index(objects[rng.integers(len(objects))], labels.shape)
        aside = rng.uniform(-ASIDE, ASIDE, 2) * shape / scale
        centre = [min(max(at + by, low), high) for at, by, (low, high) in zip(pixel, aside, ranges)]
    else:
        centre = [rng.uniform(low, high) if low < high else low for low, high in ranges]
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation / scale * np.array([-1.0 if flip_rows else 1.0, -1.0 if flip_columns else 1.0])
    start = np.array(centre) - 0.5 - matrix @ (np.array(shape) - 1) / 2  # of the crop's first pixel
    knots = STRAIGHT
    if bend:
        knots = rng.normal(0, bend, (2, *(2 + side // KNOT for side in shape)))
    return warp(image, labels.astype(np.int32, copy=False), matrix, start, shape, knots)


def _empty_side(pixels: np.ndarray, ids: np.ndarray, rng: np.random.Generator) -> None:
    """Set one side of a view to 0, in place: volumes are padded so, and a network must have seen it in training."""
    width, quarters = int(rng.uniform(0, WIDEST) * len(pixels)), int(rng.integers(4))
    for view in (pixels, ids):
        np.rot90(view, quarters)[:width] = 0  # a view of the same memory


def _contrast(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= PROBABILITY:
        return pixels
    contrast, brightness = 1 + rng.uniform(-CONTRAST, CONTRAST), rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    return np.clip(pixels * np.float32(contrast) + np.float32(brightness), 0, 1)


def _microscope(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change gamma, sharpness and noise, as from one microscope or session to another."""
    change = rng.random(3) < RARELY
    if change[0]:
        pixels = pixels ** np.float32(np.exp(rng.uniform(-GAMMA, GAMMA)))
    if change[1]:
        pixels = ndimage.gaussian_filter(pixels, rng.uniform(0, BLUR))
    if change[2]:
        pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, NOISE))
    return np.clip(pixels, 0, 1)


def centre_crop(image: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle (size, size) of a slice and of its labels, 0 beyond the slice."""
    start = np.array([(side - size) // 2 for side in image.shape], float)
    return warp(image, labels.astype(np.int32, copy=False), np.eye(2), start, (size, size), STRAIGHT)


@numba.njit(nogil=True, cache=True)
def warp(
    image: np.ndarray,
    labels: np.ndarray,
    matrix: np.ndarray,
    start: np.ndarray,
    shape: tuple[int, int],
    knots: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sample ``image`` bilinearly and ``labels`` at the nearest pixel, at start + matrix @ (row, column) + bending.

    Positions are pixel centres of the slice; what lies outside it is 0. The bending is interpolated from ``knots``
    (2, n, m), displacements (dy, dx) at a grid that spans the view of ``shape``.
    """
    height, width = image.shape
    pixels, ids = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    cells = knots.shape[1] - 1, knots.shape[2] - 1
    for row in range(shape[0]):
        at_row = cells[0] * row / shape[0]
        i = int(at_row)
        down = at_row - i
        for column in range(shape[1]):
            at_column = cells[1] * column / shape[1]
            j = int(at_column)
            right = at_column - j
            y = start[0] + matrix[0, 0] * row + matrix[0, 1] * column
            x = start[1] + matrix[1, 0] * row + matrix[1, 1] * column
            upper_left, upper_right = (1 - down) * (1 - right), (1 - down) * right
            lower_left, lower_right = down * (1 - right), down * right
            y += upper_left * knots[0, i, j] + upper_right * knots[0, i, j + 1]
            y += lower_left * knots[0, i + 1, j] + lower_right * knots[0, i + 1, j + 1]
            x += upper_left * knots[1, i, j] + upper_right * knots[1, i, j + 1]
            x += lower_left * knots[1, i + 1, j] + lower_right * knots[1, i + 1, j + 1]
            near_y, near_x = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
            if near_y < 0 or near_x < 0 or near_y >= height or near_x >= width:
                continue
            ids[row, column] = labels[near_y, near_x]
            low_y, low_x = int(np.floor(y)), int(np.floor(x))
            part_y, part_x = y - low_y, x - low_x
            y0, y1 = max(low_y, 0), min(low_y + 1, height - 1)
            x0, x1 = max(low_x, 0), min(low_x + 1, width - 1)
            upper = image[y0, x0] * (1 - part_x) + image[y0, x1] * part_x
            lower = image[y1, x0] * (1 - part_x) + image[y1, x1] * part_x
            pixels[row, column] = upper * (1 - part_y) + lower * part_y
    return pixels, ids
