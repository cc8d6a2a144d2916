"""Pictures of a case's slices for the page: the image as JPEG, labels as outlines that the browser draws."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.space import laid_on
from planewise.errors import PlanewiseError, first_line
from planewise.evaluation.comparison import CaseErrors, Contest, Result
from planewise.evaluation.pairs import Pair, open_pair, open_truth, with_spacing_of
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels, slab_starts
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


def case_slides(
    contest: Contest, case: str, errors: list[CaseErrors], results: list[Result], per_plane: int
) -> CaseSlides:
    """Draw the slices of a case that are most wrong, ``per_plane`` of each plane, and those of its largest mistakes.

    Raises PlanewiseError if the truth cannot be read.
    """
    pairs = {method: next(p for p in pairs if p.case == case) for method, pairs in contest.methods.items()}
    any_pair = next(iter(pairs.values()))
    truth = open_truth(any_pair)
    places = {plane: _worst(errors, AXIS[plane], per_plane) for plane in PLANES}
    listed = {mistake.centre[0] for r in results if r.delivered for mistake in r.mistakes[:MISTAKES]}
    places["xy"] += sorted(listed - set(places["xy"]))
    step = -(-max(truth.shape) // MAX_SIDE)

    outlines: dict[tuple[Plane, int], dict[str, str]] = {}
    delivered = {error.method for error in errors}
    for name, volume in [("truth", truth), *_predictions(pairs, delivered)]:
        for place, labels in _gather(volume, places, step, average=False).items():
            outlines.setdefault(place, {})[name] = outline_path(labels)
    images, note = _images(contest.images.get(case), any_pair, places, step)
    slides = []
    for plane, indices in places.items():
        sides = [-(-side // step) for axis, side in enumerate(truth.shape) if axis != AXIS[plane]]
        for index in indices:
            wrong = {error.method: int(error.along[AXIS[plane]][index]) for error in errors}
            image, paths = images.get((plane, index), ""), outlines[plane, index]
            slides.append(Slide(plane, index, sides[1], sides[0], image, paths, wrong))
    size = sum(len(slide.image) + sum(map(len, slide.outlines.values())) for slide in slides)
    aspects = _aspects(with_spacing_of(truth, contest.images.get(case)))
    return CaseSlides(contest.dataset, case, aspects, step, slides, note, size)


def _predictions(pairs: dict[str, Pair], wanted: set[str]) -> list[tuple[str, Volume]]:
    return [(m, open_pair(pair).predicted) for m, pair in pairs.items() if m in wanted and pair.prediction is not None]


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
    path: Path | None, pair: Pair, places: dict[Plane, list[int]], step: int
) -> tuple[dict[tuple[Plane, int], str], str]:
    """Return the slices of the image as data URIs, or why there are none."""
    if path is None or pair.truth is None:
        return {}, "no image was found: outlines only"
    try:
        placed = laid_on(open_volume(path), path, open_labels(pair.truth), pair.truth, pair.ignore_geometry)
        volume = to_canonical(placed)
        slices = _gather(volume, places, step, average=True)
    except PlanewiseError as error:
        return {}, f"{error}: outlines only"
    except Exception as error:  # a damaged file fails in its reader's own way
        return {}, f"{path}: cannot be read ({first_line(error)}): outlines only"
    shown = np.concatenate([slice_.ravel() for slice_ in slices.values()])
    low, high = np.percentile(shown, [0.5, 99.5])
    return {place: _jpeg((slice_ - low) / max(high - low, 1e-9)) for place, slice_ in slices.items()}, ""


def _jpeg(grey: np.ndarray) -> str:
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
