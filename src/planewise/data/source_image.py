"""The image that a result was made from, by the manifest beside it, where it lies now."""

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

    Where image and result were moved together it is found where it lies beside the result now, if its bytes are those
    that were read, with a message. ``unchanged``: they must be so where it always lay, too, for which all are read.
    Raises PlanewiseError, naming --image, if it no longer exists, or has changed.
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
    """Return the first file that a result was made from: where it lay, or beside the result as it lay before."""
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
    """Return the series of which ``first`` is a file, and with it all that the result was made from."""
    folder = Path(next(iter(record.inputs))).parent
    made = {  # fingerprints by where the files lie now; what else was read, such as masks, is of another kind of file
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
    return f"{image}: is not what it was when {result} was made from it; give the image with --image"
