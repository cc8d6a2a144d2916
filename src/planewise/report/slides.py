"""Pictures of a case for the page: slices as JPEG, with labels as outlines that the browser draws, and objects in
3D."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planewise.data.case import channel_within
from planewise.data.space import with_spacing_of
from planewise.errors import PlanewiseError, Problem, first_line
from planewise.evaluation.comparison import ScoredCase
from planewise.evaluation.mistakes import Mistake
from planewise.evaluation.result import OBJECTS, CaseErrors
from planewise.report.close_ups import SHARE, SIDE, CloseUp, boxes_around
from planewise.report.pictures import jpeg_uri, outline_path
from planewise.report.sections import Box, Place, read_sections
from planewise.report.solids import WHOLE_BYTES, Solids
from planewise.volumes.files import open_volume
from planewise.volumes.slices import AXIS, PLANES, Plane
from planewise.volumes.volume import Volume

MAX_SIDE = 512  # pixels of a picture
MISTAKES = 8  # mistakes of a method in a case that the page lists and shows
WORST = 4  # slices of each plane that are always shown
PIXEL_BYTES, LAYER_BYTES = 0.32, 0.03  # approximate bytes in the page for each pixel, and for each volume's outlines
GATHERED_BYTES = 2**27  # approximate limit in memory for all shown slices of a volume
SHARES = {"xy": 0.7, "xz": 0.5, "yz": 1.0}  # of a case's remaining bytes that each plane gets in turn

Outlines = dict[str, dict[str, str]]  # SVG paths by "truth" or method, then by class


@dataclass(frozen=True)
class Slide:
    """One slice: its plane, place, size in pixels, and content.

    ``image``: a data URI, or empty. ``outlines``: instances have the class "objects". ``wrong``: voxels by method.
    ``close_ups``: parts of a thinned slice in full resolution.
    """

    plane: Plane
    index: int
    width: int
    height: int
    image: str
    outlines: Outlines
    wrong: dict[str, int]
    close_ups: tuple[CloseUp, ...] = ()


@dataclass(frozen=True)
class CaseSlides:
    """A case's slides, in order in each plane.

    ``aspect``: width over height of a picture, by plane; ``step``: voxels for each pixel; ``depth``: the number of
    slices in each plane, of which some are shown; ``classes``: the classes that have outlines. ``solids``: the objects
    in 3D. ``note``: why there is no image, if there is none.
    """

    dataset: str
    case: str
    aspect: dict[Plane, float]
    step: int
    depth: dict[Plane, int]
    classes: list[str]
    slides: list[Slide]
    solids: Solids
    note: str = ""
    size: int = field(default=0)  # approximate bytes in the page

    def shown(self) -> str:
        """Return how many of each plane's slices are shown, and with what resolution."""
        counts = {plane: sum(slide.plane == plane for slide in self.slides) for plane in self.depth}
        parts = [f"{n} of {self.depth[plane]} {plane}" for plane, n in counts.items() if n < self.depth[plane]]
        whole = [f"all {plane}" for plane, n in counts.items() if n == self.depth[plane]]
        slices = ", ".join([*whole, *parts]) + " slices" if parts else "all slices of all planes"
        if self.step == 1:
            return slices
        close_ups = sum(len(slide.close_ups) for slide in self.slides)
        plural = "s, around mistakes, show" if close_ups > 1 else ", around a mistake, shows"
        full = f"; {close_ups} close-up{plural} every voxel" if close_ups else ""
        pixel = " x ".join([str(self.step)] * 2)
        return f"{slices}, one pixel for {pixel} voxels (image: their mean; labels: the first of them){full}"


