from dataclasses import replace

import numpy as np
import pytest
import torch

from planewise.data.intensity import IntensityRange
from planewise.inference.planes import (
    NetworkPredictor,
    SliceOptions,
    choose_planes,
    pixel_note,
    plane_outputs,
    prepared,
)
from planewise.models.folding import fold_batch_norms
from planewise.models.panoptic_deeplab import build
from planewise.progress import WARNING
from planewise.volumes.slices import PLANES, as_stack
from planewise.volumes.volume import Volume

OPTIONS = SliceOptions(IntensityRange(0.0, 255.0), 0.5, 0.2, 16)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return fold_batch_norms(build("mitonet_small").eval())


def run(network, voxels, plane="xy", options=OPTIONS, batch_size=4, half=False):
    return list(plane_outputs(NetworkPredictor(network, half), voxels, plane, options, batch_size, lambda steps: None))


@pytest.mark.parametrize("plane", PLANES)
def test_batches_give_what_slices_give(network, plane):
    voxels = np.random.default_rng(0).integers(0, 255, (10, 36, 52), np.uint8)
    result = run(network, voxels, plane)
    stack = as_stack(voxels, plane)
    assert len(result) == len(stack)
    for slice_, output in zip(stack, result):
        with torch.inference_mode():
            alone = network(torch.from_numpy(prepared(slice_[None], OPTIONS)[:, None]), 2, False)
        assert output.logits == pytest.approx(alone["sem_logits"][0, 0].numpy(), abs=1e-4)
        assert output.offsets == pytest.approx(alone["offsets"][0].numpy(), abs=1e-4)


def test_slices_of_one_value_are_not_predicted(network, monkeypatch):
    voxels = np.random.default_rng(0).integers(0, 255, (6, 32, 48), np.uint8)
    voxels[0] = 0
    voxels[3:5] = 77
    shapes = []
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda x, *rest: shapes.append(len(x)) or forward(x, *rest))
    for options in (OPTIONS, SliceOptions(IntensityRange(0.0, 255.0), 0.5, 0.2, 16, downsampling=2)):
        shapes.clear()
        result = run(network, voxels, options=options)
        assert sum(shapes) == 3
        assert len({output.logits.shape for output in result}) == 1
        assert len({output.offsets.shape for output in result}) == 1
        assert [bool(np.isfinite(output.logits).all()) for output in result] == [False, True, True, False, False, True]


def test_half_precision_is_near(network):
    voxels = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
    for full, half in zip(run(network, voxels), run(network, voxels, half=True)):
        assert half.logits.dtype == np.float32
        assert half.logits == pytest.approx(full.logits, abs=0.1)


@pytest.mark.parametrize("asked", [None, ("xy",)])
def test_slices_of_a_tilted_gantry_are_said_to_be_taken_as_they_are(asked):
    volume = Volume(np.zeros((4, 5, 6)), (5.0, 2.0, 2.0), "mm")
    planes, why = choose_planes(volume, None, asked)
    assert (planes, "tilted" in why) == (("xy",), False)
    planes, why = choose_planes(replace(volume, tilt=(-1.25, 0.0)), None, asked)
    assert planes == ("xy",)
    assert "; the gantry was tilted by 14.0 degrees: its slices are taken as they are" in why


def test_spacing_that_a_file_states_in_mm_is_said_in_nm():
    volume = Volume(np.zeros((4, 4, 4), np.uint8), (8e-6,) * 3, "mm")
    assert "(spacing 8 x 8 x 8 nm; " in choose_planes(volume, None, None)[1]
    assert "(spacing 2 x 1 x 1 mm; " in choose_planes(replace(volume, spacing=(2.0, 1.0, 1.0)), None, None)[1]


@pytest.mark.parametrize(
    ("spacing", "unit", "trained", "scale", "printed"),
    [
        ((5.0, 5.0, 5.0), "nm", (5.0, 5.0), 1, ""),
        ((5.0, 5.0, 5.0), "nm", (7.0, 8.0), 1, ""),  # 1.4 times
        ((5.0, 5.0, 5.0), "pixel", (50.0, 50.0), 1, ""),
        ((5.0, 5.0, 5.0), "nm", None, 1, ""),
        ((0.005, 0.005, 0.005), "um", (16.0, 20.0), 1, "5 nm, those of the training 16 to 20 nm: objects look 3.2 "
         "times larger than in the training; resample the volume, give --downsampling 4, or train"),
        ((5.0, 5.0, 5.0), "nm", (20.0, 20.0), 4, ""),
        ((5.0, 5.0, 5.0), "nm", (5.0, 5.0), 4, "20 nm at --downsampling 4, those of the training 5 nm: objects look 4 "
         "times smaller than in the training; resample the volume, give --downsampling 1, or train"),
        ((50.0, 40.0, 40.0), "nm", (8.0, 8.0), 1, "40 nm, those of the training 8 nm: objects look 5 times smaller "
         "than in the training; resample the volume, or train"),
        ((40.0, 40.0, 5.0), "nm", (5.0, 5.0), 1, "5 to 40 nm, those of the training 5 nm: objects look stretched by up "
         "to 8; give planes with square pixels (--axes)"),
        ((20.0, 20.0, 2.5), "nm", (5.0, 5.0), 2, "5 to 40 nm at --downsampling 2, those of the training 5 nm: objects "
         "look stretched by up to 8"),
        ((5.0, 5.0, 5.0), "um", (5.0, 5.0), 1, "objects look 1,000 times smaller than in the training: is the unit "
         "wrong? The unit is that of a sidecar (its "),
        ((40.0, 7.0, 5.0), "nm", (5.0, 5.0), 1, ""),  # 1.4 times
        ((40.0, 40.0, 5.0), "nm", (5.0, 40.0), 1, ""),
    ],
)  # fmt: skip
def test_pixels_unlike_those_of_the_training_are_said(spacing, unit, trained, scale, printed):
    volume = Volume(np.zeros((4, 4, 4), np.uint8), spacing, unit)
    note = pixel_note(volume, ("xy",), trained, scale)
    assert printed in note
    assert bool(note) == bool(printed)
    assert note.startswith(WARNING) == ("is the unit wrong?" in note)
