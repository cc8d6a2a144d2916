"""A running average of the weights, steadier than the last (Polyak and Juditsky 1992, doi:10.1137/0330046)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """The exponential average of a network's weights over the steps, and of the statistics of its batch norms.

    After n steps its decay is at most n / (n + 9), so that the random start soon loses its influence.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps, the first of which is 1."""
        share = 1 - min(self.decay, step / (step + 9))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, share)
            else:
                self.values[name].copy_(value)

    def load(self, values: dict[str, Tensor]) -> None:
        """Go on from ``values``, of a checkpoint."""
        for name, value in values.items():
            self.values[name].copy_(value)

    @contextmanager
    @torch.no_grad()
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """Give ``network`` the averaged weights within the context, and its own again afterwards."""
        state = network.state_dict()
        kept = {name: value.clone() for name, value in state.items()}
        try:
            for name, value in state.items():
                value.copy_(self.values[name])
            yield
        finally:
            for name, value in state.items():
                value.copy_(kept[name])
