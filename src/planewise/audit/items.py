"""Items as files: plain volumes with their context, which any program can correct, and their reading back.

::

    images/{item}_0000.tiff   the image (NIfTI where the result is)
    labels/{item}.tiff        the masks, to be corrected
    drawn/{item}.tiff         the masks as they were drawn, not to be changed
    answers.csv               a row for each item: done, or numbers in place of corrected labels

An item is corrected if its labels were changed, if ``done`` is yes, or if a number was written into answers.csv;
otherwise it counts as skipped.
"""

import csv
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from planewise.audit.measuring import (
    Crop,
    Values,
    measure_box,
    measure_missed,
    measure_object,
    reaches_out,
    starts_in,
)
from planewise.audit.plan import CaseRecord, Item, Plan
from planewise.audit.population import Box, Classes, Source, class_voxels
from planewise.data.preparation import fingerprint
from planewise.data.spreadsheet import separator_of
from planewise.errors import PlanewiseError, Problem
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

IMAGES, LABELS, DRAWN, WITHIN, ANSWERS = "images", "labels", "drawn", "within", "answers.csv"
FIXED = ("item", "case", "what", "where z, y, x", "in the files z, y, x", "done")
YES = ("yes", "y", "1", "true", "x", "done")
ASKED = {
    "slice": "correct this one slice",
    "box": "correct what lies in this box; an object counts where its first voxel lies",
    "object": "correct the object with this label",
    "missed": "draw what is missing in this box",
}


def crop_of(place: Box, shape: tuple[int, int, int], context: tuple[int, int, int]) -> Box:
    """Return the box of an item with its ``context`` in voxels (z, y, x), as far as the volume goes."""
    z, y, x = (
        slice(max(part.start - more, 0), min(part.stop + more, side)) for part, side, more in zip(place, shape, context)
    )
    return z, y, x


def within(item: Item, shape: tuple[int, int, int]) -> Crop:
    """Return where an item lies in its crop."""
    z, y, x = (slice(a - low, b - low) for (a, b), (low, _) in zip(item.place, item.crop))
    goes_on = tuple((low > 0, high < side) for (low, high), side in zip(item.crop, shape))
    return Crop((z, y, x), goes_on)


def write_item(folder: Path, item: Item, source: Source, ending: str) -> Item:
    """Write the files of one item; return it with what they show. Raises PlanewiseError if one cannot be read."""
    crop = tuple(slice(low, high) for low, high in item.crop)
    labels = np.asarray(source.labels.voxels[crop])
    place = _at(source.labels, crop)
    drawn = folder / DRAWN / f"{item.name}{ending}"
    kept = [drawn]
    for path in (drawn, folder / LABELS / drawn.name):
        write_labels(path, replace(place, voxels=labels))
    if source.image is not None:
        kept.append(folder / IMAGES / f"{item.name}_0000{ending}")
        write_volume(kept[-1], replace(place, voxels=np.asarray(source.image.voxels[crop])))
    if (reference := source.reference(crop)) is not None:
        kept.append(folder / WITHIN / drawn.name)
        write_labels(kept[-1], replace(place, voxels=reference.astype(np.uint8)))
    elsewhere = item.elsewhere
    if item.kind == "box":
        seen = set(starts_in(labels, within(item, source.labels.shape)))
        elsewhere = tuple(sorted(seen - set(item.elsewhere)))
    files = {path.relative_to(folder).as_posix(): fingerprint(path) for path in kept}
    return replace(item, elsewhere=elsewhere, files=files)


def _at(volume: Volume, crop: tuple[slice, ...]) -> Volume:
    """Return a volume with the geometry of ``crop`` in ``volume``, still without voxels."""
    steps = np.array([part.start * spacing for part, spacing in zip(crop, volume.spacing)])
    z, y, x = (np.array(volume.origin) + np.asarray(volume.direction) @ steps).tolist()
    return replace(volume, origin=(z, y, x))


def write_answers(folder: Path, items: list[Item], variables: list[str]) -> None:
    """Write the table to be filled in."""
    with atomic_path(folder / ANSWERS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*FIXED, *variables))
        for item in items:
            what = f"{item.kind}: {ASKED[item.kind]}{f', {item.label}' if item.label else ''}"
            inside = [[a - low, b - low] for (a, b), (low, _) in zip(item.place, item.crop)]
            to_fill_in = [""] * (1 + len(variables))
            writer.writerow((item.name, item.case, what, _shown(item.place), _shown(inside), *to_fill_in))


