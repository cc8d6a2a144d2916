"""nnU-Net raw datasets: cases paired by name, every problem listed at once."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planewise.data.case import Case, case_name, volumes_in
from planewise.data.classes import LabelDefinition, read_labels_of
from planewise.errors import DatasetError, PlanewiseError, Problem
from planewise.volumes.files import open_volume
from planewise.volumes.formats import ending_of, itk, stem_of
from planewise.volumes.volume import Volume

DICOM = ".dcm"  # as file_ending: every image is a folder with one series, {case}_0000 or {case}


@dataclass(frozen=True)
class Dataset:
    """A dataset that was read: ``train`` and ``test`` hold only cases that can be used."""

    folder: Path
    labels: LabelDefinition
    train: list[Case]
    test: list[Case]
    problems: list[Problem] = field(default_factory=list)


def open_dataset(folder: Path, need_train: bool = True, need_test: bool = False) -> Dataset:
    """Read the nnU-Net raw dataset at ``folder``: dataset.json, then headers of all volumes, no voxels.

    Truth is taken from ``instancesTr`` / ``instancesTs``, else from ``labelsTr`` / ``labelsTs``, which then is
    semantic. Cases that cannot be used are left out and listed in ``problems``. Raises DatasetError, with all problems,
    if no training case (``need_train``) or no test image (``need_test``) is usable.
    """
    meta = _read_meta(folder)
    problems: list[Problem] = []
    train = _cases(folder, "Tr", meta["file_ending"], problems, truth_needed=True) if need_train else []
    test = _cases(folder, "Ts", meta["file_ending"], problems, truth_needed=False) if need_test else []
    for needed, cases, name in ((need_train, train, "imagesTr"), (need_test, test, "imagesTs")):
        if needed and not cases:
            listed = "".join(f"\n  {problem.where}: {problem.what}" for problem in problems)
            raise DatasetError(f"{folder}: has no usable case in {name}{listed}")
    return Dataset(folder, read_labels_of(folder / "dataset.json"), train, test, problems)


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder; a nnU-Net raw dataset was expected (dataset.json, imagesTr, ...)"
        )
    try:
        meta = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        found = ", ".join(sorted(item.name for item in folder.iterdir())[:12]) or "nothing"
        raise DatasetError(
            f"{path}: is missing; a nnU-Net raw dataset has one (found in the folder: {found})"
        ) from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: is not a JSON file ({error})") from error
    if not isinstance(meta, dict):
        raise DatasetError(f"{path}: must hold a JSON object")
    if "channel_names" not in meta and ("modality" in meta or "training" in meta):
        raise DatasetError(
            f"{path}: is in nnU-Net's version 1 format (modality, training); version 2 is read. Convert it with "
            "nnUNetv2_convert_old_nnUNet_dataset, or write channel_names, labels {name: value} and file_ending"
        )
    ending = meta.get("file_ending")
    if ending != DICOM and (not isinstance(ending, str) or not ending_of(Path("case" + ending))):
        raise DatasetError(f"{path}: file_ending is {ending!r}; it must be an ending such as .tiff or .nii.gz")
    if isinstance(meta.get("channel_names"), dict) and len(meta["channel_names"]) > 1:
        raise DatasetError(f"{path}: has {len(meta['channel_names'])} channels; images of one channel are read")
    return meta


def _cases(folder: Path, split: str, ending: str, problems: list[Problem], truth_needed: bool) -> list[Case]:
    images = _by_case(folder / f"images{split}", ending, problems, channels=True)
    instances = (folder / f"instances{split}").is_dir()
    truth_folder = folder / (f"instances{split}" if instances else f"labels{split}")
    truths: dict[str, Path] = {}
    if truth_folder.is_dir() or truth_needed:
        truths = _by_case(truth_folder, ending, problems, channels=False)
    cases = []
    for name in sorted(images.keys() | truths.keys()):
        image, truth = images.get(name), truths.get(name)
        if image is None:
            problems.append(Problem(str(truth), f"has no image images{split}/{name}_0000{ending}"))
        elif truth is None and (truth_needed or truths):
            problems.append(Problem(str(image), f"has no {truth_folder.name}/{name}{ending}"))
            if not truth_needed:
                cases.append(Case(name, image, None, instances))
        elif _fits(image, truth, problems):
            cases.append(Case(name, image, truth, instances))
    return cases


def _by_case(folder: Path, ending: str, problems: list[Problem], channels: bool) -> dict[str, Path]:
    """Return the volumes of ``folder`` by case name."""
    if not folder.is_dir():
        problems.append(Problem(str(folder), "no such folder"))
        return {}
    found: dict[str, Path] = {}
    series = ending == DICOM and channels
    for path in sorted(item for item in folder.iterdir() if item.is_dir()) if series else volumes_in(folder):
        if not series and not _same_family(ending, ending_of(path)):
            problems.append(Problem(str(path), f"is not a {ending} file, which dataset.json says the volumes are"))
            continue
        name = case_name(path) if channels else stem_of(path)
        if channels and stem_of(path) not in (name, f"{name}_0000"):
            problems.append(Problem(str(path), "is not the first channel; images of one channel are read"))
        elif name in found:
            problems.append(Problem(str(path), f"is a second file for case {name}, beside {found[name].name}"))
        else:
            found[name] = path
    return found


def _same_family(declared: str, found: str) -> bool:
    tiffs = (".tif", ".tiff", ".ome.tif", ".ome.tiff")
    if declared == DICOM:  # whose truth is in files of another format
        return found in itk.FORMAT.endings
    return declared == found or (declared in tiffs and found in tiffs)


def _fits(image: Path, truth: Path | None, problems: list[Problem]) -> bool:
    """Whether both volumes open and have one shape; if not, say so."""
    opened: list[Volume] = []
    for path in (image, truth):
        if path is None:
            continue
        try:
            opened.append(open_volume(path))
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
            return False
    if len({volume.shape for volume in opened}) > 1:
        problems.append(Problem(str(truth), f"has shape {opened[1].shape}, its image {opened[0].shape}"))
        return False
    return True
