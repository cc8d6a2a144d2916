"""The inputs of ``planewise correct``: label volumes, their images, and the items to go through."""

from pathlib import Path

import numpy as np

from planewise.apps.correct_options import Correct
from planewise.audit.items import ASKED, LABELS
from planewise.audit.items import IMAGES as ITEM_IMAGES
from planewise.audit.plan import PLAN, Plan, read_plan
from planewise.correction.doubts import doubtful_items, doubts, planes_of
from planewise.correction.objects import find_objects
from planewise.correction.worklist import Item, read_worklist
from planewise.data.case import case_name, group_by_case, is_volume, label_volumes_at, plane_of
from planewise.data.input_images import cases_in
from planewise.data.object_tables import read_confidences, table_of_objects
from planewise.data.source_image import source_image
from planewise.errors import PlanewiseError
from planewise.evaluation.mistakes import Mistake
from planewise.progress import counted, progress, say
from planewise.report.comparison_files import JSON as MISTAKES
from planewise.report.listed_mistakes import of_dataset, read_mistakes
from planewise.volumes.channel_numbers import PREDICTED
from planewise.volumes.formats import ending_of
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import place_from_canonical
from planewise.volumes.labels import open_labels, read_labels
from planewise.volumes.volume import Volume

CONFIDENCE, AGREEMENT = "confidence", "agreement"


def audit_plan_in(folder: Path) -> Plan | None:
    """Return the audit plan in a folder; None if the folder has none."""
    return read_plan(folder) if (folder / PLAN).is_file() else None


def audit_of(result: Path) -> Path | None:
    """Return the audit folder that ``result`` is, or whose labels it lies in; None if there is none."""
    place = result.resolve()
    folders = [place, *(folder.parent for folder in (place, place.parent) if folder.name == LABELS)]
    return next((folder for folder in folders if (folder / PLAN).is_file()), None)


def volumes_of(result: Path, plan: Plan | None) -> dict[str, Path]:
    """Return the label volumes by case; for an audit plan, the items' label volumes by item name."""
    if plan is not None:
        return {item.name: result / LABELS / f"{item.name}{plan.case(item.case).ending}" for item in plan.items}
    groups = group_by_case(label_volumes_at(result), labels=True)
    groups = {name: files for name, files in groups.items() if plane_of(name) not in groups}
    if several := [name for name, files in groups.items() if len(files) > 1]:
        listed = ", ".join(file.name for file in groups[several[0]])
        raise PlanewiseError(f"{result}: has several files for case {several[0]}: {listed}; name one of them")
    if not groups:
        raise PlanewiseError(f"{result}: holds no label volumes")
    return {name: files[0] for name, files in sorted(groups.items())}


def images_of(options: Correct, volumes: dict[str, Path], plan: Plan | None) -> dict[str, Path | Series]:
    """Return the image of each case that has one: the given one, or the one in the manifest beside the results."""
    if options.image is not None:
        if is_volume(options.image, "--image"):
            given = {case_name(options.image): options.image}
        else:
            given, _ = cases_in(options.image, options.channel or 0, "auto")
        if len(volumes) == 1 and len(given) < 2:  # whatever its name; a folder may be one DICOM series
            return {name: next(iter(given.values()), options.image) for name in volumes}
        chosen = {name: given[name] for name in volumes if name in given}
        if not chosen:
            there = ", ".join(sorted(given)[:6]) or "no volumes"
            raise PlanewiseError(f"--image {options.image}: holds {there}, and no image of {', '.join(volumes)}")
        return {**chosen}
    if plan is not None:
        images = {
            name: options.result / ITEM_IMAGES / f"{name}_0000{ending_of(path)}" for name, path in volumes.items()
        }
        return {name: path for name, path in images.items() if path.exists()}
    opened: dict[str, Path | Series] = {}
    for name, path in volumes.items():
        try:
            image = source_image(path)
        except PlanewiseError as error:  # matters only if the image is shown or segmented
            say(str(error))
            continue
        if image is not None:
            opened[name] = image
    return opened


def items_of(options: Correct, volumes: dict[str, Path], plan: Plan | None) -> list[Item]:
    """Return the items to go through, in order. Raises PlanewiseError if they belong to other cases."""
    if plan is not None and options.worklist is None:
        return items_of_plan(plan)
    if options.worklist is None:
        return []
    source = options.worklist
    if source == Path(CONFIDENCE) and not source.exists():
        items = _least_confident(volumes)
    elif source == Path(AGREEMENT) and not source.exists():
        items = _least_agreed(volumes)
    elif source.is_dir() or source.suffix == ".json":
        items = _mistakes(source / MISTAKES if source.is_dir() else source, options, volumes)
    else:
        items = read_worklist(source)
    here = [item for item in items if item.case in volumes]
    if not items:
        raise PlanewiseError(f"--worklist {source}: is empty: there is nothing to go through; leave it out")
    if not here:
        cases = ", ".join(sorted({item.case for item in items})[:6])
        raise PlanewiseError(f"--worklist {source}: is of {cases}, and {options.result} holds {', '.join(volumes)}")
    for item in here:
        shape = open_labels(volumes[item.case]).shape
        if not all(0 <= at < side for at, side in zip(item.place, shape)):
            place = " ".join(map(str, item.place))
            raise PlanewiseError(
                f"--worklist {source}: item {item.name!r} lies at z, y, x {place}, beyond case {item.case}, whose "
                f"shape (z, y, x) is {' x '.join(map(str, shape))}; are the axes in another order?"
            )
    return here


