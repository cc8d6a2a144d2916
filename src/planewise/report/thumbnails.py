"""Objects in 3D as small pictures: seen from the front, the left and above, with shading by surface direction."""

import colorsys

import numpy as np

from planewise.report.pictures import png_uri
from planewise.report.sections import Box, Voxel
from planewise.volumes.label_names import GOLDEN, rgb

VOXELS = 60  # along the longest side of a drawn object
SHADES = 15  # of each colour
HUES = 17  # different colours of objects; the 255 indices of a palette are their shades
LIGHT = np.array([-0.45, -0.6, 0.66])  # from the upper left, towards the viewer
TURN, TILT = np.radians(35), np.radians(55)  # about z; from looking down along z


def box_around(lower: Voxel, upper: Voxel, spacing: tuple[float, float, float], voxels: int = VOXELS) -> Box:
    """Return a box to draw, thinned so that about ``voxels`` lie along its longest side, with cubic steps in space."""
    extent = max((up - low) * along for low, up, along in zip(lower, upper, spacing, strict=True))
    z, y, x = (max(1, round(extent / voxels / along)) for along in spacing)
    return Box(lower, upper, (z, y, x))


def seen_from(spacing: tuple[float, float, float], steps: Voxel) -> np.ndarray:
    """Return the matrix (3, 3) from voxels of a thinned box, z, y, x, to right, down and towards the viewer."""
    z, y, x = np.array(spacing) * steps
    right = [0.0, -np.sin(TURN), np.cos(TURN)]
    away = np.array([0.0, np.cos(TURN), np.sin(TURN)])  # along the ground
    up = np.array([1.0, 0.0, 0.0])  # towards the head, in the canonical orientation
    down = -np.sin(TILT) * up - np.cos(TILT) * away
    towards = np.cos(TILT) * up - np.sin(TILT) * away
    return np.array([right, down, towards]) * [z, y, x]


def picture_of(
    colours: np.ndarray, spacing: tuple[float, float, float], steps: Voxel, side: int, palette: np.ndarray
) -> str:
    """Draw a box (z, y, x) of colours, which are indices from 1 of ``palette`` (n, 3), 0 for nothing; return it as a
    data URI, "" if the box is empty.

    ``side``: the longer one of the picture, in pixels; it shows the whole box, so that two volumes in one box can be
    compared.
    """
    voxels = np.argwhere(_surface(colours > 0))
    if not len(voxels):
        return ""
    view = seen_from(spacing, steps)
    corners = np.array(np.meshgrid(*((-0.5, n - 0.5) for n in colours.shape))).reshape(3, -1).T @ view.T
    low, high = corners[:, :2].min(0), corners[:, :2].max(0)
    scale = side / (high - low).max()
    width, height = np.ceil((high - low) * scale).astype(int).tolist()
    places = voxels @ view.T
    at = ((places[:, :2] - low) * scale).astype(int)
    size = np.abs(view).max() * scale
    depth, colour = _nearest(at, places[:, 2] * scale, colours[tuple(voxels.T)], (height, width), size)
    return png_uri(_shaded(depth, colour), _with_shades(palette))


def _surface(solid: np.ndarray) -> np.ndarray:
    """Return the voxels of a solid (a mask) that have a neighbour outside it, or beyond the box."""
    inside = np.pad(solid, 1)
    for axis in range(3):
        padded = np.pad(solid, 1)
        inside &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
    return solid & ~inside[1:-1, 1:-1, 1:-1]


def _nearest(
    at: np.ndarray, depth: np.ndarray, colour: np.ndarray, shape: tuple[int, int], size: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return depth and colour (rows, columns) of the voxels nearest to the viewer; each covers ``size`` pixels."""
    from scipy import ndimage

    order = np.argsort(depth, kind="stable")
    nearest = np.zeros(shape, np.int32)  # the voxel's place in this order, from 1
    nearest[at[order, 1], at[order, 0]] = np.arange(1, len(order) + 1)  # the nearest is written last, and stays
    nearest = ndimage.maximum_filter(nearest, 2 * int(np.ceil(size / 2)) + 1, mode="constant")
    return np.append(-np.inf, depth[order])[nearest], np.append(np.uint8(0), colour[order])[nearest]


def _shaded(depth: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return indices of the palette with shades, from how the depth changes."""
    from scipy import ndimage

    there = colour > 0
    weight = ndimage.uniform_filter(there.astype(np.float32), 5)
    smooth = ndimage.uniform_filter(np.where(there, depth, 0).astype(np.float32), 5) / np.maximum(weight, 1e-6)
    smooth = np.where(there, smooth, smooth[there].min())
    down, right = np.gradient(smooth)
    normal = np.stack([-right, -down, np.ones_like(smooth)])
    light = np.tensordot(LIGHT / np.linalg.norm(LIGHT), normal, 1) / np.linalg.norm(normal, axis=0)
    shade = np.clip(np.rint((0.3 + 0.7 * light) * (SHADES - 1)), 0, SHADES - 1).astype(int)
    return np.where(there, 1 + (colour.astype(int) - 1) * SHADES + shade, 0)


def _with_shades(palette: np.ndarray) -> np.ndarray:
    """Return each colour of a palette (n, 3) from dark to light, after a first, unused one."""
    shades = np.linspace(0.25, 1.05, SHADES)
    lit = np.clip(palette[:, None] * shades[:, None], 0, 255).reshape(-1, 3)
    return np.vstack([[[0, 0, 0]], lit])


def hues() -> np.ndarray:
    """Return ``HUES`` colours (n, 3) in 0..255 for objects, neighbours different; the last, grey, is for objects
    without a counterpart."""
    bright = [colorsys.hsv_to_rgb((i * GOLDEN) % 1, 0.55, 0.95) for i in range(HUES - 1)]
    return 255 * np.array([*bright, (0.55, 0.55, 0.55)])


def palette_of(*colours: str) -> np.ndarray:
    """Return n colours such as "#E69F00" as (n, 3) in 0..255."""
    return np.array([rgb(colour) for colour in colours])
