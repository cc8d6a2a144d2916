"""Training data as 2D slices, in the folder layout published with MitoNet.

::

    train/images/{case}_{plane}_{index}.tiff    train/masks/ the same names, int32 instance ids, -1 where ignored; of
                                                several classes panoptic values, see ``data.panoptic``
    val/raw/                                    val/labels/

Slices are written once and read many times, so they are compressed lightly.

Of a partly painted volume, only slices with a painted area are trained on: a slice painted in xy appears as a line in
the other planes, from which neither an object's shape nor its centre can be learned. The validation part is cut
completely, in the painted planes, because objects are predicted in it as in any volume.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from planewise.data.case import Case
from planewise.data.classes import CLASS_1, Target
from planewise.data.contrast import Contrast
from planewise.data.instances import as_int32, read_instances
from planewise.data.intensity import IntensityRange, TrainedIntensities
from planewise.data.intensity_profile import measure_slices
from planewise.data.intensity_rule import IntensityRule
from planewise.data.painted_slices import is_painted, painted_text
from planewise.data.panoptic import IGNORED, PanopticClasses, read_panoptic
from planewise.errors import PlanewiseError, Problem
from planewise.progress import each_once, say
from planewise.training.validation_slab import split_slab
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats import tiff
from planewise.volumes.slices import PLANES, Plane, as_stack, evenly
from planewise.volumes.tilt import stack_note

FOLDERS = {"train": ("images", "masks"), "val": ("raw", "labels")}
INDEX = re.compile(r"[_-]?\d+$")  # what distinguishes the slices of one stack
FEW = 2  # up to this number of cases, each gives a slab for validation: a whole case would be half of the data, or all
MEASURED = 256  # slices from which the training intensities are computed
AS_PUBLISHED = IntensityRule()
Label = Callable[[np.ndarray, np.ndarray], np.ndarray]  # an image and its labels to other labels, all (z, y, x)
AREA = 8  # side in pixels of a square that must be painted completely for an area


@dataclass(frozen=True)
class SlicePair:
    """An image slice and its labels on disk; ``source`` names the stack it was cut from, a case in one plane."""

    image: Path
    labels: Path
    source: str


def read_slice_folder(folder: Path, part: str) -> list[SlicePair]:
    """Return the slices of ``part``, "train" or "val", paired by name.

    Raises PlanewiseError if there are none, or if an image has no labels or the reverse.
    """
    images_name, labels_name = FOLDERS[part]
    images, labels = (
        {path.stem: path for path in sorted((folder / part / name).glob("*")) if path.suffix in tiff.FORMAT.endings}
        for name in (images_name, labels_name)
    )
    unmatched = sorted(images.keys() ^ labels.keys())
    if unmatched:
        raise PlanewiseError(
            f"{folder / part}: {len(unmatched)} slices are in only one of {images_name}/ and {labels_name}/: "
            f"{', '.join(unmatched[:5])}; remove them, or convert again without --skip_conversion"
        )
    if not images:
        raise PlanewiseError(
            f"{folder / part}: has no slices; give their folder with --output_data_path, or convert without "
            "--skip_conversion"
        )
    return [SlicePair(images[name], labels[name], INDEX.sub("", name)) for name in images]


def read_pair(pair: SlicePair) -> tuple[np.ndarray, np.ndarray]:
    """Return an image slice (H, W), scaled to 0..1 float32, and its labels (H, W) int32, ``IGNORED`` where ignored.

    Raises PlanewiseError, naming the file, if one is damaged, if their shapes differ, or if labels are fractions or
    other negative numbers.
    """
    image, labels = (np.asarray(open_volume(path).read()).squeeze(0) for path in (pair.image, pair.labels))
    if image.shape != labels.shape or image.ndim != 2:
        raise PlanewiseError(f"{pair.labels}: has shape {labels.shape}, its image {image.shape}; both must be (H, W)")
    if labels.dtype.kind not in "iub" or (labels.size and labels.min() < IGNORED):
        raise PlanewiseError(
            f"{pair.labels}: holds fractions or negative values; ids are whole numbers, 0 background, {IGNORED} ignored"
        )
    return as_shares(image), as_int32(labels)


def as_shares(image: np.ndarray) -> np.ndarray:
    """Return an image slice as float32 shares of its type's range; floats are taken as 0..1, or else as 0..255."""
    if image.dtype.kind in "ui":
        top = float(np.iinfo(image.dtype).max)
    else:
        top = 1.0 if image.size == 0 or image.max() <= 1 else 255.0
    return image.astype(np.float32) / np.float32(top)


