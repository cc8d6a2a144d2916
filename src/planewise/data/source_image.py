"""Finds the image that a result was made from, through the manifest beside the result."""

import os
from pathlib import Path

from planewise.data.manifest import CaseRecord, manifest_of
from planewise.data.preparation import fingerprint
from planewise.errors import PlanewiseError
from planewise.progress import say
from planewise.volumes.formats import ending_of
from planewise.volumes.formats.dicom import Series, read_folder

PREPARED = ".npz"  # a patient of planewise ild prepare


def source_image(result: Path, unchanged: bool = False) -> Path | Series | None:
    """Return the image, or the DICOM series, that ``result`` was made from; None if no manifest beside it names one.

    If image and result were moved together, the image is looked up beside the result's new place, and used, with a
    message, if its bytes are unchanged. ``unchanged``: require unchanged bytes at the original place too, which reads
    the whole file. Raises PlanewiseError, naming --image, if the image no longer exists or has changed.
    """
    manifest = manifest_of(result)
    records = [] if manifest is None else manifest.cases.values()
    record = next((record for record in records if result.name in record.outputs and record.inputs), None)
    if record is None:
        return None
    image = _where(result, record)
    if _is_of_a_series(image):
        return _series(result, image, record, unchanged)
    if unchanged and fingerprint(image) != next(iter(record.inputs.values())):
        raise PlanewiseError(_changed(result, image))
    return image


def _where(result: Path, record: CaseRecord) -> Path:
    """Return the first file that a result was made from, at its old place, or at its old place relative to the
    result."""
    recorded, made = next(iter(record.inputs.items()))
    image = Path(recorded)
    if image.exists():
        return image
    for folder in result.resolve().parents:
        for ancestor in list(image.parents)[:-1]:
            moved = folder / image.relative_to(ancestor)
            if moved.exists() and fingerprint(moved) == made:
                say(f"{result}: was made from {image}, which is {moved} now")
                return moved
    raise PlanewiseError(f"{result}: was made from {image}, which no longer exists; say with --image where it is now")


def _is_of_a_series(image: Path) -> bool:
    return image.is_file() and not ending_of(image) and image.suffix != PREPARED


def _series(result: Path, first: Path, record: CaseRecord, unchanged: bool) -> Series:
    """Return the series that the file ``first`` belongs to, with all files that the result was made from."""
    folder = Path(next(iter(record.inputs))).parent
    made = {  # fingerprints by the files' present paths; other inputs, such as masks, are other kinds of files
        (first.parent / os.path.relpath(file, folder)).resolve(): of_file
        for file, of_file in record.inputs.items()
        if Path(file).suffix == first.suffix and not ending_of(Path(file))
    }
    if gone := [file for file in made if not file.is_file()]:
        raise PlanewiseError(_changed(result, gone[0]))
    common = Path(os.path.commonpath([file.parent for file in made]))
    for place in dict.fromkeys([first.parent.resolve(), common]):
        for one in read_folder(place).series:
            if {file.resolve() for file in one.files} == made.keys():
                other = [file for file in one.files if unchanged and fingerprint(file) != made[file.resolve()]]
                if other:
                    raise PlanewiseError(_changed(result, other[0]))
                return one
    raise PlanewiseError(_changed(result, first.parent))


def _changed(result: Path, image: Path) -> str:
    return f"{image}: has changed since {result} was made from it; give the image with --image"
