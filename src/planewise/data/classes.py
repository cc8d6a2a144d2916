"""The meaning of label values: which are trained, which are scored, and which are ignored.

nnU-Net's dataset.json names them under ``labels``: classes ``{"mito": 1}``; regions ``{"tumour": [1, 2]}``, unions of
several values; and ``{"ignore": 3}``, the highest value, for voxels of unknown class.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from planewise.data.case import file_of_case
from planewise.errors import DatasetError, PlanewiseError
from planewise.progress import counted, first_few
from planewise.volumes.files import open_volume
from planewise.volumes.itk_snap import FILE as ITK_SNAP
from planewise.volumes.itk_snap import read_label_description
from planewise.volumes.json_files import read_json

BACKGROUND, IGNORE = "background", "ignore"  # nnU-Net's names
MAX_CLASS = 65_535  # tables are as long as the highest class
DATASET_FILE = "dataset.json"
SETTLE_NAMES = "settle it with --dataset, or with --classes NAME=VALUE"


@dataclass(frozen=True)
class Target:
    """The class of a semantic truth that is trained and scored: the voxels of any of ``values``.

    ``ignore``: the value of ignored voxels; None if there is no such value.
    """

    name: str
    values: tuple[int, ...]
    ignore: int | None = None


CLASS_1 = Target("class 1", (1,))  # of a semantic truth if nothing names its classes


@dataclass(frozen=True)
class LabelDefinition:
    """The labels of a dataset.json: names of ``classes`` by value, values of ``regions`` by name, and the ignore value.

    ``source``: the file, for messages; None if there is none, and then nothing is named.
    """

    classes: dict[int, str] = field(default_factory=dict)
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    source: Path | None = None

    def values(self) -> list[int]:
        """Return all values above 0 that have a name, of classes, regions and the ignore label, in their order."""
        of_regions = [value for values in self.regions.values() for value in values]
        return sorted({*self.classes, *of_regions, *([] if self.ignore is None else [self.ignore])})

    def unnamed(self, counts: dict[int, int]) -> str:
        """Return the message about values above 0 in a semantic truth that no label names; "" if all are named.

        If no class is named, any value may be one. ``counts``: the voxels of each value.
        """
        unnamed = self._without_name(counts)
        if not unnamed:
            return ""
        used = {*self.classes, *(value for values in self.regions.values() for value in values)}
        after, highest = 1 + max(used), unnamed[-1]  # nnU-Net: the value after the classes is the ignore label's alone
        mask = ""
        if counts.keys() - {0} == {255} and len(self.classes) == 1:
            ((value, name),) = self.classes.items()
            mask = f"if it is {name} in a mask of 0 and 255, write {value} for 255 in the file; "
        if self.ignore is not None:
            unknown = f"has the value {self.ignore} in the file, as in dataset.json"
        elif highest > after:
            wanted = f"nnU-Net takes {after} alone, the next value after the classes, here and in the file"
            unknown = f'is named "{IGNORE}": {highest} under labels ({wanted})'
        else:
            written = f", and has the value {after} in the file" if highest < after else ""
            unknown = f'is named "{IGNORE}": {after} under labels{written}'
        return (
            f"{self._held(unnamed, counts)}. If it is a class, name it there; {mask}a mistake is corrected in the "
            "file; if they are the ids of objects, this truth belongs in instancesTr or instancesTs; whatever is "
            f"unlabelled {unknown}"
        )

    def unnamed_in_prediction(self, counts: dict[int, int]) -> str:
        """Return the message about values above 0 in a prediction that no label names; see ``unnamed``."""
        unnamed = self._without_name(counts)
        if not unnamed:
            return ""
        return (
            f"{self._held(unnamed, counts)}. A prediction of classes holds their values: write these into the file; if "
            "they are the ids of objects, planewise mito evaluate scores them, against instancesTs"
        )

    def is_of_ids(self, counts: dict[int, int]) -> bool:
        """Return whether a prediction holds more values above 0 without a name than with one, as ids of objects do."""
        unnamed = self._without_name(counts)
        return len(unnamed) > len(counts.keys() - {0, *unnamed})

    def _without_name(self, counts: dict[int, int]) -> list[int]:
        return sorted(counts.keys() - set(self.values()) - {0}) if self.classes or self.regions else []

    def _held(self, unnamed: list[int], counts: dict[int, int]) -> str:
        named = {name: (value,) for value, name in self.classes.items()} | self.regions
        named |= {} if self.ignore is None else {IGNORE: (self.ignore,)}
        voxels = sum(counts[value] for value in unnamed)
        held = counted(voxels, "voxel")
        there = ", ".join(f"{name} ({', '.join(map(str, values))})" for name, values in named.items())
        return f"holds {first_few(unnamed, 10)} ({held}), which no label of dataset.json names; those are {there}"

    def class_names(self) -> dict[int, str]:
        """Return the names of the classes by value, ascending. Raises DatasetError if there are regions."""
        if self.regions:
            regions = ", ".join(f"{name} {list(values)}" for name, values in self.regions.items())
            raise DatasetError(
                f"{self.source}: labels: {regions}: is a region, a union of classes; here each voxel has one class, so "
                "name each value as a separate class"
            )
        return self.classes

    def target(self, wanted: str | None, option: str) -> Target:
        """Return the class or region ``wanted``, given by name or value; with None, the only one.

        ``option``: the option that chooses, for errors. Raises PlanewiseError if several are possible, or if there is
        no such class.
        """
        known = {name: (value,) for value, name in self.classes.items()} | self.regions
        named = ", ".join(f"{name} ({', '.join(map(str, values))})" for name, values in known.items())
        if wanted is None and len(known) == 1:
            wanted = next(iter(known))
        if wanted is None:
            there = f"has several classes, {named}" if known else "names no class under labels"
            raise PlanewiseError(f"{self.source or DATASET_FILE}: {there}; choose one with {option}")
        if wanted in known:
            return Target(wanted, known[wanted], self.ignore)
        value = int(wanted) if wanted.isdecimal() else 0
        if value and value == self.ignore:
            raise PlanewiseError(f"{option} {wanted}: is the ignore label, which is neither trained nor scored")
        if value in self.classes:
            return Target(self.classes[value], (value,), self.ignore)
        if value and (not known or any(value in values for values in known.values())):
            return Target(f"class {value}", (value,), self.ignore)
        raise PlanewiseError(
            f"{option} {wanted}: no such class; {f'there are {named}' if known else 'give the value of a class'}"
        )

    def sentence(self, target: Target, done: str) -> str:
        """Return a line that states what is ``done`` ("trained and scored"), what is background, and what is
        ignored."""
        others = [f"{name} ({value})" for value, name in self.classes.items() if value not in target.values]
        shown = f"{target.name} ({', '.join(map(str, target.values))})"
        ignored = "nothing" if self.ignore is None else f"{IGNORE} ({self.ignore})"
        return f"Classes: {shown} is {done}; background: {', '.join(others) or 'the rest'}; ignored: {ignored}."


def read_labels_of(path: Path) -> LabelDefinition:
    """Return the labels of the dataset.json at ``path``. Raises DatasetError, naming the label, if they are invalid.

    nnU-Net's version 1, ``{"1": "mito"}``, is understood too.
    """
    try:
        items = dict(read_json(path).get("labels", {}).items())
    except PlanewiseError as error:
        raise DatasetError(str(error)) from error
    except AttributeError as error:
        raise DatasetError(f"{path}: is not a dataset.json; its labels must be an object {{name: value}}") from error
    if items and all(name.isdecimal() and isinstance(value, str) for name, value in items.items()):
        items = {value: int(name) for name, value in items.items()}
    classes: dict[int, str] = {}
    regions: dict[str, tuple[int, ...]] = {}
    ignore = None
    for name, value in items.items():
        values = _values(name, value, path)
        if name == IGNORE:
            ignore = values[0] if len(values) == 1 and values[0] > 0 else None
            if ignore is None:
                raise DatasetError(f"{path}: labels: {IGNORE} is {value!r}; it must be one value above 0, the highest")
        elif len(values) > 1:
            regions[name] = values
        elif values[0] in classes:
            raise DatasetError(
                f"{path}: labels: {classes[values[0]]} and {name} are both {values[0]}; give each a different value"
            )
        elif values[0] > 0 and name != BACKGROUND:
            classes[values[0]] = name
        elif values[0] > 0:
            raise DatasetError(f"{path}: labels: {BACKGROUND} is {value!r}; it must be 0")
    used = {*classes, *(value for values in regions.values() for value in values)}
    if ignore is not None and max(used, default=0) >= ignore:
        raise DatasetError(
            f"{path}: labels: {IGNORE} is {ignore}, and another label is {max(used)}; nnU-Net demands that {IGNORE} be "
            "the highest value"
        )
    return LabelDefinition(dict(sorted(classes.items())), regions, ignore, path)


def _values(name: str, value: Any, path: Path) -> tuple[int, ...]:
    """Return the values of a label: one, or those of a region."""
    values = value if isinstance(value, list) and value else [value]
    lowest = 1 if isinstance(value, list) else 0
    if not all(isinstance(v, int) and not isinstance(v, bool) and lowest <= v <= MAX_CLASS for v in values):
        raise DatasetError(
            f"{path}: labels: {name} is {value!r}; it must be a whole number up to {MAX_CLASS}, or a list of them"
        )
    return tuple(dict.fromkeys(values))


def labels_above(truth: Path, dataset: Path | None = None) -> LabelDefinition:
    """Return the labels of ``dataset``, a dataset.json, or else of the dataset.json above a truth file or folder, if
    any.

    Raises DatasetError if ``dataset`` is no such file.
    """
    if dataset is not None:
        return read_labels_of(dataset)
    meta = next((path for path in dataset_files_above(truth) if path.is_file()), None)
    return LabelDefinition() if meta is None else read_labels_of(meta)


def labels_beside(files: Iterable[Path]) -> LabelDefinition:
    """Return the classes named in the label files themselves, as some formats do, or in ITK-SNAP's description beside
    them.

    ``source``: the first file that names them. An unreadable file is skipped; its next reader reports it. Raises
    DatasetError if two files give a value different names.
    """
    named: dict[int, tuple[str, Path]] = {}
    for folder, of_folder in groupby(files, lambda path: path.parent):
        described = read_label_description(folder / ITK_SNAP).names
        for path in of_folder:
            try:
                labels = open_volume(path).labels
            except PlanewiseError:
                continue
            stored = {} if labels is None else labels.names
            for value, name in (stored or described).items():
                source = path if stored else folder / ITK_SNAP
                before, where = named.setdefault(value, (name, source))
                if before != name:
                    raise DatasetError(f"{source}: calls label {value} {name}, and {where} {before}; {SETTLE_NAMES}")
    source = next((where for _, where in named.values()), None)
    return LabelDefinition({value: name for value, (name, _) in sorted(named.items())}, source=source)


def refuse_other_names(first: LabelDefinition, second: LabelDefinition) -> None:
    """Raise DatasetError if two definitions give a value different names."""
    for value in first.classes.keys() & second.classes.keys():
        if first.classes[value] != second.classes[value]:
            raise DatasetError(
                f"{second.source}: calls label {value} {second.classes[value]}, and {first.source} "
                f"{first.classes[value]}; {SETTLE_NAMES}"
            )


def dataset_files_above(truth: Path) -> list[Path]:
    """Return the places where the dataset.json of a truth file or folder may be."""
    above = truth.resolve().parents[: 1 if truth.is_dir() else 2]
    return [folder / DATASET_FILE for folder in above]


def ignore_label_within(labels: Path) -> int | None:
    """Return the ignore label of semantic labels in a dataset's labelsTr or labelsTs; None if there is none."""
    semantic = labels.resolve().parent.name.startswith("labels") and not holds_instances(labels)
    return labels_above(labels).ignore if semantic else None


def holds_instances(truth: Path) -> bool:
    """Whether a truth file or folder holds instance ids, by its place in instancesTr or instancesTs."""
    return any(path.name.startswith("instances") for path in (truth, truth.parent))


def semantic_folder(instances: Path) -> Path | None:
    """Return the folder of semantic labels beside the folder ``instances``, labelsTr beside instancesTr; None if there
    is none.
    """
    folder = instances.parent / instances.name.replace("instances", "labels", 1)
    return folder if folder != instances and folder.is_dir() else None


def semantic_beside(instances: Path, case: str) -> Path | None:
    """Return the semantic labels of a case whose instances are in the file ``instances``, see ``semantic_folder``.

    None if there is no such folder. Raises PlanewiseError, naming the missing file, if the folder lacks the case.
    """
    folder = semantic_folder(instances.parent)
    if folder is None:
        return None
    return file_of_case(case, folder, "label volume beside its instances, for the classes and the ignore label,")