def items_of_plan(plan: Plan) -> list[Item]:
    """Return the items of an audit; each is a separate case."""
    items = []
    for item in plan.items:
        z, y, x = ((a + b) // 2 - low for (a, b), (low, _) in zip(item.place, item.crop))
        inside = ", ".join(f"{a - low} to {b - 1 - low}" for (a, b), (low, _) in zip(item.place, item.crop))
        what = f"{item.kind} of {item.case}: {ASKED[item.kind]} (z, y, x {inside})"
        items.append(Item(item.name, item.name, what, (item.label,) if item.label else (), (z, y, x)))
    return items


def _least_confident(volumes: dict[str, Path]) -> list[Item]:
    """Return the objects in the tables beside the volumes, of all cases, least confident first."""
    scored: list[tuple[float, Item]] = []
    for case, path in volumes.items():
        table = table_of_objects(path)
        if not table.is_file():
            continue
        known = read_confidences(table) or {}
        objects = find_objects(open_labels(path).voxels)
        for label, confidence in known.items():
            if label in objects:
                z, y, x = ((a + b) // 2 for a, b in objects[label].box)
                what = f"object {label}, confidence {confidence:g}, {objects[label].voxels} voxels"
                scored.append((confidence, Item(f"{case}: object {label}", case, what, (label,), (z, y, x))))
    if not scored:
        first = next(iter(volumes.values()))
        raise PlanewiseError(
            f"--worklist {CONFIDENCE}: no {{case}}_objects.csv beside {first} has confidences, as when the model "
            f"was not calibrated; give --worklist {AGREEMENT}, or a list"
        )
    return [item for _, item in sorted(scored, key=lambda pair: pair[0])]


def _least_agreed(volumes: dict[str, Path]) -> list[Item]:
    """Return the objects that the planes disagree on, and those that one plane alone has, most doubtful first."""
    doubtful: list[tuple[float, Item]] = []
    for case, path in volumes.items():
        with progress(f"{case}: comparing planes", 1, unit="cases") as advance:
            planes = planes_of(case, path)
            if len(planes) > 1:
                doubtful += doubtful_items(case, doubts(np.asarray(read_labels(path).voxels), planes))
            else:
                there = f"{', '.join(planes)} alone lies" if planes else "no result of a plane lies"
                say(f"{case}: {there} beside {path}, and two planes are needed: it is left out")
            advance(1)
    if not doubtful:
        first = next(iter(volumes.values()))
        raise PlanewiseError(
            f"--worklist {AGREEMENT}: there are no {{case}}_xy, _xz, _yz beside {first}, as mito predict leaves them"
        )
    return [item for _, item in sorted(doubtful, key=lambda pair: -pair[0])]


def _mistakes(path: Path, options: Correct, volumes: dict[str, Path]) -> list[Item]:
    """Return the mistakes that a comparison lists for the result, largest first."""
    folder = next(iter(volumes.values())).resolve().parent
    listed = of_dataset([entry for entry in read_mistakes(path) if entry.case in volumes], folder.parent.name)
    methods = sorted({entry.method for entry in listed})
    method = (options.method or (methods[0] if len(methods) == 1 else folder.name)).removeprefix(PREDICTED)
    if methods and method not in methods:
        raise PlanewiseError(
            f"--worklist {path}: has the methods {', '.join(methods)}; say with --method which one {options.result} is"
        )
    items: list[tuple[int, Item]] = []
    for entry in listed:
        if entry.method == method:
            volume = open_labels(volumes[entry.case])
            items += [(mistake.voxels, _item_of(entry.case, mistake, volume)) for mistake in entry.mistakes]
    items.sort(key=lambda pair: -pair[0])
    if items:
        say(f"{path}: {counted(len(items), 'mistake')} of {method}, the largest first")
    return [item for _, item in items]


def _item_of(case: str, mistake: Mistake, volume: Volume) -> Item:
    predicted, truth = (" ".join(map(str, labels)) for labels in (mistake.predicted, mistake.truth))
    about = predicted or f"truth {truth}"
    what = f"{mistake.kind} of {about}, {mistake.voxels} voxels wrong"
    place = place_from_canonical(mistake.centre, volume)
    return Item(f"{case}: {mistake.kind} {about}", case, what, mistake.predicted, place)
