"""Reads nnU-Net raw datasets: cases are paired by name, and all problems are listed at once."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planewise.data.case import Case, case_name, channel_number, channel_within, one_file_each
from planewise.data.classes import LabelDefinition, read_labels_of
from planewise.data.input_images import say_passed_over
from planewise.data.own_results import is_of_another_case, without_results
from planewise.data.painted_slices import PAINTED, is_painted, painted_slices
from planewise.data.space import laid_on
from planewise.errors import DatasetError, PlanewiseError, Problem
from planewise.progress import first_few, say_once
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.formats import ending_of, itk
from planewise.volumes.formats.image_sequence import SLICES, images_in
from planewise.volumes.json_files import read_json

DICOM = ".dcm"  # as file_ending: each image is a folder with one series, {case}_0000 or {case}


@dataclass(frozen=True)
class Dataset:
    """A dataset; ``train`` and ``test`` hold only usable cases."""

    folder: Path
    labels: LabelDefinition
    train: list[Case]
    test: list[Case]
    problems: list[Problem] = field(default_factory=list)


def open_dataset(
    folder: Path,
    need_train: bool = True,
    need_test: bool = False,
    channel: int | None = None,
    ignore_geometry: bool = False,
) -> Dataset:
    """Read the nnU-Net raw dataset at ``folder``: dataset.json, then headers of all volumes, no voxels.

    Truth is taken from ``instancesTr`` / ``instancesTs``; else from ``labelsTr`` / ``labelsTs``, and is then semantic;
    else from ``paintedTr`` (see ``data.painted_slices``). Training cases are those listed under ``dataset`` in
    dataset.json, else the files of ``imagesTr``. ``channel``: the channel to read from images with several. Image and
    truth must lie in one space, unless ``ignore_geometry`` matches them voxel by voxel. Unusable cases are left out and
    listed in ``problems``. Raises DatasetError, with all problems, if no training case
    (``need_train``) or no test image (``need_test``) is usable.
    """
    reading = _Reading(folder, read_meta(folder), channel, ignore_geometry)
    problems = reading.problems
    train = reading.cases("Tr", truth_needed=True) if need_train else []
    test = reading.cases("Ts", truth_needed=False) if need_test else []
    for needed, cases, name in ((need_train, train, "imagesTr"), (need_test, test, "imagesTs")):
        if needed and not cases:
            listed = "".join(f"\n  {problem.where}: {problem.what}" for problem in problems)
            raise DatasetError(f"{folder}: has no usable case in {name}{listed}")
    return Dataset(folder, read_labels_of(folder / "dataset.json"), train, test, problems)


def holds_anything(folder: Path) -> bool:
    """Whether ``folder`` exists and is not empty."""
    return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())


def refuse_no_folder(folder: Path) -> None:
    """Raise DatasetError if the dataset's folder does not exist."""
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder; a nnU-Net raw dataset was expected (dataset.json, imagesTr, ...)"
        )


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the dataset.json of the nnU-Net raw dataset at ``folder``.

    Raises DatasetError, with a template to fill in, if it is missing, or if it is invalid; labels are not checked.
    """
    refuse_no_folder(folder)
    path = folder / "dataset.json"
    if not path.exists():
        raise DatasetError(_missing_meta(path))
    try:
        meta = read_json(path)
    except PlanewiseError as error:
        raise DatasetError(str(error)) from error
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
    if not isinstance(meta.get("channel_names", {}), dict):
        raise DatasetError(f'{path}: channel_names is {meta["channel_names"]!r}; it must be an object, {{"0": "CT"}}')
    return meta


def _missing_meta(path: Path) -> str:
    """Return the message for a dataset without dataset.json: what the folder holds, and a template to paste."""
    there = ", ".join(sorted(item.name for item in path.parent.iterdir())[:12]) or "nothing"
    message = f"{path}: is missing; a nnU-Net raw dataset has one (found in the folder: {there})"
    images = path.parent / "imagesTr"
    if not images.is_dir():
        return (
            f"{message}; and it has images in imagesTr, {{case}}_0000.tiff ..., "
            "and their truth in labelsTr, {case}.tiff"
        )
    volumes = volumes_in(images)
    endings = Counter(map(ending_of, volumes)).most_common(1)
    numbers = {channel_number(file) or 0 for file in volumes}
    template = {
        "channel_names": {str(number): "EM or CT" for number in sorted(numbers or {0})},
        "labels": {"background": 0, "NAME OF THE CLASS OF VALUE 1": 1},
        "numTraining": len({case_name(file) for file in volumes}),
        "file_ending": endings[0][0] if endings else ".tiff or .nii.gz",
    }
    return (
        f"{message}.\nWrite this into it, with the names of your channels and classes:\n"
        f"{json.dumps(template, indent=2)}"
    )


@dataclass(frozen=True)
class _Reading:
    """A dataset being read, and its problems."""

    folder: Path
    meta: dict[str, Any]
    channel: int | None
    ignore_geometry: bool
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = self.meta.get("channel_names", {})
        if len(names) > 1 and self.channel is None:
            listed = ", ".join(f"{number} {name}" for number, name in names.items())
            raise DatasetError(
                f"{self.folder / 'dataset.json'}: has {len(names)} channels ({listed}); one is read: choose with "
                "--channel N"
            )

    @property
    def ending(self) -> str:
        return str(self.meta["file_ending"])

    def cases(self, split: str, truth_needed: bool) -> list[Case]:
        """Return the cases of ``split``, Tr or Ts, that can be used."""
        instances = (self.folder / f"instances{split}").is_dir()
        truth_folder = self.folder / (f"instances{split}" if instances else f"labels{split}")
        listed = self.meta.get("dataset") if split == "Tr" else None
        painted = split == "Tr" and (self.folder / PAINTED).is_dir()
        if painted:
            self._refuse_another_truth(listed)
            truth_folder, instances = self.folder / PAINTED, True
        truths: dict[str, Path] = {}
        refused: dict[str, Problem] = {}
        if listed is None:
            images, refused = self._files(self.folder / f"images{split}")
        else:
            images, truths = self._listed(listed)
        if painted:
            truths = {path.name: path for path in sorted(truth_folder.iterdir()) if path.is_dir()}
        elif instances or (listed is None and (truth_needed or truth_folder.is_dir())):
            truths, several = self._files(truth_folder, images.keys() | refused.keys())
            refused = several | refused
        self.problems.extend(refused.values())
        cases = []
        for name in sorted((images.keys() | truths.keys()) - refused.keys()):
            image, truth = images.get(name), truths.get(name)
            if image is None:
                if listed is None:
                    what = f"has no image images{split}/{name}_0000{self.ending}"
                    self.problems.append(Problem(str(truth), what))
                continue
            chosen = listed is not None and len(listed[name]["images"]) > 1  # by its position in the list
            within = None if chosen else channel_within(image, self.channel)
            case = Case(name, image, truth, instances, within, self.ignore_geometry)
            if truth is None and (truth_needed or truths):
                wanted = name if painted else f"{name}{self.ending}"
                self.problems.append(Problem(str(image), f"has no {truth_folder.name}/{wanted}"))
                if not truth_needed:
                    cases.append(case)
            elif self._fits(case):
                cases.append(case)
        return cases

    def _refuse_another_truth(self, listed: Any) -> None:
        others = [name for name in ("instancesTr", "labelsTr") if (self.folder / name).is_dir()]
        others += [] if listed is None else ["the cases that dataset.json lists"]
        if others:
            raise DatasetError(
                f"{self.folder / PAINTED}: painted slices are one truth, and {' and '.join(others)} another: move away "
                "the one not to train on"
            )

    def _files(self, folder: Path, known: Collection[str] | None = None) -> tuple[dict[str, Path], dict[str, Problem]]:
        """Return the volumes of ``folder`` by case, and a problem for each case with several.

        They are files with the dataset's ending, or folders. ``known``: the cases, if the volumes are their truths;
        None if they are images, from which a channel is chosen. Results of planewise's that lie in the way are left
        out, which is printed: folders that hold nothing else, and those of single planes beside a corrected result.
        """
        if not folder.is_dir():
            self.problems.append(Problem(str(folder), "no such folder"))
            return {}, {}
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        folders = without_results(folders)
        paths = []
        if self.ending == DICOM and known is None:
            paths = folders
        else:
            for path in volumes_in(folder):
                if _same_family(self.ending, ending_of(path)):
                    paths.append(path)
                else:
                    what = f"is not a {self.ending} file, which dataset.json says the volumes are"
                    self.problems.append(Problem(str(path), what))
        if self.ending in SLICES:
            paths += [path for path in folders if not ending_of(path) and images_in(path)]
        if known is None:
            say_passed_over(folder)
            return one_file_each(paths, channel=self.channel)
        of_planes = [path for path in paths if is_of_another_case(path, case_name(path, known, labels=True))]
        if of_planes:
            names = first_few([path.name for path in of_planes])
            say_once(f"{folder}: left out results of single planes, by their manifest: {names}")
        return one_file_each([path for path in paths if path not in of_planes], known, labels=True)

    def _listed(self, listed: Any) -> tuple[dict[str, Path], dict[str, Path]]:
        """Return the images and truths listed in dataset.json under ``dataset``; paths are relative to its folder."""
        where = self.folder / "dataset.json"
        if not isinstance(listed, dict):
            raise DatasetError(f"{where}: dataset must be an object, {{case: {{images: [path], label: path}}}}")
        images, truths = {}, {}
        for name, entry in listed.items():
            files, label = (entry.get(key) if isinstance(entry, dict) else None for key in ("images", "label"))
            strings = isinstance(files, list) and all(isinstance(file, str) for file in files)
            if not (files and strings and isinstance(label, str)):
                what = f'dataset: {name} must be {{"images": [path, ...], "label": path}}'
                self.problems.append(Problem(str(where), what))
            elif "/" in name or name in ("", ".", ".."):
                self.problems.append(Problem(str(where), f"dataset: {name!r} is no name of a case"))
            elif len(files) > 1 and not 0 <= (self.channel or 0) < len(files):
                what = f"dataset: {name} has {len(files)} images; there is none of --channel {self.channel}"
                self.problems.append(Problem(str(where), what))
            else:
                images[name] = self.folder / files[(self.channel or 0) if len(files) > 1 else 0]
                truths[name] = self.folder / label
        return images, truths

    def _fits(self, case: Case) -> bool:
        """Whether a case's volumes open and lie in one space; if not, a problem is added."""
        path = case.image
        try:
            image = open_volume(path, case.channel)
            if case.truth is not None and is_painted(case.truth):
                painted_slices(case.truth, image.shape)
            elif case.truth is not None:
                path = case.truth
                laid_on(open_volume(path), path, image, case.image, case.ignore_geometry)
        except PlanewiseError as error:
            self.problems.append(Problem.of(path, error))
            return False
        return True


def _same_family(declared: str, actual: str) -> bool:
    tiffs = (".tif", ".tiff", ".ome.tif", ".ome.tiff")
    if declared == DICOM:  # its truth is in files of another format
        return actual in itk.FORMAT.endings
    return declared == actual or (declared in tiffs and actual in tiffs)
