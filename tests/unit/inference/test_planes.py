import numpy as np
import pytest
import torch

from planewise.data.intensity import IntensityRange
from planewise.inference.planes import NetworkPredictor, SliceOptions, plane_outputs, prepared
from planewise.models.panoptic_deeplab import build, fold_batch_norms
from planewise.volumes.slices import PLANES, as_stack

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
    found = run(network, voxels, plane)
    stack = as_stack(voxels, plane)
    assert len(found) == len(stack)
    for slice_, output in zip(stack, found):
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
        found = run(network, voxels, options=options)
        assert sum(shapes) == 3
        assert len({output.logits.shape for output in found}) == 1
        assert len({output.offsets.shape for output in found}) == 1
        assert [bool(np.isfinite(output.logits).all()) for output in found] == [False, True, True, False, False, True]


def test_half_precision_is_near(network):
    voxels = np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8)
    for full, half in zip(run(network, voxels), run(network, voxels, half=True)):
        assert half.logits.dtype == np.float32
        assert half.logits == pytest.approx(full.logits, abs=0.1)
