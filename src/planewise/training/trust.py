"""Data stored with a trained model from which its users can judge how far to trust it.

They are the calibration of its scores on held-out patients, and a description of its training patients.
"""

from pathlib import Path

import numpy as np

from planewise.data.prepared import IGNORED, Patient, is_object, load_patient
from planewise.inference.automatic import ask_slice
from planewise.inference.encoder import Encoder
from planewise.inference.novelty import LEAST_EMBEDDING_STD, LEAST_INTENSITY_STD, features_of
from planewise.models.reliability import ClassReliability, reliability_of
from planewise.models.sam2 import BoxSegmenter
from planewise.models.seen_data import SeenData, spread_of
from planewise.progress import warn
from planewise.volumes.slices import evenly

PATIENTS = 48  # at most, evenly among them: a large CT takes a minute on a CPU
SLICES_SEEN = 8  # of each training patient
SLICES_ASKED = 240  # of all held-out patients together, for the calibration of scores


def reliability_on(segmenter: BoxSegmenter, held_out: list[Path], margin: float) -> dict[int, ClassReliability]:
    """Return the calibration of ``segmenter``'s scores, by class, for classes with enough slices of enough cases.

    ``held_out``: prepared patients, whose slices are predicted as in use; ``margin``: of the organ's box.
    """
    known: dict[int, ClassReliability] = {}
    for value, of_class in answers_on(segmenter, held_out, margin).items():
        scores, ious, *_ = of_class
        if spoiled := int(np.count_nonzero(~np.isfinite(scores + ious))):
            warn(f"class {value}: the network gave no number in {spoiled} of {len(scores)} held-out slices")
        if (reliability := reliability_of(*of_class)) is not None:
            known[value] = reliability
    return known


def answers_on(segmenter: BoxSegmenter, held_out: list[Path], margin: float) -> dict[int, tuple[np.ndarray, ...]]:
    """Return the model's outputs for held-out slices (n,), by class: score, IoU, true presence, Dice, and case.

    See ``reliability_on`` for the arguments, and ``reliability_of`` for what is returned. Classes without a slice are
    left out.
    """
    paths = evenly(held_out, PATIENTS)
    rows = [
        (*row, case)
        for case, path in enumerate(paths)
        for row in _answers(segmenter, load_patient(path), SLICES_ASKED // len(paths), margin)
    ]
    by_class = {value: [row[1:] for row in rows if row[0] == value] for value in segmenter.classes}
    return {value: tuple(map(np.array, zip(*of_class))) for value, of_class in by_class.items() if of_class}


def _answers(
    segmenter: BoxSegmenter, patient: Patient, count: int, margin: float
) -> list[tuple[int, float, float, bool, float]]:
    """Return the model's outputs for slices of a patient, by class: score, IoU, true presence, and Dice.

    Ignored voxels do not count; a class that may be hidden in ignored voxels is left out.
    """
    if patient.labels is None or patient.organ is None:
        return []
    encoder = Encoder(segmenter, patient.images)
    rows = []
    for z in evenly(np.flatnonzero(patient.organ.any(axis=(1, 2))).tolist(), max(1, count)):
        labels = patient.labels[z]
        known = labels != IGNORED
        logits, scores, ious = ask_slice(encoder, z, patient.organ[z], margin)
        for place, value in enumerate(segmenter.classes):
            truth, mask = (labels == value) & is_object(labels), (logits[place] > 0) & known
            if truth.any() or known.all():
                dice = 2 * (truth & mask).sum() / max(1, truth.sum() + mask.sum())
                rows.append((value, float(scores[place]), float(ious[place]), bool(truth.any()), float(dice)))
    return rows


def seen_in(segmenter: BoxSegmenter, trained_on: list[Path], held_out: list[Path]) -> SeenData | None:
    """Return a description of the patients ``trained_on``, and how far those ``held_out`` are from them.

    None for patients without the organ, and for a single patient with none held out: then no limit can be estimated.
    """
    kept: list[list[tuple[np.ndarray, np.ndarray]]] = []
    thickness: list[float] = []
    for paths in (trained_on, held_out):
        features = []
        for path in evenly(paths, PATIENTS):
            patient = load_patient(path)
            if patient.organ is None or not patient.organ.any():
                continue
            features.append(features_of(Encoder(segmenter, patient.images), patient.organ, SLICES_SEEN))
            thickness += [patient.spacing_mm[0]] if paths is trained_on else []
        kept.append(features)
    if not kept[0]:
        return None
    intensities, embedding = (
        spread_of([each[place] for each in kept[0]], [each[place] for each in kept[1]], least_std)
        for place, least_std in enumerate((LEAST_INTENSITY_STD, LEAST_EMBEDDING_STD))
    )
    if intensities is None or embedding is None:
        return None
    seen_mm = (min(thickness), max(thickness))
    return SeenData(patients=len(kept[0]), intensities=intensities, embedding=embedding, thickness_mm=seen_mm)
