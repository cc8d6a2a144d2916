"""After a training from corrections: predict the cases again, and list where the new model differs.

::

    {work_dir}/{task_name}/predicted/, worklist.csv
"""

from pathlib import Path

import numpy as np

from planewise.apps.ild.corrections import PATIENTS
from planewise.apps.ild.options import IldPredict, IldTrain
from planewise.apps.ild.predict import predict_ild
from planewise.correction.canvas import whole
from planewise.correction.corrected import corrected_volumes, write_next
from planewise.correction.session import Corrections
from planewise.correction.truth import known_classes
from planewise.correction.worklist import Item
from planewise.data.manifest import MANIFEST, named_weights, read_manifest, weights_in
from planewise.models.sam2_files import load_sam2
from planewise.volumes.geometry import place_from_canonical, to_canonical
from planewise.volumes.labels import read_labels

LEAST = 16  # differing pixels of a slice that goes on the list; predict's smallest object


def predict_again(options: IldTrain, result: Path, model: Path) -> int:
    """Predict the corrected cases with ``model`` unless that is done, and write the next work list. Returns the exit
    code.

    No boxes are used if the model needs none; otherwise boxes around the labels of the corrected result.
    """
    folder = options.work_dir / options.task_name
    made = read_manifest(folder / "predicted" / MANIFEST)  # by this training, if it was finished before
    of = "" if made is None else str(made.made_from.options.get("model", ""))
    same = weights_in(of) == weights_in(named_weights(model))
    prompts = "truth" if load_sam2(model, options.image_size).tokens is None else "auto"
    again = IldPredict(
        input=options.work_dir / PATIENTS,
        output=folder / "predicted",
        trained_model=str(model),
        prompts=prompts,
        bbox_shift=options.bbox_shift,
        device=options.device,
        devices=options.devices,
        precision=options.precision,
        overwrite=options.overwrite or not same,
    )
    code = predict_ild(again)
    _write_next_worklist(options, result, folder, model)
    return code


def _write_next_worklist(options: IldTrain, result: Path, folder: Path, model: Path) -> None:
    """List the slices in which ``model`` differs outside of what is known, the largest difference first."""
    differing: list[tuple[int, Item]] = []
    for case, path in corrected_volumes(result).items():
        predicted_as = folder / "predicted" / f"{case}.nii.gz"
        if not predicted_as.exists():  # it has no known voxels, or its prediction failed, which was reported
            continue
        predicted = to_canonical(read_labels(predicted_as), labels=True).read()
        with Corrections(path) as corrections:
            volume = corrections.canvas.volume
            known = known_classes(corrections, options.margin_mm).known
            labels = to_canonical(volume.with_voxels(corrections.canvas.read(whole(corrections.canvas)))).read()
        differs = (predicted != labels) & ~known
        for z in np.flatnonzero(differs.sum(axis=(1, 2)) >= LEAST).tolist():
            places = np.argwhere(differs[z])
            y, x = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
            both = np.unique([labels[z][differs[z]], predicted[z][differs[z]]])
            classes = tuple(int(value) for value in both if value)
            what = f"the model draws class {', '.join(map(str, classes))} differently: {len(places)} pixels"
            place = place_from_canonical((z, y, x), volume)
            differing.append((len(places), Item(f"{case}: slice {z}", case, what, classes, place)))
    items = [item for _, item in sorted(differing, key=lambda pair: -pair[0])]
    write_next(folder / "worklist.csv", items, result, model)
