"""Pictures of a case's slices for the page: the image as JPEG, labels as outlines that the browser draws."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.case import channel_within
from planewise.errors import PlanewiseError, Problem, first_line
from planewise.evaluation.comparison import ScoredCase
from planewise.evaluation.pairs import with_spacing_of
from planewise.evaluation.result import CaseErrors
from planewise.volumes.files import open_volume
from planewise.volumes.labels import slab_starts
from planewise.volumes.slices import AXIS, PLANES, Plane, shrink
from planewise.volumes.volume import Volume

MAX_SIDE = 512  # pixels of a picture
QUALITY = 70  # of JPEG
MISTAKES = 8  # of a method in a case that the page lists and shows


@dataclass(frozen=True)
class Slide:
    """One slice: its plane, place and size in pixels, and what is drawn.

    ``image``: a data URI, or empty. ``outlines``: SVG paths by "truth" and by method; ``wrong``: voxels by method.
    """

    plane: Plane
    index: int
    width: int
    height: int
    image: str
    outlines: dict[str, str]
    wrong: dict[str, int]


@dataclass(frozen=True)
class CaseSlides:
    """A case's slides, worst first in each plane, and the shape of a picture: its width over its height, by plane.

    ``step``: voxels to a pixel. ``note``: why there is no image, if there is none.
    """

    dataset: str
    case: str
    aspect: dict[Plane, float]
    step: int
    slides: list[Slide]
    note: str = ""
    size: int = field(default=0)  # bytes in the page, about


def case_slides(scored: ScoredCase, per_plane: int, problems: list[Problem]) -> CaseSlides | None:
    """Draw the slices of a case that are most wrong, ``per_plane`` of each plane, and those of its largest mistakes.

    None if nothing could be scored. An image that is damaged costs its pictures, and becomes one of ``problems``.
    Raises PlanewiseError if labels are read once more and cannot be.
    """
    delivered = {result.method for result in scored.results if result.delivered}
    errors = [error for error in scored.errors if error.method in delivered] or scored.errors
    if scored.truth is None or not errors:
        return None
    truth, contest = scored.truth, scored.contest
    places = {plane: _worst(errors, AXIS[plane], per_plane) for plane in PLANES}
    listed = {mistake.centre[0] for r in scored.results if r.delivered for mistake in r.mistakes[:MISTAKES]}
    places["xy"] += sorted(listed - set(places["xy"]))
    step = -(-max(truth.shape) // MAX_SIDE)

    outlines: dict[tuple[Plane, int], dict[str, str]] = {}
    for name, volume in [("truth", truth), *scored.predictions.items()]:
        for place, labels in _gather(volume, places, step, average=False).items():
            outlines.setdefault(place, {})[name] = outline_path(labels)
    images, note = _images(scored, places, step, problems)
    slides = []
    for plane, indices in places.items():
        sides = [-(-side // step) for axis, side in enumerate(truth.shape) if axis != AXIS[plane]]
        for index in indices:
            wrong = {error.method: int(error.along[AXIS[plane]][index]) for error in errors}
            image, paths = images.get((plane, index), ""), outlines[plane, index]
            slides.append(Slide(plane, index, sides[1], sides[0], image, paths, wrong))
    size = sum(len(slide.image) + sum(map(len, slide.outlines.values())) for slide in slides)
    aspects = _aspects(with_spacing_of(truth, contest.images.get(scored.case)))
    return CaseSlides(contest.dataset, scored.case, aspects, step, slides, note, size)


def _worst(errors: list[CaseErrors], axis: int, count: int) -> list[int]:
    """Return the places of the most wrong slices along an axis, worst first, no two of them next to each other."""
    wrong = np.sum([error.along[axis] for error in errors], axis=0)
    apart = max(1, len(wrong) // (4 * count))
    chosen: list[int] = []
    for place in np.argsort(-wrong, kind="stable"):
        if len(chosen) == count or (chosen and wrong[place] == 0):
            break
        if all(abs(int(place) - other) >= apart for other in chosen):
            chosen.append(int(place))
    return chosen


def _aspects(volume: Volume) -> dict[Plane, float]:
    z, y, x = (side * spacing for side, spacing in zip(volume.shape, volume.spacing))
    return {"xy": x / y, "xz": x / z, "yz": y / z}


def _gather(
    volume: Volume, places: dict[Plane, list[int]], step: int, average: bool
) -> dict[tuple[Plane, int], np.ndarray]:
    """Return slices, every ``step``-th voxel or the mean of ``step`` x ``step``; the volume is read once, in slabs."""
    depth, height, width = volume.shape
    sides: dict[Plane, tuple[int, int]] = {"xy": (height, width), "xz": (depth, width), "yz": (depth, height)}
    found = {(plane, i): np.zeros(sides[plane], volume.voxels.dtype) for plane in PLANES for i in places[plane]}
    for planes in slab_starts(volume.shape):
        slab = np.asarray(volume.voxels[planes])
        for plane, i in found:
            if plane == "xy" and planes.start <= i < planes.stop:
                found[plane, i][:] = slab[i - planes.start]
            elif plane == "xz":
                found[plane, i][planes] = slab[:, i]
            elif plane == "yz":
                found[plane, i][planes] = slab[:, :, i]
    return {
        place: shrink(slice_[None], step)[0] if average else slice_[::step, ::step] for place, slice_ in found.items()
    }


def _images(
    scored: ScoredCase, places: dict[Plane, list[int]], step: int, problems: list[Problem]
) -> tuple[dict[tuple[Plane, int], str], str]:
    """Return the slices of the image as data URIs, or why there are none."""
    path = scored.contest.images.get(scored.case)
    if path is None:
        return {}, "no image was found: outlines only"
    damage = ""
    try:
        stored = open_image(path, scored.contest.channel)
        try:
            image = scored.lay_on_truth(stored, path)
        except PlanewiseError as error:
            return {}, f"{error}: outlines only"
        slices = _gather(image, places, step, average=True)
    except PlanewiseError as error:
        damage = str(error).removeprefix(f"{path}: ")
    except Exception as error:  # a damaged file fails in its reader's own way
        damage = f"cannot be read ({first_line(error)})"
    if damage:
        problems.append(Problem(str(path), f"{damage}: the report shows outlines only"))
        return {}, f"{path}: {damage}: outlines only"
    shown = np.concatenate([slice_.ravel() for slice_ in slices.values()])
    low, high = np.percentile(shown, [0.5, 99.5])
    return {place: jpeg_uri((slice_ - low) / max(high - low, 1e-9)) for place, slice_ in slices.items()}, ""


def open_image(path: Path, channel: int | None) -> Volume:
    """Open an image; of several channels the one that is asked for, and if none is the first."""
    try:
        return open_volume(path, channel_within(path, channel))
    except PlanewiseError:
        if channel is not None:
            raise
        return open_volume(path, 0)


def jpeg_uri(grey: np.ndarray) -> str:
    """Return a picture of grey values (rows, columns), 0 black and 1 white, as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def outline_path(labels: np.ndarray) -> str:
    """Return an SVG path along the edges of pixels between different labels (rows, columns), none along the border."""
    pieces = [f"M{x} {y}h{n}" for y, x, n in _edges(labels)]
    pieces += [f"M{x} {y}v{n}" for x, y, n in _edges(labels.T)]
    return "".join(pieces)


def _edges(labels: np.ndarray) -> Any:
    """Yield (row, first column, length) of every straight piece of an edge above a row."""
    differ = np.pad(labels[1:] != labels[:-1], ((0, 0), (1, 1)))
    change = np.diff(differ.astype(np.int8), axis=1)
    for (row, start), (_, stop) in zip(np.argwhere(change == 1), np.argwhere(change == -1)):
        yield int(row) + 1, int(start), int(stop - start)
