"""The outputs of ``ild predict`` for a case: labels as a volume, or as a DICOM segmentation."""

from pathlib import Path

from planewise.apps.ild.codes import segments_of
from planewise.apps.ild.dicom_results import of_manifest
from planewise.apps.ild.options import IldPredict
from planewise.apps.ild.predicted_cases import AUTOMATIC, DICOM_SEG, labels_above_input
from planewise.data.manifest import MANIFEST, read_manifest
from planewise.errors import PlanewiseError
from planewise.evaluation.presence import presence_file
from planewise.progress import say, warn
from planewise.volumes import itk_snap
from planewise.volumes.formats.dicom import Series
from planewise.volumes.formats.dicom.segmentation import write_segmentation
from planewise.volumes.formats.dicom.sources import require_highdicom
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def outputs_of(case: str, options: IldPredict) -> list[Path]:
    """Return the files of a case's results; the labels are written last."""
    outputs = [presence_file(options.output, case)] if options.prompts in AUTOMATIC else []
    outputs += [options.output / f"{case}.html"] if options.prompts == "auto" else []
    outputs += [options.output / f"{case}.png"] if options.visualize else []
    return [*outputs, target_of(case, options)]


def target_of(case: str, options: IldPredict) -> Path:
    """Return where a case's labels go."""
    return options.output / f"{case}.{'seg.dcm' if options.format == DICOM_SEG else options.format}"


def refuse_what_is_no_dicom(patients: dict[str, Path | Series], names: dict[int, str], options: IldPredict) -> None:
    """Raise PlanewiseError if DICOM segmentations are requested but impossible for these patients and classes."""
    require_highdicom()
    others = [str(path) for path in patients.values() if isinstance(path, Path)]
    if others:
        raise PlanewiseError(
            f"--format {DICOM_SEG}: needs a DICOM series, and {others[0]} is not one; give the folder of "
            "the series, or another format"
        )
    named = names or labels_above_input(options).classes
    if not named:
        raise PlanewiseError(f"--format {DICOM_SEG}: nothing names the classes, neither the model nor a dataset.json")
    segments_of(named, options.codes)


def write_predicted(
    target: Path, path: Path | Series, labels: Volume, named: dict[int, str], options: IldPredict
) -> None:
    """Write labels on the grid of the image file, or on the slices of the DICOM series."""
    if options.format != DICOM_SEG:
        write_labels(target, labels)
        return
    manifest = read_manifest(options.output / MANIFEST)
    assert isinstance(path, Series)
    assert manifest is not None  # which records that the case was begun
    write_segmentation(target, path, labels.read(), segments_of(named, options.codes), of_manifest(manifest))


def names_of_labels(options: IldPredict, names: dict[int, str]) -> dict[int, str]:
    """Return the model's class ``names``, or else those in the dataset.json above the input, if it exists.

    If that file cannot be read, a warning is printed and labels are written without names.
    """
    try:
        return names or labels_above_input(options).classes
    except PlanewiseError as error:
        warn(f"labels are written without the names of their classes: {error}")
        return {}


def describe_labels(options: IldPredict, names: dict[int, str]) -> None:
    """Write the file with which ITK-SNAP names the labels, unless another program wrote one there."""
    path = options.output / itk_snap.FILE
    names = names_of_labels(options, names)
    if options.format == "nii.gz" and names and options.output.is_dir():
        if path.exists() and not itk_snap.is_label_description_of_ours(path):
            say(f"{path}: already exists, and planewise did not write it; it is kept")
        else:
            itk_snap.write_label_description(path, LabelNames(names))
