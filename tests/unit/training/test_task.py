import torch

from planewise.training.task import score_before


class Untrained:
    """A task whose score is the weight of its network, which it is asked for on the network's device."""

    def __init__(self):
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self.network.weight, 0.25)

    def validate(self, device):
        assert {parameter.device for parameter in self.network.parameters()} == {device}
        return {"score": float(self.network.weight.detach()), "loss": 1.0}


def test_the_score_before_a_training_is_that_of_the_network_as_it_is():
    assert score_before(Untrained(), "cpu") == {"score": 0.25, "loss": 1.0}