def slice_intensities(pairs: list[SlicePair]) -> TrainedIntensities:
    """Return the training intensities of these slices, from ``MEASURED`` evenly spaced ones."""
    return measure_slices(read_pair(pair) for pair in evenly(pairs, MEASURED))


def case_of(pair: SlicePair) -> str:
    """Return the case that a slice was cut from: the name of its stack without the plane."""
    case, _, plane = pair.source.rpartition("_")
    return case if case and plane in PLANES else pair.source


def index_of(pair: SlicePair) -> int:
    """Return the number of a slice in its stack, by its name; 0 if it has none."""
    match = INDEX.search(pair.image.stem)
    return int(match[0].strip("_-")) if match else 0


def planes_of(pairs: list[SlicePair]) -> tuple[Plane, ...] | None:
    """Return the planes that slices were cut in, from their names; None if a name has no plane."""
    cut = {pair.source.rpartition("_")[2] for pair in pairs}
    return tuple(plane for plane in PLANES if plane in cut) if cut <= set(PLANES) else None


def write_slice_folder(
    cases: list[Case],
    folder: Path,
    planes: tuple[Plane, ...],
    advance: Callable[[str], None],
    target: Target | PanopticClasses = CLASS_1,
    intensities: IntensityRule = AS_PUBLISHED,
    tell: Callable[[str], None] | None = None,
    label: Label | None = None,
) -> list[Problem]:
    """Cut ``cases`` into slices and write them to ``folder``, which is new and appears whole or not at all.

    With three or more cases the smallest is kept for validation; with one or two, each gives a slab, separated by a
    gap: see ``split_slab``. ``advance`` is called with each case's name when it is done, ``tell`` with the decisions
    about it. Cases that cannot be read, or that hold no object of ``target`` (see ``read_case``), are left out and
    returned. ``label``: a function that labels the training part of a case, from its image and its labels. Raises
    PlanewiseError if no case is left, or if writing fails.
    """
    tell = tell or each_once()
    if not cases:
        raise PlanewiseError(f"{folder}: there is no training case that can be read")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))  # which is its owner's alone
        temporary = holder / folder.name
        temporary.mkdir()
    except OSError as error:
        raise PlanewiseError(f"{folder}: cannot be written ({error.strerror}); choose --output_data_path") from error
    try:
        unreadable = _write_cases(cases, temporary, planes, advance, target, intensities, tell, label)
        if not unreadable:
            temporary.rename(folder)
            return []
    except OSError as error:
        raise PlanewiseError(f"{folder}: cannot be written ({error.strerror}); choose --output_data_path") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    # Without a case another one may have to be held out: start again with those that are left.
    left = [case for case in cases if case.name not in unreadable]
    if not left:
        raise PlanewiseError("; ".join(f"{problem.where}: {problem.what}" for problem in unreadable.values()))
    again = write_slice_folder(left, folder, planes, lambda name: None, target, intensities, tell, label)
    return [*unreadable.values(), *again]


def validation_case(cases: list[Case]) -> Case | None:
    """Return the case for validation, the smallest; None for up to ``FEW`` cases, of which slabs are used."""
    sizes = {case.name: int(np.prod(open_volume(case.image, case.channel).shape)) for case in cases}
    return min(reversed(cases), key=lambda case: sizes[case.name]) if len(cases) > FEW else None


