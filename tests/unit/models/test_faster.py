import pytest
import torch
from torch.nn import functional as F

from planewise.models.faster import faster
from planewise.models.sam2 import BoxSegmenter, build_sam2


@pytest.mark.parametrize("size", ["mini", "tiny"])
def test_freezing_changes_nothing_but_the_rounding(size):
    torch.manual_seed(0)
    network = build_sam2(size, 128)
    segmenter = BoxSegmenter(network).eval()
    slices, boxes = torch.rand(2, 100, 90), torch.tensor([[[0.1, 0.2, 0.6, 0.7]]] * 2)
    with torch.inference_mode():
        before, _ = segmenter(slices, boxes)
        after, _ = segmenter.frozen()(slices, boxes)
    for a, b in zip(before, after):
        assert torch.allclose(a, b, atol=1e-4)


def test_linear_layers_are_replaced_and_compute_the_same():
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3)
    network = torch.nn.Sequential(layer, torch.nn.ReLU())
    x = torch.randn(4, 5)
    faster(network)
    assert type(layer) is not torch.nn.Linear
    with torch.inference_mode():
        assert torch.allclose(network(x), F.relu(F.linear(x, layer.weight, layer.bias)), atol=1e-6)
