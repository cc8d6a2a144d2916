"""Solids whose measures are known in closed form, as voxels: the reference for tests, and for the errors shown in docs.

Each is rotated by a matrix (3, 3) in z, y, x, and shifted off the grid by an amount that a seed sets. Sizes are in the
unit of the spacing.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.integrate import quad

Spacing = tuple[float, float, float]


def orientations() -> list[np.ndarray]:
    """Return three rotations: along the axes, and two oblique ones."""
    turned = []
    for angles in ((0.0, 0.0, 0.0), (30.0, 0.0, 20.0), (45.0, 35.0, 15.0)):
        rotation = np.eye(3)
        for axis, angle in enumerate(np.deg2rad(angles)):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            step = np.eye(3)
            step[i, i] = step[j, j] = math.cos(angle)
            step[i, j], step[j, i] = -math.sin(angle), math.sin(angle)
            rotation = step @ rotation
        turned.append(rotation)
    return turned


def points(reach: float, spacing: Spacing, rotation: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the positions (d, h, w, 3) of a volume's voxels in the frame of a body with half side ``reach``."""
    offsets = np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    sides = [(np.arange(-math.ceil(reach / s) - 2, math.ceil(reach / s) + 3) + o) * s for s, o in zip(spacing, offsets)]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1) @ rotation


def ball(radius: float, spacing: Spacing, seed: int = 0) -> np.ndarray:
    """Return a ball: volume 4/3 pi r^3, surface 4 pi r^2."""
    return (points(radius, spacing, np.eye(3), seed) ** 2).sum(-1) <= radius**2


def ellipsoid(half_axes: Sequence[float], spacing: Spacing, rotation: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return an ellipsoid: volume 4/3 pi a b c; its surface is ``ellipsoid_surface``."""
    return ((points(max(half_axes), spacing, rotation, seed) / np.array(half_axes)) ** 2).sum(-1) <= 1


def ellipsoid_surface(half_axes: Sequence[float]) -> float:
    """Return the surface of an ellipsoid: Legendre's formula, with its elliptic integrals as numbers."""
    a, b, c = sorted(half_axes, reverse=True)
    if a == c:
        return 4 * math.pi * a**2
    phi = math.acos(c / a)
    k2 = a**2 * (b**2 - c**2) / (b**2 * (a**2 - c**2))
    second = quad(lambda t: math.sqrt(1 - k2 * math.sin(t) ** 2), 0, phi)[0]
    first = quad(lambda t: 1 / math.sqrt(1 - k2 * math.sin(t) ** 2), 0, phi)[0]
    mixed = second * math.sin(phi) ** 2 + first * math.cos(phi) ** 2
    return 2 * math.pi * c**2 + 2 * math.pi * a * b / math.sin(phi) * mixed


def torus(ring: float, radius: float, spacing: Spacing, rotation: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a torus: volume 2 pi^2 R r^2, surface 4 pi^2 R r, centre line 2 pi R, one loop."""
    at = points(ring + radius, spacing, rotation, seed)
    return np.hypot(np.hypot(at[..., 1], at[..., 2]) - ring, at[..., 0]) <= radius


def y_tube(arm: float, radius: float, spacing: Spacing, rotation: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return three round-ended tubes from one point, in a plane: centre line of 3 arms, 3 branches, 3 ends."""
    at = points(arm + radius, spacing, rotation, seed)
    ends = [arm * np.array([0, math.sin(a), math.cos(a)]) for a in np.deg2rad([90, 210, 330])]
    return np.min([_distance_to_rod(at, end) for end in ends], axis=0) <= radius


def _distance_to_rod(at: np.ndarray, end: np.ndarray) -> np.ndarray:
    along = np.clip(at @ end / (end @ end), 0, 1)
    return np.linalg.norm(at - along[..., None] * end, axis=-1)


def touching_balls(radius: float, apart: float, spacing: Spacing, rotation: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return labels 1 and 2, two balls whose centres are ``apart``; where they overlap, each has one half.

    They touch in a disc of area pi (r^2 - apart^2 / 4).
    """
    at = points(apart / 2 + radius, spacing, rotation, seed)
    half = np.array([0, 0, apart / 2])
    near = np.linalg.norm(at + half, axis=-1), np.linalg.norm(at - half, axis=-1)
    labels = np.where(near[0] <= near[1], 1, 2)
    return (labels * (np.minimum(*near) <= radius)).astype(np.uint32)
