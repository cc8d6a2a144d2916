"""Segmenting a patient: its progress ends with the patient, whatever was found."""

from pathlib import Path

import numpy as np
import pytest
import torch

from planewise.apps.ild.options import IldPredict
from planewise.apps.ild.segmenting import Segmenting, segment_patient
from planewise.data.prepared import Patient
from planewise.inference.prompts import Prompt
from planewise.progress import Progress, reported_to
from planewise.volumes.volume import Volume

SLICES, WITH_LUNGS = 12, 5


class AllOrNothing(torch.nn.Module):
    """Its only class fills every box, or is in none."""

    def __init__(self, found):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(1))
        self.classes, self.found = {1: 0}, found

    def encode(self, slices):
        return [slices]

    def decode(self, embeddings, boxes, classes):
        return self.decode_rated(embeddings, boxes, classes)[:2]

    def decode_rated(self, embeddings, boxes, classes):
        _, height, width = embeddings[0].shape
        logit = 5.0 if self.found else -5.0
        masks = torch.full((*boxes.shape[:2], height, width), -1.0)
        for i, j in np.ndindex(*boxes.shape[:2]):
            x0, y0, x1, y1 = (boxes[i, j] * torch.tensor([width, height] * 2)).round().int().tolist()
            masks[i, j, y0:y1, x0:x1] = logit
        return masks, torch.full(boxes.shape[:2], logit), torch.full(boxes.shape[:2], 0.7)


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize(
    ("prompts", "total"), [("auto", 2 * WITH_LUNGS), ("lungs", WITH_LUNGS), ("boxes.csv", SLICES), ("truth", SLICES)]
)
def test_progress_ends_at_all_slices_that_are_searched_and_never_passes_them(prompts, total, found):
    organ = np.zeros((SLICES, 64, 64), np.uint8)
    organ[4 : 4 + WITH_LUNGS, 16:48, 16:48] = 1
    geometry = Volume(organ, (1.0, 1.0, 1.0), "mm", has_origin=True, has_direction=True)
    patient = Patient("ct", np.zeros_like(organ), organ, np.arange(SLICES), geometry, organ)
    segmenting = Segmenting(AllOrNothing(found), {1: "lesion"}, "cpu", False, {}, None)
    options = IldPredict(input=Path("ct"), trained_model="m", prompts=prompts)
    seen: list[Progress] = []
    with reported_to(seen.append):
        labels, *_ = segment_patient(segmenting, patient, [Prompt(1, 5, (16, 16, 48, 48))], options)
    assert labels.any() == found
    done = [state.done for state in seen]
    assert {state.total for state in seen} == {total}
    assert done == sorted(set(done))
    assert done[-1] == total
