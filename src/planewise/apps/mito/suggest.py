"""mito suggest: choose the slices to paint next, where the planes of a model's prediction disagree."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from planewise.apps.mito.case import Results
from planewise.apps.mito.options import MitoPredict, MitoSuggest
from planewise.apps.mito.predict import predict_cases
from planewise.correction.worklist import COLUMNS as WORKLIST
from planewise.data.case import Case, channel_within, file_of_case
from planewise.data.classes import DATASET_FILE, read_labels_of
from planewise.data.input_images import images_to_segment
from planewise.data.painted_slices import AXES, PAINTED, painted_slices
from planewise.data.panoptic import IGNORED
from planewise.data.space import labels_on
from planewise.errors import PlanewiseError, Problem
from planewise.inference.suggestion import ChosenSlice, choose_slices, slice_doubts, voxel_doubt
from planewise.models.model_file import find_model_file, read_model_file
from planewise.progress import progress, say, warn
from planewise.report.pictures import write_votes
from planewise.report.tables import report_problems
from planewise.training.slice_folder import shows_area
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import planes_sharp_in_all
from planewise.volumes.labels import open_labels
from planewise.volumes.slices import AXIS, Plane, as_stack
from planewise.volumes.volume import LazyArray, Volume

SUGGESTIONS, PREDICTED = "suggestions.csv", "predicted"
BOX = ("z0", "z1", "y0", "y1", "x0", "x1")
COLUMNS = (*WORKLIST, "axis", "index", *BOX, "score", "paint", "picture")
SMOOTHED = 32  # pixels; disagreement is averaged over this side to locate its maximum in a slice


@dataclass(frozen=True)
class _Candidate:
    """A volume to choose slices from, its planes' objects, and the slices that are already known."""

    image: Volume
    planes: list[LazyArray]
    known: list[int]


def suggest_mito(options: MitoSuggest) -> int:
    """Predict, choose, and write the list and the pictures. Returns the exit code.

    Raises PlanewiseError, before any work, for options or an input that cannot be used.
    """
    cases, problems = images_to_segment(options.input, options.channel)
    if not cases and not problems:
        raise PlanewiseError(f"{options.input}: holds no volumes (.tiff, .nii.gz, .nrrd, .mha, .ome.zarr)")
    several = read_model_file(find_model_file(options.model)).several
    if several is not None and not several.things:
        raise PlanewiseError(
            f"--model {options.model}: has no class of things; slices are suggested where planes disagree on objects"
        )
    planes = _planes(cases, options, problems)
    if not cases:
        return report_problems(problems)
    letter = "zyx"[AXIS[options.plane]]
    predict = MitoPredict(
        trained_model=options.model,
        input=options.input,
        output=options.output / PREDICTED,
        axes=planes,
        channel=options.channel,
        intensity=options.intensity,
        invert=options.invert,
        device=options.device,
        memory=options.memory,
        overwrite=options.overwrite,
    )
    predicted = predict_cases(list(cases.items()), predict, problems)
    candidates, doubts = _compared(cases, predicted, options, problems)
    known = {name: candidate.known for name, candidate in candidates.items()}
    for name, places in known.items():
        say(f"{name}: already known: {f'{letter} ' + ' '.join(map(str, places)) if places else 'no slice'}")
    chosen = choose_slices(doubts, known, options.count)
    if 0 < len(chosen) < options.count:
        say(f"--count {options.count}: only {len(chosen)} slices are not yet known: all of them are listed")
    if chosen and not any(of_slices.any() for of_slices in doubts.values()):
        warn(
            "the planes disagree nowhere, as when a model segments nothing or everything: the slices are "
            "merely spread evenly"
        )
    rows = [_suggestion(choice, candidates[choice.case], options, several is not None) for choice in chosen]
    _write(options.output / SUGGESTIONS, rows)
    if rows:
        _say_what_to_paint(rows, options, several is not None)
    elif candidates:
        say("All slices are already known: there is nothing to suggest")
    return report_problems(problems)


def _planes(cases: dict[str, Path], options: MitoSuggest, problems: list[Problem]) -> tuple[Plane, ...]:
    """Return the planes to predict in: the requested ones, or those in which the pixels of all volumes are square.

    Volumes that cannot be read are moved from ``cases`` to ``problems``. Raises PlanewiseError if there is only one
    plane, since disagreement needs two.
    """
    if options.axes is not None:
        planes, why = options.axes, f"--axes {' '.join(options.axes)}"
    else:
        volumes = []
        for name, path in list(cases.items()):
            try:
                volumes.append(open_volume(path, channel_within(path, options.channel)))
            except PlanewiseError as error:
                problems.append(Problem.of(path, error))
                del cases[name]
        if not volumes:
            return ()
        planes = planes_sharp_in_all(volumes)
        why = f"all volumes have square pixels in {', '.join(planes) or 'no plane'} only"
    if len(planes) < 2:
        raise PlanewiseError(
            f"{options.input}: {why}, and suggestions come from disagreement of planes, so two are needed. Name them "
            "with --axes if the voxels are nearly cubes; else paint slices at even distances"
        )
    return planes


