"""nnU-Net raw datasets: cases paired by name, every problem listed at once."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planewise.errors import DatasetError, PlanewiseError
from planewise.volume import ENDINGS, ITK_ENDINGS, Volume, ending_of, open_volume, stem_of

DICOM = ".dcm"  # as file_ending: every image is a folder with one series, {case}_0000 or {case}
CHANNEL = re.compile(r"_(\d{4})$")  # of nnU-Net's image names: {case}_0000


@dataclass(frozen=True)
class Case:
    """One image with its truth, which a test case may lack. ``instances``: whether the truth holds instance ids."""

    name: str
    image: Path
    truth: Path | None
    instances: bool


@dataclass(frozen=True)
class Problem:
    """One row of the table of what is wrong: the file or folder, and what was found there."""

    where: str
    what: str

    @classmethod
    def of(cls, path: Path, error: Exception) -> "Problem":
        """Return what an error says of a file; of one that is not ours, its kind and its first line."""
        text = str(error).strip()
        if isinstance(error, PlanewiseError):
            return cls(str(path), text.removeprefix(f"{path}: "))
        return cls(str(path), f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}")


@dataclass(frozen=True)
class Dataset:
    """A dataset that was read: ``train`` and ``test`` hold only cases that can be used."""

    folder: Path
    labels: dict[str, int]
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
    return Dataset(folder, read_label_names(folder / "dataset.json"), train, test, problems)


def read_label_names(path: Path) -> dict[str, int]:
    """Return the values of the labels in a dataset.json, by name. Raises DatasetError if it is no JSON object."""
    try:
        labels = json.loads(path.read_text("utf-8")).get("labels", {})
        return {str(name): value for name, value in labels.items() if isinstance(value, int)}
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError(f"{path}: is not a dataset.json ({error})") from error


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


def images_beside(truth: Path) -> dict[str, Path]:
    """Return the test images beside the folder of their truth (``instancesTs``, ``labelsTs``), by case; maybe none."""
    folder = truth.absolute().parent / "imagesTs"
    if not folder.is_dir():
        return {}
    series = {case_name(path): path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    return series | {case_name(path): path for path in volumes_in(folder)}


def volumes_in(folder: Path) -> list[Path]:
    """Return the files of ``folder`` with a volume's ending, by name; hidden ones are passed over.

    Raises PlanewiseError if it is no folder.
    """
    if not folder.is_dir():
        raise PlanewiseError(f"{folder}: is neither a folder nor a volume; volumes end in {', '.join(ENDINGS)}")
    return sorted(path for path in folder.iterdir() if ending_of(path) and not path.name.startswith("."))


def file_of_case(case: str, folder: Path, what: str) -> Path:
    """Return the file of ``case`` in ``folder``; ``what`` it is, for the error if there is not exactly one."""
    found = [file for file in volumes_in(folder) if case_name(file) == case]
    if len(found) != 1:
        raise PlanewiseError(f"{folder}: holds {len(found)} files of case {case}; one {what} is needed")
    return found[0]


def case_name(path: Path) -> str:
    """Return the case of an image: its name without ending and without nnU-Net's ``_0000``."""
    return CHANNEL.sub("", stem_of(path))


def _same_family(declared: str, found: str) -> bool:
    tiffs = (".tif", ".tiff", ".ome.tif", ".ome.tiff")
    if declared == DICOM:  # whose truth is in files of another format
        return found in ITK_ENDINGS
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
