import pytest
import torch

from planewise.models.folding import fold_batch_norms
from planewise.models.panoptic_deeplab import build

SMALL = pytest.mark.parametrize("name", ["mitonet_small", "mitonet_small_unet32"])


@SMALL
def test_folding_changes_nothing_but_the_batch_norms(name):
    torch.manual_seed(0)
    network = build(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
    network.eval()
    x = torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        before = network(x)
        after = fold_batch_norms(network)(x)
    for key in before:
        assert torch.allclose(before[key], after[key], rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.encoder.modules())


@SMALL
def test_the_folded_network_is_fully_trainable(name):
    torch.manual_seed(0)
    network = fold_batch_norms(build(name)).train()
    outputs = network(torch.randn(2, 1, 64, 64))
    sum(value.square().mean() for key, value in outputs.items() if key != "point_coords").backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []
