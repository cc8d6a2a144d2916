"""Whether the fine structures of an image, such as membranes, are darker or brighter than their surroundings."""

import math
from typing import Literal, NamedTuple

import numpy as np

TILES, TILE = 32, 128  # regions examined for fine structures: their number, and their side in pixels
LINE_WIDTHS = (1.5, 3.0)  # pixels, sigma: membranes and the like
LEAST_LINE_CONTRAST, AGREEING, LEAST_TILES = 0.02, 0.75, 4  # a polarity is clear if most tiles agree
LEAST_BORDER = (
    0.005  # of a tile: so many pixels with its least or greatest value are a border (a row has more), or clipped
)
SHARP = 4.0  # curvature at the first width over that at the second: below this, an image is too blurred to decide

Polarity = Literal["dark", "bright", "unclear"]


def tile_places(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return the first voxels (z, y, x) of tiles of xy slices, spread over a volume, by z."""
    depth, *sides = shape
    places = set()
    for number, z in enumerate(np.linspace(0, depth - 1, TILES).round().astype(int).tolist()):
        places.add((z, *tile_corner(number, *sides)))
    return sorted(places)


def tile_corner(number: int, height: int, width: int) -> tuple[int, int]:
    """Return the first pixel of the tile in slice ``number``; the slices' tiles are spread over 7 x 7 places."""
    y, x = (max(0, side - TILE) * (number * step % 7) // 6 for side, step in ((height, 3), (width, 5)))
    return y, x


class Lines(NamedTuple):
    """The line contrast for each of ``LINE_WIDTHS``: 1 if all lines are bright, -1 if all are dark.

    ``sharpness``: the curvature at the first width over that at the second. All are NaN for an image without contrast,
    and for one with a border, whose edge would count as lines.
    """

    contrasts: tuple[float, ...]
    sharpness: float


def line_contrast(tile: np.ndarray) -> Lines:
    """Return whether bright or dark lines are stronger in ``tile`` (H, W); inverting the tile negates the contrasts.

    A line is where one eigenvalue of the Hessian exceeds the other: Frangi et al. 1998, doi:10.1007/BFb0056195.
    Squared excesses are compared.
    """
    from scipy.ndimage import gaussian_filter

    if max(float((tile == tile.min()).mean()), float((tile == tile.max()).mean())) >= LEAST_BORDER:
        return Lines((math.nan,) * len(LINE_WIDTHS), math.nan)
    pixels = (tile - tile.mean(dtype=np.float64)).astype(np.float32)  # a large offset would use up the precision
    contrasts, curvatures = [], []
    for width in LINE_WIDTHS:
        yy, xx, yx = (gaussian_filter(pixels, width, order=order) for order in ((2, 0), (0, 2), (1, 1)))
        middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
        larger, smaller = middle + half, middle - half
        dark = float(np.square(np.clip(larger - np.abs(smaller), 0, None)).mean())
        bright = float(np.square(np.clip(-smaller - np.abs(larger), 0, None)).mean())
        contrasts.append((bright - dark) / (bright + dark) if bright + dark > 0 else math.nan)
        curvatures.append(float((yy**2 + xx**2).mean()))
    return Lines(tuple(contrasts), curvatures[0] / curvatures[1] if curvatures[1] > 0 else math.nan)


def mean_contrast(of_tiles: list[Lines]) -> float:
    """Return the mean contrast of fine lines in tiles; NaN if none is known."""
    known = known_contrasts(of_tiles)
    return float(known[:, 0].mean()) if len(known) else math.nan


def polarities_of(of_tiles: list[Lines]) -> tuple[Polarity, ...]:
    """Return the polarity of lines of each of ``LINE_WIDTHS``; it is clear if most tiles agree on it."""
    known = known_contrasts(of_tiles)
    if len(known) < LEAST_TILES or float(np.nanmean([lines.sharpness for lines in of_tiles])) < SHARP:
        return tuple("unclear" for _ in LINE_WIDTHS)
    means = known.mean(axis=0)
    agree = (np.sign(known) == np.sign(means)).mean(axis=0)
    clear = (np.abs(means) >= LEAST_LINE_CONTRAST) & (agree >= AGREEING)
    return tuple("unclear" if not sure else "dark" if mean < 0 else "bright" for mean, sure in zip(means, clear))


def known_contrasts(of_tiles: list[Lines]) -> np.ndarray:
    """Return the contrasts (tiles, widths) of the tiles that have any."""
    known = [lines.contrasts for lines in of_tiles if not math.isnan(sum(lines.contrasts))]
    return np.array(known).reshape(len(known), len(LINE_WIDTHS))
