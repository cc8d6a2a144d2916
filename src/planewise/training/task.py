"""The interface between the training loop and a model with its data."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]


class Task(Protocol):
    """A network, its training samples, and how it is trained and validated on them."""

    @property
    def network(self) -> nn.Module:
        """The network to train; parameters without gradients stay unchanged."""
        ...

    def sample(self, index: int) -> Any:
        """Return the ``index``-th training sample: a function of the seed and the index alone."""
        ...

    def collate(self, samples: list[Any]) -> Batch:
        """Return the batch of some samples: tensors with the batch axis first."""
        ...

    def train_mode(self) -> None:
        """Put the network into training mode, except its frozen parts."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return scalar loss terms of a batch, among them ``total``; ``network`` is ``self.network``, wrapped."""
        ...

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return metrics on validation data: ``loss``, and ``score`` (higher is better) if there is anything to score.

        Without an object in the validation data there is no score, so that predicting nothing cannot count as the best.
        """
        ...


def score_before(task: Task, device: str) -> dict[str, float]:
    """Return the network's validation score before the training."""
    task.network.to(device)
    return task.validate(torch.device(device))
