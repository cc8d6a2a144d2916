import pytest
import torch
from torch import nn

from planewise.training.averaging import AveragedWeights


def set_weight(network, value):
    with torch.no_grad():
        network.weight.fill_(value)


def test_the_average_of_a_few_steps_by_hand():
    network = nn.Linear(1, 1, bias=False)
    set_weight(network, 0.0)
    averaged = AveragedWeights(network, 0.6)
    set_weight(network, 10.0)
    averaged.update(network, 1)  # forgets all but 1 / 10
    assert averaged.values["weight"].item() == pytest.approx(9.0)
    set_weight(network, 20.0)
    averaged.update(network, 91)  # 91 / 100 would be kept, but no more than 0.6 is
    assert averaged.values["weight"].item() == pytest.approx(0.6 * 9 + 0.4 * 20)


def test_the_network_has_its_weights_back_afterwards():
    network = nn.BatchNorm1d(2)
    averaged = AveragedWeights(network, 0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.num_batches_tracked.fill_(7)
    with averaged.in_place_of(network):
        assert network.weight.tolist() == [1.0, 1.0]
        assert network.num_batches_tracked == 0
    assert network.weight.tolist() == [3.0, 3.0]
    assert network.num_batches_tracked == 7


def test_it_goes_on_from_a_checkpoint():
    network = nn.Linear(1, 1, bias=False)
    averaged = AveragedWeights(network, 0.9)
    averaged.load({"weight": torch.tensor([[5.0]])})
    with averaged.in_place_of(network):
        assert network.weight.item() == 5.0
