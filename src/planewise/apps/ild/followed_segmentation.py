"""A scan of one date: read, with its lungs found, and segmented within them."""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from planewise.apps.ild.followed_scans import files_of, scan_of
from planewise.apps.ild.lungs import find_lungs, near_lungs
from planewise.apps.ild.options import WINDOWS, IldFollow
from planewise.apps.ild.segmenting import about_case
from planewise.data.prepared import read_patient
from planewise.data.run import Run
from planewise.data.space import laid_on
from planewise.data.window import apply_window
from planewise.inference.automatic import Place, SliceFindings, segment_within
from planewise.inference.encoder import Encoder
from planewise.inference.novelty import Novelty, novelty_of
from planewise.inference.propagation import PropagationOptions
from planewise.measurement.density import refuse_unless_hu
from planewise.measurement.lungs import LungRegions, cut_off
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import Sam2Weights
from planewise.progress import say, warn
from planewise.serial.comparability import Scan
from planewise.serial.retakes import noise_of
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels, write_labels
from planewise.volumes.volume import Spacing

CACHED_SLICES = 64
Segmented = tuple[np.ndarray, SliceFindings, Novelty | None]  # labels uint8, findings of slices, novelty of the scan
Predict = Callable[[np.ndarray, np.ndarray, Spacing], Segmented]  # from HU and lungs (z, y, x), canonical, and mm


@dataclass(frozen=True)
class Examined:
    """A scan that was segmented: HU, labels and the lungs' regions (z, y, x), canonical."""

    scan: Scan
    image: Path | Series
    hu: np.ndarray
    labels: np.ndarray
    regions: LungRegions


def predictor(weights: Sam2Weights, options: IldFollow, device: str, half: bool) -> Predict:
    """Return a function that segments a CT within its lungs."""
    import torch

    segmenter = BoxSegmenter(weights.network, weights.tokens).to(device).frozen()
    level, width = weights.window or WINDOWS["lung"]
    tracking = PropagationOptions(margin=options.bbox_shift)

    def predict(hu: np.ndarray, lungs: np.ndarray, spacing_mm: Spacing) -> Segmented:
        encoder = Encoder(segmenter, apply_window(hu, level, width), CACHED_SLICES)
        consecutive = np.ones(len(hu) - 1, bool)
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=half) if half else nullcontext():
            place = Place(lungs, near_lungs(lungs, spacing_mm))
            segmented = segment_within(encoder, place, consecutive, tracking, lambda _: None, weights.reliability)
            novelty = None if weights.seen is None else novelty_of(encoder, lungs, spacing_mm[0], weights.seen)
        return *segmented, novelty

    return predict


def examine(
    day: str, image: Path | Series, predict: Predict, run: Run, target: Path, names: dict[int, str]
) -> Examined:
    """Read and segment a scan into ``target``, or read labels that were written before; ``names``: of the classes."""
    patient, hu = read_patient(day, image, None, *WINDOWS["lung"])
    refuse_unless_hu(hu)
    lungs = find_lungs(hu, patient.spacing_mm)
    if run.is_done(day, files_of(image)):
        say(f"{day}: segmented already ({target})")
        placed = laid_on(open_labels(target), target, patient.geometry, image)
        labels = to_canonical(placed, labels=True).read().astype(np.uint8)
    else:
        with run.making(day, files_of(image), [target]) as decided:
            labels, findings, novelty = predict(hu, lungs, patient.spacing_mm)
            decided |= about_case(patient, findings, novelty).decided
            write_labels(target, patient.restore(labels).as_labels(names))
        say(f"{day}: segmented; {target}")
    warnings = tuple(run.cases[day].decided.get("warnings", ()))
    for warning in warnings:
        warn(f"{day}: {warning}")
    lungs_ml = float((lungs > 0).sum() * np.prod(patient.spacing_mm)) / 1000
    scan = scan_of(day, image, patient.spacing_mm, lungs_ml, cut_off(lungs))
    scan = replace(scan, noise_hu=noise_of(hu), warnings=warnings, voxels=_hash_of(hu))
    return Examined(scan, image, hu, labels, LungRegions.of(lungs, patient.spacing_mm))


def _hash_of(hu: np.ndarray) -> str:
    return hashlib.sha256(f"{hu.shape}".encode() + np.ascontiguousarray(hu).tobytes()).hexdigest()
