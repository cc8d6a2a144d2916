"""SAM2 and MedSAM2 from Python: segment a volume into classes, and fine-tune."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from planewise.apps.ild.lungs import find_lungs, take_sides
from planewise.apps.ild.options import IldPredict, IldPrepare, IldTrain
from planewise.apps.ild.predicted_cases import AUTOMATIC
from planewise.apps.ild.prepare import prepare_patients
from planewise.apps.ild.segmenting import Segmenting, about_case, segment_patient
from planewise.apps.ild.train import train_ild
from planewise.data.prepared import IGNORED, Patient, as_patient
from planewise.data.space import laid_on
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError
from planewise.inference.prompts import Prompt, prompt_of, read_prompts
from planewise.interface.calls import options_of
from planewise.interface.model import Model
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.zoo import Kind, located
from planewise.progress import say, warn
from planewise.volumes.arrays import as_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import as_labels, label_dtype
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

FROM_SCRATCH = "SAM2"  # the base of a training from random weights
OF_FOLDERS = (  # options of the command about the files that it reads and writes, and about workers
    "output", "base", "truth", "series", "visualize", "overwrite", "devices", "scheduler",
)  # fmt: skip
DRAWN = "boxes"  # name of prompts given as rows, in options and messages


@dataclass(frozen=True)
class Sam2Model(Model):
    """A SAM2; ``window``: level and width in HU of its training, if its file states them. It is loaded once."""

    window: tuple[float, float] | None
    finds_classes: bool
    loaded: dict[Any, Sam2Weights] = field(repr=False, compare=False)  # by the side of the input

    kind: Literal["SAM2"] = field(default="SAM2", init=False)

    @classmethod
    def load(cls, model: str | os.PathLike[str]) -> "Sam2Model":
        """See ``load_model``."""
        path = located(Path(model), get_args(Kind))
        weights = load_sam2(path, None)
        names = weights.tokens.names if weights.tokens else {}
        return cls(path, dict(names), weights.window, weights.tokens is not None, {None: weights})

    def segment(
        self,
        volume: Volume,
        name: str,
        prompts: Any,
        truth: Any,
        output: Path | None,
        given: dict[str, Any],
        source: Path | None,
    ) -> Volume:
        """See ``planewise.segment``."""
        if output is not None:
            raise PlanewiseError("output: a CT is segmented in memory; write_volume writes what is returned")
        given = dict(given)
        masks, drawn = given.pop("lungs", None), None
        kind = "truth" if truth is not None else self._kind(prompts, name)
        fixed = {"input": source or Path(name), "trained_model": str(self.path), "prompts": kind}
        options = options_of(IldPredict, given, OF_FOLDERS, **fixed)
        level, width = options.window_in_hu()
        if self.window not in (None, (level, width)):
            trained = "{:g}/{:g}".format(*self.window or ())
            warn(f"{self.path} was trained in the window {trained}, and is used in {level:g}/{width:g}")
        place = source or Path(name)
        labels = None if truth is None else as_labels(as_volume(truth, name="truth"), Path("truth"))
        patient, hu = as_patient(
            name, volume, place, labels, Path("truth"), level, width, ignore_geometry=options.ignore_geometry
        )
        if masks is not None and kind not in AUTOMATIC:
            raise PlanewiseError("lungs: is for prompts='auto' or 'lungs'; boxes need no lungs")
        if kind in AUTOMATIC:
            organ = lungs_within(patient, hu, place, masks, options.ignore_geometry)
            patient = replace(patient, organ=organ)
        elif kind == DRAWN:
            drawn = self._drawn(prompts, name, patient)
        half = choose_precision(options.precision, device := choose_device(options.device), predicting=True) == "bf16"
        weights, fallback = self._weights(options.image_size), options.stability_fallback
        memory_of = self.path if options.propagation == "memory" else None
        segmenting = Segmenting.of(weights, device, half, fallback, memory_of)
        segmented, how, findings, novelty = segment_patient(segmenting, patient, drawn or [], options)
        for warning in about_case(patient, findings, novelty).warnings:
            warn(f"{name}: {warning}")
        say(f"{name}: {how}")
        restored = patient.restore(segmented)
        voxels = np.asarray(restored.voxels)
        return restored.with_voxels(voxels.astype(label_dtype(int(voxels.max(initial=0))), copy=False))

    def _weights(self, image_size: int | None) -> Sam2Weights:
        if image_size not in self.loaded:
            self.loaded[image_size] = load_sam2(self.path, image_size)
        return self.loaded[image_size]

    def _kind(self, prompts: Any, name: str) -> str:
        """Return where boxes come from, in the command line's terms; None: the model segments classes without boxes."""
        wanted = "auto" if prompts is None else prompts if isinstance(prompts, str) else DRAWN
        if wanted == "truth":
            raise PlanewiseError("prompts='truth': give the labels that boxes are taken from as truth=")
        if wanted in AUTOMATIC and not self.finds_classes:
            raise PlanewiseError(
                f"prompts: {self.path.name} was trained with drawn boxes only; give boxes around objects of {name} "
                "as a table or a CSV, or labels to take them from as truth="
            )
        return wanted if wanted in AUTOMATIC else DRAWN

    def _drawn(self, prompts: Any, name: str, patient: Patient) -> list[Prompt]:
        """Return boxes from a file, whose rows name the case, or from rows: a table of pandas or a list of mappings."""
        classes = {value: str(value) for value in range(1, IGNORED)} | self.classes
        shape, spacing_mm = patient.images.shape, patient.spacing_mm
        if isinstance(prompts, str | os.PathLike):
            by_case, wrong = read_prompts(Path(prompts), {name: shape}, {name: spacing_mm}, classes)
            boxes = by_case.get(name, [])
        else:
            rows = prompts.to_dict("records") if hasattr(prompts, "to_dict") else list(prompts)
            boxes, wrong = [], []
            for number, row in enumerate(rows, 1):
                try:
                    if not isinstance(row, Mapping):
                        raise TypeError(f"is {type(row).__name__}, no mapping")
                    boxes.append(prompt_of(row, shape, spacing_mm, classes))
                except KeyError as error:
                    wrong.append(f"row {number}: has no {error.args[0]}")
                except (ValueError, TypeError, OverflowError) as error:
                    wrong.append(f"row {number}: {error}")
        if not boxes or (wrong and not isinstance(prompts, str | os.PathLike)):
            raise PlanewiseError(f"prompts: {'; '.join(wrong[:3]) or f'no row is of {name}'}")
        for line in wrong:
            warn(f"{prompts}: {line}")
        return boxes


