"""Random crops: magnification, rotation, flips, placement, contrast. One warp, so pixels are interpolated once."""

import numba
import numpy as np

BRIGHTNESS = 0.3  # of the full scale, added
CONTRAST = 0.3  # relative
TILT = np.pi / 12  # the largest rotation of what has an upright
PROBABILITY = 0.5  # of a rotation, of a change of brightness and contrast, and of each flip


def random_crop(
    image: np.ndarray, labels: np.ndarray, size: int, scale_range: tuple[float, float], rng: np.random.Generator,
    upright: bool = False,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return a random view (size, size) of ``image`` (H, W), float32 in 0..1, and of its ``labels``, int32.

    As published for MitoNet: magnified by a factor from ``scale_range``, cropped (what lies outside the slice is 0),
    rotated by up to 180 degrees, flipped, brightness and contrast changed by up to 0.3. ``upright``: slices whose left
    and right mean something are tilted by up to 15 degrees, and not flipped.
    """
    scale = rng.uniform(*scale_range)
    most = TILT if upright else np.pi
    angle = rng.uniform(-most, most) if rng.random() < PROBABILITY else 0.0
    flip_rows, flip_columns = (rng.random(2) < PROBABILITY) & (not upright)
    # Where the crop's centre lies in the slice: anywhere that keeps it full, or as full as can be.
    centre = [
        rng.uniform(*sorted((size / 2 / scale, side - size / 2 / scale))) if side * scale > size else side / 2
        for side in image.shape
    ]
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation / scale * np.array([-1.0 if flip_rows else 1.0, -1.0 if flip_columns else 1.0])
    start = np.array(centre) - 0.5 - matrix @ np.full(2, (size - 1) / 2)  # of the crop's first pixel
    pixels, ids = warp(image, labels.astype(np.int32, copy=False), matrix, start, size)
    if rng.random() < PROBABILITY:
        contrast, brightness = 1 + rng.uniform(-CONTRAST, CONTRAST), rng.uniform(-BRIGHTNESS, BRIGHTNESS)
        pixels = np.clip(pixels * np.float32(contrast) + np.float32(brightness), 0, 1)
    return pixels, ids


def centre_crop(image: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle (size, size) of a slice and of its labels, 0 beyond the slice."""
    start = np.array([(side - size) // 2 for side in image.shape], float)
    return warp(image, labels.astype(np.int32, copy=False), np.eye(2), start, size)


@numba.njit(nogil=True, cache=True)
def warp(
    image: np.ndarray, labels: np.ndarray, matrix: np.ndarray, start: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample ``image`` bilinearly and ``labels`` at the nearest pixel, at start + matrix @ (row, column).

    Positions are pixel centres of the slice; what lies outside it is 0.
    """
    height, width = image.shape
    pixels, ids = np.zeros((size, size), np.float32), np.zeros((size, size), np.int32)
    for row in range(size):
        for column in range(size):
            y = start[0] + matrix[0, 0] * row + matrix[0, 1] * column
            x = start[1] + matrix[1, 0] * row + matrix[1, 1] * column
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
