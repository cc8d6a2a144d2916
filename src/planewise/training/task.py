"""What the training loop must know of a model and its data."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]


class Task(Protocol):
    """A network, its training samples, and how it is trained and validated on them."""

    @property
    def network(self) -> nn.Module:
        """The network to train; its parameters that need no gradient stay as they are."""
        ...

    def sample(self, index: int) -> Any:
        """Return the ``index``-th training sample: a function of the seed and the index alone."""
        ...

    def collate(self, samples: list[Any]) -> Batch:
        """Return the batch of some samples: tensors with the batch axis first."""
        ...

    def train_mode(self) -> None:
        """Put the network into training mode, all but its frozen parts."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return scalar loss terms of a batch, among them ``total``; ``network`` is ``self.network``, wrapped."""
        ...

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return metrics on validation data: ``loss``, and ``score``, of which more is better, if there is anything to
        score: with no object in the validation data, a model that predicts nothing must not count as the best.
        """
        ...


def score_before(task: Task, device: str) -> dict[str, float]:
    """Return what the network scores on the validation data before it is trained."""
    task.network.to(device)
    return task.validate(torch.device(device))