def lungs_within(patient: Patient, hu: np.ndarray, image: Path, masks: Any, ignore_geometry: bool) -> np.ndarray:
    """Return the lungs of a patient, 1 left and 2 right: from ``masks``, or segmented from HU.

    Raises PlanewiseError if they must be segmented in a CT without a spacing.
    """
    if masks is not None:
        path = Path("lungs")
        given = as_labels(as_volume(masks, name="lungs"), path)
        placed = laid_on(given, path, patient.geometry, image, ignore_geometry)
        return take_sides(to_canonical(placed, labels=True).read(), hu, patient.spacing_mm)
    if patient.geometry.unit == PIXEL:
        raise PlanewiseError(
            f"{image}: states no spacing in a unit of length, so lungs cannot be segmented; give "
            'planewise.open(ct, spacing=(z, y, x), unit="mm"), or a mask as lungs='
        )
    return find_lungs(hu, patient.spacing_mm)


def finetune_sam2(dataset: Path, base: str | os.PathLike[str], output: Path, given: dict[str, Any]) -> Model:
    """Prepare a nnU-Net raw dataset and fine-tune a SAM2 on it; see ``planewise.finetune``."""
    prepared = {name: value for name, value in given.items() if name in IldPrepare.model_fields}
    trained = {name: value for name, value in given.items() if name in IldTrain.model_fields or name not in prepared}
    if os.fspath(base) == FROM_SCRATCH:
        trained["from_scratch"] = True
    start: dict[str, Any] = {} if trained.get("from_scratch") else {"base": Path(base)}
    training = options_of(IldTrain, trained, work_dir=output, **start)
    prepare_patients(options_of(IldPrepare, prepared, dataset_path=dataset, work_dir=output))
    train_ild(training)
    return Sam2Model.load(output / training.task_name / "medsam_model_best.pth")
