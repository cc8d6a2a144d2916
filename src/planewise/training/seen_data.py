"""Describes the patients that a model was trained on, so that others unlike them are recognised."""

from pathlib import Path

import numpy as np

from planewise.data.prepared import load_patient
from planewise.inference.encoder import Encoder
from planewise.inference.novelty import LEAST_EMBEDDING_STD, LEAST_INTENSITY_STD, features_of
from planewise.models.sam2 import BoxSegmenter
from planewise.models.seen_data import SeenData, spread_of
from planewise.volumes.slices import evenly

CASES = 48  # at most, evenly among them, of those trained on and of those held out
SLICES = 8  # of each


def seen_in(segmenter: BoxSegmenter, trained_on: list[Path], held_out: list[Path]) -> SeenData | None:
    """Return a description of the patients ``trained_on``, and how far those ``held_out`` are from them.

    None for patients without the organ, and for a single patient with none held out: then no limit can be estimated.
    """
    kept: list[list[tuple[np.ndarray, np.ndarray]]] = []
    thickness: list[float] = []
    for paths in (trained_on, held_out):
        features = []
        for path in evenly(paths, CASES):
            patient = load_patient(path)
            if patient.organ is None or not patient.organ.any():
                continue
            features.append(features_of(Encoder(segmenter, patient.images), patient.organ, SLICES))
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