def _write_cases(
    cases: list[Case],
    folder: Path,
    planes: tuple[Plane, ...],
    advance: Callable[[str], None],
    target: Target | PanopticClasses,
    intensities: IntensityRule,
    tell: Callable[[str], None],
    label: Label | None,
) -> dict[str, Problem]:
    """Write the slices of ``cases``; return those that cannot be used, by name.

    The first case with a clear contrast determines that of the others.
    """
    held = validation_case(cases)
    validated = False
    unreadable = {}
    for part, names in FOLDERS.items():
        for name in names:
            (folder / part / name).mkdir(parents=True)
    for case in cases:
        try:
            image, labels, contrast = read_case(case, target, intensities, tell)
            intensities = intensities.completed(contrast)
            slab = split_slab(labels, case.name) if held is None else None
        except PlanewiseError as error:
            path = case.truth if str(error).startswith(f"{case.truth}: ") else case.image
            unreadable[case.name] = Problem(str(path), f"cannot be trained on: {Problem.of(path, error).what}")
            continue
        if slab is not None:
            tell(f"{case.name}: {slab} is kept for validation")
            _write_case(folder, "val", case.name, image[slab.validation], labels[slab.validation], planes)
            image, labels = image[slab.training], labels[slab.training]
        if case is held:
            _write_case(folder, "val", case.name, image, labels, planes)
        else:
            trained = labels if label is None else label(image, labels)
            _write_case(folder, "train", case.name, image, trained, planes)
        validated |= slab is not None or case is held
        advance(case.name)
    if not validated and not unreadable:
        raise PlanewiseError(
            f"{', '.join(case.name for case in cases)}: no slab can be kept for validation: too small, or all objects "
            "lie together; add cases, up to three"
        )
    return unreadable


def read_case(
    case: Case,
    target: Target | PanopticClasses = CLASS_1,
    intensities: IntensityRule = AS_PUBLISHED,
    tell: Callable[[str], None] = say,
) -> tuple[np.ndarray, np.ndarray, Contrast]:
    """Return a case's image and instance ids (z, y, x), and its contrast as used for training.

    The image keeps its integers if the range of their type is used, and is float32 shares of the used range otherwise.
    Ids: see ``read_instances``; for several classes panoptic values: see ``read_panoptic``. Raises
    PlanewiseError if a file cannot be read, if there is no object, or if the image's range or contrast cannot be used.
    """
    ids = read_panoptic(case, target) if isinstance(target, PanopticClasses) else read_instances(case, target)
    volume = open_volume(case.image, case.channel)
    if any(volume.tilt):
        tell(f"{case.name}: {stack_note(volume)}")
    chosen = intensities.range_of(volume, case.image)
    for doubt in chosen.doubts:
        tell(doubt)
    tell(f"{case.name}: {chosen.decision}")
    if case.truth is not None and is_painted(case.truth):
        tell(f"{case.name}: painted are slices {painted_text(case.truth, volume.shape)}")
    image = read_voxels(volume, case.image)
    if not (image.dtype.kind in "ui" and chosen.range == IntensityRange(0.0, float(np.iinfo(image.dtype).max))):
        image = chosen.range.shares(image)
    return image, ids, chosen.profile.of_range(chosen.range).contrast


def _write_case(
    folder: Path, part: str, name: str, image: np.ndarray, labels: np.ndarray, planes: tuple[Plane, ...]
) -> None:
    images_name, labels_name = FOLDERS[part]
    areas = {plane: [shows_area(ids) for ids in as_stack(labels, plane)] for plane in planes}
    if not any(map(any, areas.values())):  # only points or lines, which are better than nothing
        areas = {plane: [bool((ids != IGNORED).any()) for ids in as_stack(labels, plane)] for plane in planes}
    for plane in planes:
        for index, (pixels, ids) in _slices(image, labels, plane):
            if not (areas[plane][index] or (part == "val" and any(areas[plane]))):
                continue
            file = f"{name}_{plane}_{index:05d}.tiff"
            for kind, content in ((images_name, pixels), (labels_name, ids)):
                tifffile.imwrite(
                    folder / part / kind / file,
                    np.ascontiguousarray(content),
                    compression="zlib",
                    compressionargs={"level": 1},
                    photometric="minisblack",
                )


def shows_area(ids: np.ndarray) -> bool:
    """Whether a label slice (H, W) has a painted area, not only lines: a painted square of side ``AREA``.

    Squares lie side by side, from the first pixel on; they are smaller in a slice that is narrower.
    """
    known = ids != IGNORED
    if known.all():
        return True
    rows, columns = (min(AREA, side) for side in known.shape)
    tiles = known[: known.shape[0] // rows * rows, : known.shape[1] // columns * columns]
    return bool(tiles.reshape(-1, rows, tiles.shape[1] // columns, columns).all(axis=(1, 3)).any())


def _slices(image: np.ndarray, labels: np.ndarray, plane: Plane) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    return enumerate(zip(as_stack(image, plane), as_stack(labels, plane)))
