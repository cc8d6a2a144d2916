"""Small pictures for a page: grey values as JPEG, colours as PNG, labels as outlines drawn by the browser."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from planewise.report.figures import save_figure
from planewise.volumes.atomic import atomic_path

QUALITY = 60  # of JPEG
FEW, MOST = (230, 159, 0), (86, 180, 233)  # colours for votes of fewer than half of the planes, and of more, not all


def jpeg_uri(grey: np.ndarray) -> str:
    """Return a picture of grey values (rows, columns), 0 black and 1 white, as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def png_uri(shades: np.ndarray, palette: np.ndarray) -> str:
    """Return a picture (rows, columns) of places in ``palette`` (n, 3), colours in 0..255, as a data URI.

    Place 0 is transparent, so that the page's own background, light or dark, shows through.
    """
    from PIL import Image

    picture = Image.fromarray(shades.astype(np.uint8), "P")
    picture.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0, optimize=False, compress_level=9)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def write_votes(path: Path, image: np.ndarray, votes: np.ndarray, planes: int) -> None:
    """Write an image slice (rows, columns) as a PNG, pixel for pixel, with the pixels for which only some of the
    ``planes`` voted.

    ``votes``: of each pixel. Orange: fewer than half of the planes; blue: more, but not all; grey: all agree.
    """
    from PIL import Image

    low, high = np.percentile(image, (0.5, 99.5))
    grey = np.clip((image.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1) * 255
    colours = np.repeat(grey[..., None], 3, axis=2)
    for colour, where in ((FEW, (votes > 0) & (2 * votes < planes)), (MOST, (2 * votes >= planes) & (votes < planes))):
        colours[where] = 0.5 * colours[where] + 0.5 * np.array(colour)
    with atomic_path(path) as temporary:
        Image.fromarray(colours.round().astype(np.uint8)).save(temporary, "PNG")


def figure_uri(figure: Any, dpi: int) -> str:
    """Return a figure of Matplotlib as a data URI, transparent where it draws nothing."""
    buffer = io.BytesIO()
    save_figure(figure, buffer, format="png", dpi=dpi, transparent=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def outline_path(labels: np.ndarray) -> str:
    """Return an SVG path along the edges of pixels between different labels (rows, columns), none along the border.

    Each piece begins relative to the end of the previous one, which saves a third of the characters.
    """
    path, x, y = [], 0, 0
    for row, start, n in _edges(labels):
        path.append(f"m{start - x} {row - y}h{n}")
        x, y = start + n, row
    for column, start, n in _edges(labels.T):
        path.append(f"m{column - x} {start - y}v{n}")
        x, y = column, start + n
    return "".join(path).replace(" -", "-")


def _edges(labels: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield (row, first column, length) of every straight piece of an edge above a row."""
    differ = np.zeros((len(labels) - 1, labels.shape[1] + 2), np.int8)
    np.not_equal(labels[1:], labels[:-1], out=differ[:, 1:-1].view(bool))
    change = np.diff(differ, axis=1)
    rows, starts = np.nonzero(change == 1)
    stops = np.nonzero(change == -1)[1]
    yield from zip((rows + 1).tolist(), starts.tolist(), (stops - starts).tolist(), strict=True)