def _shown(place: list[list[int]]) -> str:
    return ", ".join(str(a) if b == a + 1 else f"{a} to {b - 1}" for a, b in place)


@dataclass(frozen=True)
class Answer:
    """The answer for an item: the true number by variable, empty if it was skipped. ``by``: labels or CSV."""

    item: Item
    values: dict[str, float] = field(default_factory=dict)
    by: str = "skipped"
    notes: tuple[str, ...] = ()

    @property
    def skipped(self) -> bool:
        return not self.values


def read_items(
    plan: Plan, folder: Path, answers: Path, advance: Callable[[int, str], None]
) -> tuple[list[Answer], list[Problem]]:
    """Read the answers for all items; an item with an unusable answer is a problem, and counts as skipped.

    Raises PlanewiseError if ``answers`` cannot be used, or an item as it was drawn no longer exists.
    """
    rows = _read_answers(answers, plan)
    answers_read, problems = [], []
    for item in plan.items:
        case = plan.case(item.case)
        changed = [name for name, before in item.files.items() if fingerprint(folder / name) != before]
        if changed:
            raise PlanewiseError(
                f"{folder / changed[0]}: is not what was drawn for item {item.name}; an audit is valid only for what "
                f"was drawn: put the file back (corrections belong in {LABELS})"
            )
        try:
            answers_read.append(_answer(item, case, plan, folder, rows.get(item.name, {})))
        except PlanewiseError as error:
            problems.append(Problem(f"item {item.name}", f"{error}; it counts as skipped"))
            answers_read.append(Answer(item))
        advance(1, item.name)
    return answers_read, problems


def _answer(item: Item, case: CaseRecord, plan: Plan, folder: Path, row: dict[str, str]) -> Answer:
    numbers = {variable: _number(row, variable, item) for variable in item.masks if row.get(variable, "").strip()}
    done = row.get("done", "").strip().lower()
    if done not in ("", "no", *YES):
        raise PlanewiseError(f"{ANSWERS}: done is {done!r}; it must be yes, or empty")
    path = folder / LABELS / f"{item.name}{case.ending}"
    measured: Values = {}
    notes: tuple[str, ...] = ()
    if done == "no":
        if numbers:
            raise PlanewiseError(f"{ANSWERS}: done is no, and there are numbers; keep one of the two")
        return Answer(item)
    if path.exists():
        drawn = _read(folder / DRAWN / path.name)
        labels = _read(path)
        if labels.shape != drawn.shape:
            raise PlanewiseError(f"{path}: has shape {labels.shape}; it was written with {drawn.shape}: keep that")
        if done in YES or not np.array_equal(labels, drawn):
            measured, notes = _measure(item, case, plan.classes, labels, drawn, folder / WITHIN / path.name)
    elif done and not numbers:
        raise PlanewiseError(f"{path}: no such file, but {ANSWERS} says that it is done")
    for variable in numbers.keys() & measured.keys():
        if not done and numbers[variable] != measured[variable]:
            raise PlanewiseError(
                f"{ANSWERS} says {numbers[variable]:g} {variable}, but the corrected labels {measured[variable]:g}; "
                "to use the numbers, set done to yes; to use the labels, leave the numbers empty"
            )
    by = " and ".join(name for name, values in (("labels", measured), ("CSV", numbers)) if values)
    return Answer(item, measured | numbers, by or "skipped", notes)


def _read(path: Path) -> np.ndarray:
    """Return the labels of an item in the written orientation, even if another program saved them in a different
    one."""
    return np.asarray(to_canonical(read_labels(path), labels=True).voxels)


def _measure(
    item: Item,
    case: CaseRecord,
    classes: dict[str, list[int] | None],
    labels: np.ndarray,
    drawn: np.ndarray,
    path: Path,
) -> tuple[Values, tuple[str, ...]]:
    crop = within(item, case.shape)
    if item.kind == "slice":
        reference = _read(path)[crop.place] > 0 if path.exists() else None
        wanted: Classes = {name: None if values is None else tuple(values) for name, values in classes.items()}
        return {n: float(count) for n, count in class_voxels(labels[crop.place], reference, wanted).items()}, ()
    if item.kind == "object":
        measured = measure_object(labels, drawn, item.label)
        cut = reaches_out(labels, crop, np.unique(labels[drawn == item.label]).tolist())
    elif item.kind == "missed":
        measured = measure_missed(labels, drawn, crop)
        cut = reaches_out(labels, crop, [i for i in starts_in(labels, crop) if not drawn[labels == i].any()])
    else:
        measured = measure_box(labels, crop, list(item.elsewhere))
        cut = reaches_out(labels, crop, [i for i in starts_in(labels, crop) if i not in item.elsewhere])
    cut = [label for label in cut if label]
    note = f"objects {', '.join(map(str, cut))} reach the edge of the context, and are counted as shown"
    return measured, (note,) if cut else ()


