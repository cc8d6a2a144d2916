"""Calibrates the scores of a trained model on held-out patients; see ``models.reliability``."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from planewise.data.prepared import IGNORED, Patient, is_object, load_patient
from planewise.inference.automatic import ask_slice
from planewise.inference.encoder import Encoder
from planewise.models.reliability import ClassReliability, reliability_of
from planewise.models.sam2 import BoxSegmenter
from planewise.progress import warn
from planewise.volumes.slices import evenly

CASES = 48  # at most, evenly among them: a large CT takes a minute on a CPU
SLICES = 240  # of all of them together


def reliability_on(segmenter: BoxSegmenter, held_out: Mapping[Path, str], margin: float) -> dict[int, ClassReliability]:
    """Return the calibration of ``segmenter``'s scores, by class, for classes with enough slices of enough patients.

    ``held_out``: prepared cases, whose slices are predicted as in use, with the patient of each; ``margin``: of the
    organ's box.
    """
    known: dict[int, ClassReliability] = {}
    for value, of_class in answers_on(segmenter, held_out, margin).items():
        scores, ious, *_ = of_class
        if spoiled := int(np.count_nonzero(~np.isfinite(scores + ious))):
            warn(f"class {value}: the network gave no number in {spoiled} of {len(scores)} held-out slices")
        if (reliability := reliability_of(*of_class)) is not None:
            known[value] = reliability
    return known


def answers_on(
    segmenter: BoxSegmenter, held_out: Mapping[Path, str], margin: float
) -> dict[int, tuple[np.ndarray, ...]]:
    """Return the model's outputs for held-out slices (n,), by class: score, IoU, true presence, Dice, and
    the number of the patient.

    See ``reliability_on`` for the arguments, and ``reliability_of`` for what is returned. Classes without a slice are
    left out.
    """
    paths = evenly(list(held_out), CASES)
    patients = sorted(set(held_out.values()))
    rows = [
        (*row, patients.index(held_out[path]))
        for path in paths
        for row in _answers(segmenter, load_patient(path), SLICES // len(paths), margin)
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