def case_slides(scored: ScoredCase, room: int, objects: int, problems: list[Problem]) -> CaseSlides | None:
    """Draw as many of a case's slices as fit into ``room`` (bytes): the most wrong ones, and others at equal distances.

    ``objects``: most objects of each method that are drawn in 3D. None if nothing could be scored. If an image is
    damaged, there are no pictures of it, and it is added to ``problems``. Raises PlanewiseError if labels cannot be
    read again.
    """
    delivered = {result.method for result in scored.results if result.delivered}
    errors = [error for error in scored.errors if error.method in delivered] or scored.errors
    if scored.truth is None or not errors:
        return None
    truth, benchmark = scored.truth, scored.benchmark
    with_spacing = with_spacing_of(truth, benchmark.images.get(scored.case))
    step = -(-max(truth.shape) // MAX_SIDE)
    pixel = PIXEL_BYTES * (scored.case in benchmark.images) + LAYER_BYTES * (1 + len(scored.predictions))
    most = int(SHARE * max(0, room) / (SIDE**2 * pixel)) if step > 1 else 0
    close_ups = boxes_around(_listed(scored), truth.shape, most)
    places = _places(scored, errors, step, room - int(len(close_ups) * SIDE**2 * pixel), pixel)

    whole = room > 10 * WHOLE_BYTES * (1 + len(scored.predictions))
    solids = Solids(benchmark, scored.results, truth.shape, with_spacing.spacing, whole, objects)
    # With one class, all predicted labels count as it, whatever their number, unless other classes lie beside it.
    several = len(benchmark.classes) > 1 or not benchmark.any_label
    classes = benchmark.classes if several else {}
    outlines, of_close_ups = _read_outlines(
        [("truth", truth), *scored.predictions.items()], places, step, close_ups, solids, classes
    )
    images, crops, note = _images(scored, places, step, close_ups, problems)
    in_full: dict[int, list[CloseUp]] = {}
    for box, in_it, paths in zip(close_ups, crops, of_close_ups):
        (z, y, x), (_, height, width) = box.lower, box.shape
        in_full.setdefault(z, []).append(CloseUp(x, y, width, height, in_it, paths))
    slides = []
    for plane, indices in places.items():
        sides = [-(-side // step) for axis, side in enumerate(truth.shape) if axis != AXIS[plane]]
        for index in indices:
            wrong = {error.method: int(error.along[AXIS[plane]][index]) for error in errors}
            image, paths = images.get((plane, index), ""), outlines[plane, index]
            closer = tuple(in_full.get(index, ())) if plane == "xy" else ()
            slides.append(Slide(plane, index, sides[1], sides[0], image, paths, wrong, closer))
    slides = _fitting(slides, room - solids.size)
    size = solids.size + sum(_size(slide) for slide in slides)
    depth = {plane: truth.shape[AXIS[plane]] for plane in PLANES}
    names = list(classes.values()) or [OBJECTS]
    return CaseSlides(
        benchmark.dataset, scored.case, _aspects(with_spacing), step, depth, names, slides, solids, note, size
    )


def _size(slide: Slide) -> int:
    outlines = sum(len(path) for paths in slide.outlines.values() for path in paths.values())
    return len(slide.image) + outlines + sum(close_up.size for close_up in slide.close_ups)


def _listed(scored: ScoredCase) -> list[Mistake]:
    """Return the mistakes that the page lists."""
    return [mistake for result in scored.results if result.delivered for mistake in result.mistakes[:MISTAKES]]


def _read_outlines(
    volumes: list[tuple[str, Volume]],
    places: dict[Plane, list[int]],
    step: int,
    close_ups: list[Box],
    solids: Solids,
    classes: dict[int, str],
) -> tuple[dict[Place, Outlines], list[Outlines]]:
    """Return the outlines in each slice and close-up; ``solids`` are drawn in the same pass over each volume."""
    of_slices: dict[Place, Outlines] = {}
    of_close_ups: list[Outlines] = [{} for _ in close_ups]
    for name, volume in volumes:
        boxes = solids.boxes_of(name)
        sections = read_sections(volume, places, step, average=False, boxes=[*boxes, *close_ups])
        for place, labels in sections.slices.items():
            of_slices.setdefault(place, {})[name] = _outlines(labels, classes)
        solids.draw(name, sections.boxes[: len(boxes)])
        for drawn, crop in zip(of_close_ups, sections.boxes[len(boxes) :]):
            drawn[name] = _outlines(crop[0], classes)
    return of_slices, of_close_ups


def _outlines(labels: np.ndarray, classes: dict[int, str]) -> dict[str, str]:
    """Return the outlines in a slice by class, or of all labels as one without ``classes``; empty ones are left
    out."""
    there = np.unique(labels) if classes else ()
    of_classes = {name: outline_path(labels == value) for value, name in classes.items() if value in there}
    by_name = of_classes if classes else {OBJECTS: outline_path(labels)}
    return {name: path for name, path in by_name.items() if path}


# ---- which slices


def _places(scored: ScoredCase, errors: list[CaseErrors], step: int, room: int, pixel: float) -> dict[Plane, list[int]]:
    """Return the places of the slices to show in each plane, ascending: as many as take about ``room`` bytes.

    ``pixel``: approximate bytes for each.
    """
    assert scored.truth is not None
    shape = scored.truth.shape
    listed = {mistake.centre[0] for mistake in _listed(scored)}
    places: dict[Plane, list[int]] = {}
    pixel = max(pixel, 4 * room / GATHERED_BYTES)  # raised so that the shown slices also fit in memory
    for plane in PLANES:
        depth = shape[AXIS[plane]]
        bytes_each = pixel * math.prod(shape) / depth / step**2
        fitting = min(depth, int(SHARES[plane] * max(0, room) / bytes_each))
        wanted = set(_worst(errors, AXIS[plane], max(1, min(WORST, fitting)))) | (listed if plane == "xy" else set())
        count = depth if fitting == depth else fitting - len(wanted)
        if count > 0:
            apart = -(-depth // count)
            wanted |= set(range(apart // 2, depth, apart))
        places[plane] = sorted(wanted)
        room -= int(len(wanted) * bytes_each)
    return places


def _fitting(slides: list[Slide], room: int) -> list[Slide]:
    """Return slides that take at most ``room`` (bytes): with many labels, outlines take more than estimated.

    Every second one of each plane is left out until they fit, but the most wrong one of each stays.
    """
    while sum(map(_size, slides)) > room:
        fewer: list[Slide] = []
        for plane in PLANES:
            of_plane = [slide for slide in slides if slide.plane == plane]
            worst = max(of_plane, key=lambda slide: sum(slide.wrong.values()), default=None)
            fewer += [slide for i, slide in enumerate(of_plane) if i % 2 or slide is worst]
        if len(fewer) == len(slides):
            return slides
        slides = fewer
    return slides


def _worst(errors: list[CaseErrors], axis: int, count: int) -> list[int]:
    """Return the places of the most wrong slices along an axis, worst first, none next to another."""
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


# ---- the image


def _images(
    scored: ScoredCase, places: dict[Plane, list[int]], step: int, close_ups: list[Box], problems: list[Problem]
) -> tuple[dict[Place, str], list[str], str]:
    """Return the slices of the image and its close-ups as data URIs, or why there are none."""
    path, nothing = scored.benchmark.images.get(scored.case), [""] * len(close_ups)
    if path is None:
        return {}, nothing, "no image was found: outlines only"
    damage = ""
    try:
        stored = open_image(path, scored.benchmark.channel)
        try:
            image = scored.lay_on_truth(stored, path)
        except PlanewiseError as error:
            return {}, nothing, f"{error}: outlines only"
        sections = read_sections(image, places, step, average=True, boxes=close_ups)
    except PlanewiseError as error:
        damage = str(error).removeprefix(f"{path}: ")
    except Exception as error:  # each reader raises errors of its own types for a damaged file
        damage = f"cannot be read ({first_line(error)})"
    if damage:
        problems.append(Problem(str(path), f"{damage}: the report shows outlines only"))
        return {}, nothing, f"{path}: {damage}: outlines only"
    low, high = _range(sections.slices.values())

    def picture(values: np.ndarray) -> str:
        return jpeg_uri((values - low) / max(high - low, 1e-9))

    crops = [picture(crop[0]) for crop in sections.boxes]
    return {place: picture(slice_) for place, slice_ in sections.slices.items()}, crops, ""


def _range(slices: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the intensities shown as black and white: the darkest and the brightest half percent lie beyond them."""
    low, high = np.percentile(np.concatenate([slice_[::4, ::4].ravel() for slice_ in slices]), [0.5, 99.5])
    return float(low), float(high)


def open_image(path: Path, channel: int | None) -> Volume:
    """Open an image; if it has several channels, ``channel``, or the first if that is None."""
    try:
        return open_volume(path, channel_within(path, channel))
    except PlanewiseError:
        if channel is not None:
            raise
        return open_volume(path, 0)
