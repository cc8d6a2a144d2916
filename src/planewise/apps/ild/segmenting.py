"""Segments patients in a process, and reports what the reader must know about the result."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from planewise.apps.ild.lungs import NEAR_MM, near_lungs
from planewise.apps.ild.options import IldPredict
from planewise.apps.ild.predicted_cases import AUTOMATIC, prompts_note
from planewise.data.prepared import Patient, is_object
from planewise.errors import PlanewiseError
from planewise.inference.automatic import Place, SliceFindings, find_in_slices, segment_within
from planewise.inference.encoder import Encoder
from planewise.inference.novelty import Novelty, novelty_of
from planewise.inference.object_memory import propagate_memory
from planewise.inference.prompts import Prompt, prompts_from_truth
from planewise.inference.propagation import Propagation, PropagationOptions, propagate
from planewise.models.reliability import ClassReliability
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.sam2_memory import MemorySegmenter
from planewise.models.seen_data import SeenData
from planewise.progress import progress

Decided = dict[str, Any]  # a case's entry in the manifest
MUCH_OUTSIDE = 0.1  # a larger share of the segmented voxels away from the lungs gives a warning


@dataclass(frozen=True)
class Segmenting:
    """The model of a process; ``names``: the classes that it can segment without boxes.

    ``reliability`` and ``seen``: see ``Sam2Weights``.
    """

    segmenter: BoxSegmenter
    names: dict[int, str]
    device: str
    half: bool
    reliability: dict[int, ClassReliability]
    seen: SeenData | None
    propagation: Propagation = propagate

    @classmethod
    def of(
        cls, weights: Sam2Weights, device: str, half: bool, fallback: bool, memory_of: Path | None = None
    ) -> "Segmenting":
        """``memory_of``: the file of the weights, to propagate objects by SAM2's memory; None: by boxes."""
        names, propagation = weights.tokens.names if weights.tokens else {}, propagate
        if memory_of is not None:
            memory = MemorySegmenter(weights, memory_of, fallback).to(device).frozen()
            propagation = partial(propagate_memory, segmenter=memory)
        segmenter = BoxSegmenter(weights.network, weights.tokens, fallback=fallback).to(device).frozen()
        return cls(segmenter, names, device, half, weights.reliability, weights.seen, propagation)


@dataclass(frozen=True)
class SegmenterSource:
    """What a worker needs to load the model."""

    weights: Path
    image_size: int | None
    half: bool
    fallback: bool
    memory: bool

    def __call__(self, device: str) -> Segmenting:
        weights, memory_of = load_sam2(self.weights, self.image_size), self.weights if self.memory else None
        return Segmenting.of(weights, device, self.half, self.fallback, memory_of)


@dataclass(frozen=True)
class About:
    """What accompanies a case's labels: the manifest's entry, and ``warnings`` for the reader."""

    decided: Decided
    warnings: list[str]


def about_case(patient: Patient, findings: SliceFindings | None, novelty: Novelty | None) -> About:
    """Return what the reader must know of a case, from the findings in its slices and its distance from the
    training."""
    decided: Decided = {}
    warnings = []
    if findings is not None:
        voxel_ml = float(np.prod(patient.spacing_mm)) / 1000
        shown, outside = findings.shown * voxel_ml, findings.outside * voxel_ml
        decided["outside_the_lungs_ml"] = round(outside, 3)
        if outside > MUCH_OUTSIDE * shown:
            warnings.append(
                f"{outside:.1f} of the {shown:.1f} ml that the model showed lay more than {NEAR_MM:g} mm outside the "
                "lungs, and were removed; check the lung mask (planewise ild lungs, --lungs)"
            )
    if novelty is not None:
        decided["novelty"] = {
            "intensities": round(novelty.intensities, 3),
            "embedding": round(novelty.embedding, 3),
            "thickness_mm": round(novelty.thickness_mm, 4),
        }
        if far := novelty.warnings():
            warnings.append(f"is far from what the model was trained on, so its results may be wrong: {'; '.join(far)}")
    return About(decided | ({"warnings": warnings} if warnings else {}), warnings)


def segment_patient(
    segmenting: Segmenting, patient: Patient, given: list[Prompt], options: IldPredict
) -> tuple[np.ndarray, str, SliceFindings | None, Novelty | None]:
    """Return the labels of a patient's slices, what they started from, the findings in single slices if there were no
    boxes, and the patient's distance from the training if that and the lungs are known.
    """
    import torch

    tracking = PropagationOptions(margin=options.bbox_shift, split=options.components == "all")
    organ = patient.organ if options.prompts in AUTOMATIC else None
    slices = len(patient.images) if organ is None else int(organ.any(axis=(1, 2)).sum())  # only lungs are searched
    total = 2 * slices if options.prompts == "auto" else slices  # each slice separately, and then along z
    with (
        progress(patient.case, total, unit="slices") as advance,
        torch.autocast(segmenting.device.partition(":")[0], torch.bfloat16, enabled=segmenting.half),
    ):
        encoder = Encoder(segmenting.segmenter, patient.images, options.cache_slices)
        novelty = None
        if segmenting.seen is not None and patient.organ is not None:
            novelty = novelty_of(encoder, patient.organ, patient.spacing_mm[0], segmenting.seen)
        segmented = _segment(segmenting, encoder, patient, given, options, tracking, advance)
        advance(total)  # objects need not reach every slice
        return *segmented, novelty


def _segment(
    segmenting: Segmenting,
    encoder: Encoder,
    patient: Patient,
    given: list[Prompt],
    options: IldPredict,
    tracking: PropagationOptions,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, str, SliceFindings | None]:
    """See ``segment_patient``."""
    consecutive = np.diff(patient.kept) == 1
    if options.prompts in AUTOMATIC:
        if patient.organ is None:
            raise PlanewiseError(
                "has no lungs to search in: prepare it again, with --lungs if need be, or give the CT volume"
            )
        place = Place(patient.organ, near_lungs(patient.organ, patient.spacing_mm))
        if options.prompts == "lungs":
            findings = find_in_slices(encoder, place, tracking, False, advance, segmenting.reliability)
            return findings.labels, "each slice separately", findings
        labels, findings = segment_within(
            encoder, place, consecutive, tracking, advance, segmenting.reliability, segmenting.propagation
        )
        return labels, "no drawn boxes", findings
    if options.prompts != "truth":
        prompts = _in_kept(given, patient)
    elif patient.labels is None:
        raise PlanewiseError("has no truth to take boxes from; give --truth or --prompts FILE")
    else:
        prompts = prompts_from_truth(patient.labels * is_object(patient.labels), options.components)
    started_from = f"{len(prompts)} boxes from {prompts_note(options)}"
    return segmenting.propagation(encoder, consecutive, prompts, tracking, advance), started_from, None


def _in_kept(prompts: list[Prompt], patient: Patient) -> list[Prompt]:
    """Return prompts with slice numbers that count the patient's kept slices."""
    place = {int(z): i for i, z in enumerate(patient.kept)}
    return [Prompt(p.label, place[p.z], p.box) for p in prompts if p.z in place]
