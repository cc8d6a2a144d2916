"""The inputs of ``ild measure``: label volumes, their classes, and the CT, mask and second reader's labels of each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from planewise.apps.ild.cohort import cts_in
from planewise.apps.ild.label_options import IldMeasure
from planewise.apps.ild.lungs import mask_of
from planewise.data.case import case_name, is_volume, label_volumes_at, one_file_each, without_labels
from planewise.data.classes import LabelDefinition, labels_above, labels_beside, read_labels_of, refuse_other_names
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.classes import class_names, without_classes
from planewise.measurement.classes import MeasuredClasses, choose_classes, named_by_options
from planewise.progress import first_few, say
from planewise.volumes.formats import ending_of
from planewise.volumes.formats.dicom import Series

LISTED = 12  # cases in a message


@dataclass(frozen=True)
class Sources:
    """The files of a case: its CT, its labels and, if given, a second reader's labels and a mask."""

    image: Path | Series
    labels: Path
    against: Path | None
    lungs: Path | None

    def files(self) -> list[Path]:
        """Return all of them."""
        images = [self.image] if isinstance(self.image, Path) else list(self.image.files)
        return [*images, *(path for path in (self.labels, self.against, self.lungs) if path is not None)]


def label_files(given: Iterable[Path]) -> list[Path]:
    """Return the given label volumes: files, or all in folders. Raises PlanewiseError if a folder has none."""
    return [path for item in given for path in _volumes(item)]


def _volumes(path: Path) -> list[Path]:
    """Return the label volumes of a given path: itself, or those in the folder."""
    files = label_volumes_at(path)
    if not files:
        raise PlanewiseError(without_labels(path, "labels are {case}.nii.gz, ..."))
    return files


def _are_pairs(texts: tuple[str, ...]) -> bool:
    return any("=" in text for text in texts)


def labels_meant(
    given: tuple[Path, ...], files: list[Path], classes: tuple[str, ...], dataset: Path | None
) -> LabelDefinition:
    """Return the meaning of label values: from ``classes`` NAME=VALUE, ``dataset``, or the dataset.json above labels.

    ``given``: the files and folders of labels, which contain ``files``. Without any of these, the meaning comes from
    the label ``files`` themselves, or from the descriptions beside them. Raises PlanewiseError where two of them give
    a value different names.
    """
    if _are_pairs(classes):
        if dataset is not None:
            raise PlanewiseError("--classes NAME=VALUE and --dataset: both name the classes; give one")
        return named_by_options(classes)
    if dataset is not None:
        return read_labels_of(dataset)
    first, *others = (labels_above(path) for path in given)
    for other in others:
        if (other.classes, other.regions, other.ignore) != (first.classes, first.regions, first.ignore):
            raise PlanewiseError(
                f"{other.source or 'no dataset.json'} and {first.source or 'no dataset.json'} above the labels name "
                "classes differently; choose with --dataset"
            )
    beside = labels_beside(files)
    refuse_other_names(first, beside)
    return first if first.classes or first.regions else replace(beside, ignore=first.ignore)


def classes_of(options: IldMeasure, files: list[Path]) -> tuple[int | None, MeasuredClasses]:
    """Return the ignore label, if there is one, and the classes to measure; print the classes.

    Raises PlanewiseError if nothing names the classes, or a requested name does not exist.
    """
    second = [] if options.against is None else _volumes(options.against)
    definition = labels_meant(options.labels, [*files, *second], options.classes, options.dataset)
    known = class_names(definition, [*files, *second])
    if not known:
        raise PlanewiseError(without_classes(options.labels[0], [*files, *second]))
    wanted = () if _are_pairs(options.classes) else options.classes
    classes = choose_classes(known, wanted, options.fibrosis)
    measured = ", ".join(f"{name} ({value})" for value, name in classes.names.items())
    fibrosis = ", ".join(classes.names[value] for value in classes.fibrosis)
    counted = f"fibrosis is {fibrosis}" if fibrosis else "none of them counts as fibrosis; see --fibrosis"
    source = "" if definition.source is None else f", by {definition.source}"
    say(f"Classes{source}: {measured} are measured; {counted}.")
    return definition.ignore, classes


def cases_of(options: IldMeasure, files: list[Path]) -> tuple[dict[str, Sources], list[Problem]]:
    """Return the files of each case, paired by name, and the problems of others."""
    images, problems = _images(options)
    refused: dict[str, Problem] = {}
    one = len(images) == len(options.labels) == 1 and is_volume(options.labels[0])
    if one and ((options.images and is_volume(options.images)) or isinstance(next(iter(images.values())), Series)):
        labels = {case_name(files[0], labels=True): files[0]}  # both were given by path: one case, whatever their names
        images = dict(zip(labels, images.values()))
    else:
        labels, refused = one_file_each(files, images, labels=True)
    problems += refused.values()
    second = _against(options, labels)
    if len(labels) > 1 and options.lungs is not None and is_volume(options.lungs, "--lungs"):
        raise PlanewiseError(f"--lungs {options.lungs}: is one mask, for {len(labels)} cases; give a folder of them")
    there = f"of {first_few(sorted(images), LISTED)}" if images else "none at all"
    cases = {}
    for case, path in labels.items():
        if case not in images:
            problems.append(Problem(str(path), f"has no CT: --images holds none of case {case}, but {there}"))
            continue
        try:
            mask = None if options.lungs is None else mask_of(case, options.lungs)
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
            continue
        if options.against is not None and case not in second:
            problems.append(Problem(str(options.against), f"has no labels of case {case}, so agreement lacks it"))
        cases[case] = Sources(images[case], path, second.get(case), mask)
    if without := len(images.keys() - labels.keys() - refused.keys()):
        say(f"{without} of {len(images)} CTs have no labels, and are left out.")
    if alone := sorted(second.keys() - labels.keys()):
        say(f"{options.against}: left out, since the first reader has no labels for them: {', '.join(alone)}")
    return cases, problems


def _images(options: IldMeasure) -> tuple[dict[str, Path | Series], list[Problem]]:
    """Return the CTs by case: those of --images, or those beside the labels in nnU-Net's layout."""
    folders = [options.images] if options.images is not None else list(_beside(options.labels))
    if not folders:
        raise PlanewiseError(
            f"{options.labels[0]}: has no imagesTs or imagesTr beside it; give the CTs in HU with --images"
        )
    images: dict[str, Path | Series] = {}
    problems: list[Problem] = []
    for folder in folders:
        of_folder, wrong = cts_in(folder, options.channel, options.series)
        for case in of_folder.keys() & images.keys():
            raise PlanewiseError(f"{folder}: has an image of case {case}, as another folder has; see --images")
        images |= of_folder
        problems += wrong
    return images, problems


def _beside(labels: Iterable[Path]) -> Iterable[Path]:
    """Yield the folders of images beside folders of labels: imagesTs of labelsTs, imagesTr of labelsTr."""
    holders = dict.fromkeys(path.absolute() if not ending_of(path) else path.absolute().parent for path in labels)
    for folder in holders:
        images = folder.with_name(folder.name.replace("labels", "images", 1))
        if images != folder and images.is_dir():
            yield images


def _against(options: IldMeasure, labels: dict[str, Path]) -> dict[str, Path]:
    """Return the second reader's labels by case. Raises PlanewiseError if a case has several files."""
    if options.against is None:
        return {}
    files = _volumes(options.against)
    if len(labels) == 1 and is_volume(options.against):
        return dict(zip(labels, files))
    second, refused = one_file_each(files, labels, labels=True)
    for problem in refused.values():
        raise PlanewiseError(f"--against {problem.where}: {problem.what}")
    return second