def _number(row: dict[str, str], variable: str, item: Item) -> float:
    try:
        number = float(row[variable])
    except ValueError:
        number = math.nan
    if not 0 <= number <= item.most[variable]:
        raise PlanewiseError(
            f"{ANSWERS}: {variable} is {row[variable]!r}; it must be a number from 0 to {item.most[variable]:g}"
        )
    if number % 1:
        raise PlanewiseError(
            f"{ANSWERS}: {variable} is {row[variable]!r}, and must be a whole number: write it without separators "
            "between its digits"
        )
    return number


def _read_answers(path: Path, plan: Plan) -> dict[str, dict[str, str]]:
    if not path.exists():
        raise PlanewiseError(f"{path}: no such file; it is the table that planewise audit plan wrote")
    try:
        text = path.read_text("utf-8-sig")
        reader = csv.DictReader(text.splitlines(), delimiter=separator_of(text))
        rows = [{str(key): value or "" for key, value in row.items()} for row in reader]
        columns = reader.fieldnames or ()
    except (OSError, ValueError, csv.Error) as error:
        raise PlanewiseError(f"{path}: is not a CSV ({error})") from error
    if "item" not in columns:
        raise PlanewiseError(f"{path}: its first line is {','.join(columns) or 'empty'}; it needs the column item")
    names = [row["item"].strip() for row in rows]
    known = {item.name for item in plan.items}
    wrong = [name for name in names if _padded(name) not in known]
    twice = [name for name in set(names) if names.count(name) > 1]
    if wrong or twice:
        what = f"item {wrong[0]!r} is not in the plan" if wrong else f"item {twice[0]!r} has several rows"
        raise PlanewiseError(f"{path}: {what}; it must have a row for each item that was drawn, and no other")
    return {_padded(name): row for name, row in zip(names, rows)}


def mark_done(folder: Path, plan: Plan, done: dict[str, str]) -> None:
    """Write into the table of answers which items are ``done`` ("yes", "no" or ""); all other cells stay."""
    path = folder / ANSWERS
    rows = _read_answers(path, plan)
    marked = {name: row | ({"done": done[name]} if name in done else {}) for name, row in rows.items()}
    if marked == rows:
        return
    columns = list(dict.fromkeys(c for row in marked.values() for c in row))
    separator = separator_of(path.read_text("utf-8-sig"))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter=separator)
        writer.writeheader()
        writer.writerows(marked.values())


def _padded(name: str) -> str:
    """Return an item's name with the leading zeros that a spreadsheet removes."""
    return name.zfill(3) if name.isdecimal() else name


def variables_of(items: Iterable[Item]) -> list[str]:
    """Return the variables of all items, in the order of first appearance."""
    return list(dict.fromkeys(variable for item in items for variable in item.masks))


def read_picture(folder: Path, item: Item, ending: str) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return the middle slice of an item's image (None if there is none), of its labels as drawn, and as they are."""
    image = folder / IMAGES / f"{item.name}_0000{ending}"
    drawn = _read(folder / DRAWN / f"{item.name}{ending}")
    path = folder / LABELS / f"{item.name}{ending}"
    labels = _read(path) if path.exists() else drawn
    labels = labels if labels.shape == drawn.shape else drawn
    z = shown_slice(item, labels, drawn)
    return (np.asarray(open_volume(image).voxels[z]) if image.exists() else None), drawn[z], labels[z]


def shown_slice(item: Item, labels: np.ndarray, drawn: np.ndarray) -> int:
    """Return the most informative slice of an item's crop: the one with most changes, else with most labels."""
    (start, stop), low = item.place[0], item.crop[0][0]
    inside = slice(start - low, stop - low)
    changed = (labels != drawn)[inside].sum(axis=(1, 2))
    counted = changed if changed.any() else (drawn > 0)[inside].sum(axis=(1, 2))
    return start - low + (int(counted.argmax()) if counted.any() else len(counted) // 2)
