"""Checks a raw dataset as nnU-Net's ``verify_dataset_integrity`` does, without nnU-Net."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planewise.data.case import case_name
from planewise.data.classes import BACKGROUND, IGNORE, LabelDefinition
from planewise.errors import PlanewiseError, Problem
from planewise.progress import counted
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats import tiff
from planewise.volumes.geometry import same_space

REQUIRED = ("channel_names", "labels", "numTraining", "file_ending")


def nnunet_problems(folder: Path, meta: dict[str, Any], labels: LabelDefinition) -> list[Problem]:
    """Return the problems that keep nnU-Net from training on the dataset at ``folder``; ``meta``: its dataset.json.

    Problems that ``check_cases`` reports, NaN and values without a label, are not repeated.
    """
    where = str(folder / "dataset.json")
    problems = [Problem(where, f"has no {key}, which nnU-Net needs") for key in REQUIRED if key not in meta]
    values = sorted({*labels.classes, *(value for region in labels.regions.values() for value in region)})
    shown = ", ".join(map(str, values))
    values += [labels.ignore] if labels.ignore is not None else []
    if values != list(range(1, len(values) + 1)):
        shown += f", and {IGNORE} {labels.ignore}" if labels.ignore is not None else ""
        what = f"labels are {shown}; nnU-Net wants 1, 2, ... without a gap, and {IGNORE} to be the next after them"
        problems.append(Problem(where, f"{what}: renumber them here and in the files"))
    if BACKGROUND not in meta.get("labels", {BACKGROUND}):
        problems.append(Problem(where, f'labels have no "{BACKGROUND}": 0, which nnU-Net needs'))
    if labels.regions and "regions_class_order" not in meta:
        problems.append(Problem(where, "has regions and no regions_class_order, which nnU-Net needs"))
    if "dataset" in meta:
        return problems
    images, truths = folder / "imagesTr", folder / "labelsTr"
    if not truths.is_dir():
        return [*problems, Problem(str(truths), "no such folder; nnU-Net trains on it")]
    if images.is_dir():
        problems += _files(images, truths, meta, where)
    return problems


def _files(images: Path, truths: Path, meta: dict[str, Any], where: str) -> Iterator[Problem]:
    """Yield the problems of a dataset's files: channels, truths, and the space they lie in."""
    channels, ending = max(1, len(meta.get("channel_names", {}))), str(meta.get("file_ending"))
    of_case: dict[str, list[Path]] = {}
    for path in volumes_in(images):
        of_case.setdefault(case_name(path), []).append(path)
    if len(of_case) != meta.get("numTraining", len(of_case)):
        yield Problem(where, f"numTraining is {meta['numTraining']}; imagesTr holds {counted(len(of_case), 'case')}")
    for case, paths in of_case.items():
        wanted = [f"{case}_{number:04d}{ending}" for number in range(channels)]
        there = sorted(path.name for path in paths)
        if there != wanted:
            yield Problem(str(images / there[0]), f"nnU-Net wants {', '.join(wanted)} for case {case}")
        truth = truths / f"{case}{ending}"
        if not truth.exists():
            yield Problem(str(truth), "no such file, which nnU-Net wants as the truth of this case")
            continue
        if not (images.parent / "instancesTr").is_dir():  # else the training truth is compared anyway
            continue
        try:
            difference = same_space(open_volume(truth), open_volume(paths[0], 0 if channels > 1 else None))
        except PlanewiseError:
            continue  # reported for the file itself
        if difference:
            yield Problem(str(truth), f"does not lie in the space of {paths[0].name}: {difference}")


def missing_sidecars(folder: Path, meta: dict[str, Any]) -> list[str]:
    """Return a note if training TIFFs lack sidecars, else an empty list: nnU-Net reads spacing only from sidecars."""
    if meta.get("file_ending") not in tiff.FORMAT.endings or "dataset" in meta:
        return []
    places = [folder / part for part in ("imagesTr", "labelsTr") if (folder / part).is_dir()]
    wanted = dict.fromkeys(place / f"{case_name(path)}.json" for place in places for path in volumes_in(place))
    missing = [path for path in wanted if not path.exists()]
    if not missing:
        return []
    return [
        f"nnU-Net would take a spacing of 1 x 1 x 1 for {len(missing)} of {len(wanted)} TIFFs, since it reads it only "
        f'from a sidecar, {{"spacing": [z, y, x]}}, and there is no {missing[0]}{" ..." * (len(missing) > 1)}'
    ]