def _known(path: Path, name: str, image: Volume, options: MitoSuggest) -> list[int]:
    """Return the plane's slices that are already painted in the dataset around the image at ``path``, if there is one.

    These are the files of paintedTr or, if labelsTr has the ignore label, the slices in which an area is labelled.
    """
    dataset = path.resolve().parent.parent
    if path.resolve().parent.name != "imagesTr" or not (dataset / DATASET_FILE).is_file():
        return []
    folder, plane = dataset / PAINTED / name, options.plane
    if folder.is_dir():
        places = painted_slices(folder, image.shape)
        return sorted(index for axis, index in places if AXES[axis] == plane)
    ignore = read_labels_of(dataset / DATASET_FILE).ignore
    if ignore is None or not (dataset / "labelsTr").is_dir():
        return []
    truth = file_of_case(name, dataset / "labelsTr", "truth")
    case = Case(name, path, truth, instances=False, channel=channel_within(path, options.channel))
    slices = as_stack(labels_on(image, case, truth), plane)
    return [i for i, labels in enumerate(slices) if shows_area(np.where(labels == ignore, IGNORED, 0))]


def _slice(voxels: LazyArray, plane: Plane, index: int) -> np.ndarray:
    return np.asarray(voxels[tuple(index if axis == AXIS[plane] else slice(None) for axis in range(3))])


def _compared(
    cases: dict[str, Path], predicted: dict[str, Results], options: MitoSuggest, problems: list[Problem]
) -> tuple[dict[str, _Candidate], dict[str, np.ndarray]]:
    """Return the volumes to choose slices from, each with the doubt of its slices; see ``slice_doubts``.

    Volumes whose planes cannot be compared are added to ``problems``.
    """
    candidates: dict[str, _Candidate] = {}
    doubts: dict[str, np.ndarray] = {}
    for name, results in predicted.items():
        path = cases[name]
        try:
            image = open_volume(path, channel_within(path, options.channel))
            labels = [open_labels(file).voxels for file in results.planes.values()]
            candidates[name] = _Candidate(image, labels, _known(path, name, image, options))
            with progress(f"{name}: comparing planes", image.shape[0], unit="layers") as advance:
                doubts[name] = slice_doubts(labels, options.plane, advance)
        except PlanewiseError as error:
            candidates.pop(name, None)
            problems.append(Problem.of(path, error))
    return candidates, doubts


def _say_what_to_paint(rows: list[dict[str, Any]], options: MitoSuggest, several: bool) -> None:
    """Print each suggestion and the next steps; ``several``: there are several classes."""
    for row in rows:
        say(f"{row['item']}: {row['what']}; {'label' if several else 'paint it as'} {row['paint']}")
    how = (
        f"Label whole slices: the class of each voxel in labelsTr and the objects in instancesTr; the rest of labelsTr "
        f"gets the ignore label of {DATASET_FILE}. Painted slices ({PAINTED}) cannot state the class of an object"
        if several
        else "Paint whole slices: everything unpainted in a slice counts as background, so no empty file is written"
    )
    listed = options.output / SUGGESTIONS
    say(f"{listed} lists them; their pictures lie beside it. {how}")
    say(f"To see them in the prediction: planewise correct {options.output / PREDICTED} --worklist {listed}")


def _suggestion(choice: ChosenSlice, candidate: _Candidate, options: MitoSuggest, several: bool) -> dict[str, Any]:
    """Draw a slice's picture, and return its row of the list (``COLUMNS``); ``several``: there are several classes."""
    axis, letter = AXIS[options.plane], "zyx"[AXIS[options.plane]]
    planes = [_slice(labels, options.plane, choice.index) for labels in candidate.planes]
    doubt = ndimage.uniform_filter(voxel_doubt(planes), SMOOTHED, mode="constant")
    most = [int(at) for at in np.unravel_index(int(doubt.argmax()), doubt.shape)]
    place = [*most[:axis], choice.index, *most[axis:]]
    votes = np.sum([labels > 0 for labels in planes], axis=0)
    disputed = float(((votes > 0) & (votes < len(planes))).mean())
    name = f"{letter}{choice.index:04d}"
    picture = options.output / f"{choice.case}_{name}.png"
    write_votes(picture, _slice(candidate.image.voxels, options.plane, choice.index), votes, len(planes))
    sides = candidate.image.shape
    edges = [(choice.index, choice.index + 1) if i == axis else (0, side) for i, side in enumerate(sides)]
    box = [edge for pair in edges for edge in pair]
    beside = [other for other in "zyx" if other != letter]
    what = (
        f"{letter} {choice.index}: planes disagree on {disputed:.1%} of it, most at {beside[0]} {most[0]}, {beside[1]} "
        f"{most[1]}"
    )
    painted = f"{PAINTED}/{choice.case}/{name}.tif"
    paint = f"{letter} {choice.index} of labelsTr/{choice.case} and instancesTr/{choice.case}" if several else painted
    values: tuple[Any, ...] = (
        f"{choice.case} {name}",
        choice.case,
        what,
        "",
        *place,
        letter,
        choice.index,
        *box,
        f"{1000 * choice.score:.3f}",
        paint,
        picture.name,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
