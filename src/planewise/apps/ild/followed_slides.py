"""Pictures of two registered scans, slice by slice: the CT, the classes, and the changes in colour."""

import base64
import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from planewise.volumes.label_names import class_colours, rgb

MOST_SLICES = 60
MOST_PIXELS = 320  # of a picture's longer side
MARGIN = 8  # pixels around the lungs
OPACITY = 150
CHANGES = {"new": "#D55E00", "gone": "#0072B2", "of another class": "#F0E442", "as before": "#999999"}


class PairSlide(NamedTuple):
    """A slice on the first scan's grid, as data URIs: both scans, their classes, and the changes between them."""

    z: int
    first: str
    second: str
    first_classes: str
    second_classes: str
    change: str


def change_map(first: np.ndarray, second: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return how labels (z, y, x) changed within the lungs, uint8: 1 new, 2 gone, 3 another class, 4 the same."""
    was, is_ = first > 0, second > 0
    codes = np.select([~was & is_, was & ~is_, was & is_ & (first != second), was & is_], [1, 2, 3, 4], 0)
    return (codes * (lungs > 0)).astype(np.uint8)


def pair_slides(
    first_image: np.ndarray,
    second_image: np.ndarray,
    first_labels: np.ndarray,
    second_labels: np.ndarray,
    lungs: np.ndarray,
    names: Mapping[int, str],
    pixel_mm: tuple[float, float],
) -> list[PairSlide]:
    """Return slides from top to bottom of the lungs; all arrays (z, y, x) on the first scan's grid, images uint8."""
    heights, rows, columns = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    window = tuple(slice(max(0, shown[0] - MARGIN), shown[-1] + MARGIN + 1) for shown in (rows, columns))
    count = min(MOST_SLICES, heights[-1] - heights[0] + 1)
    chosen = np.unique(np.linspace(heights[0], heights[-1], count).round().astype(int))[::-1]
    colours = {value: rgb(colour) for value, colour in class_colours(dict(names)).items()}
    of_changes = {code: rgb(colour) for code, colour in enumerate(CHANGES.values(), 1)}
    changed = change_map(first_labels, second_labels, lungs)
    slides = []
    for z in chosen.tolist():
        place = (z, *window)
        slides.append(
            PairSlide(
                z,
                _jpeg(first_image[place], pixel_mm),
                _jpeg(second_image[place], pixel_mm),
                _overlay(first_labels[place], colours),
                _overlay(second_labels[place], colours),
                _overlay(changed[place], of_changes),
            )
        )
    return slides


def _jpeg(pixels: np.ndarray, pixel_mm: tuple[float, float]) -> str:
    from PIL import Image

    height, width = (side * step for side, step in zip(pixels.shape, pixel_mm))
    scale = MOST_PIXELS / max(height, width)
    image = Image.fromarray(pixels).resize((max(1, round(width * scale)), max(1, round(height * scale))))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _overlay(values: np.ndarray, colours: Mapping[int, tuple[int, int, int]]) -> str:
    """Return values in their colours, 0 transparent, as PNG; the page stretches it over the picture."""
    from PIL import Image

    shown = np.zeros((*values.shape, 4), np.uint8)
    for value, colour in colours.items():
        shown[values == value] = (*colour, OPACITY)
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
