import pytest
import torch
from torch import nn

from planewise.training.loop_options import LoopOptions
from planewise.training.pace import TIMED, WARM, steps_within

OPTIONS = {
    "batch_size": 2, "learning_rate": 0.1, "seed": 0, "checkpoint_interval": 10, "accelerator": "cpu", "devices": 1,
    "precision": "32", "identity": {}, "iterations": 1,
}  # fmt: skip


class Timed:
    """A task that says how long things take on a clock of its own."""

    def __init__(self, sample, step, validation):
        self.network = nn.Linear(1, 1)
        self.now, self.taking, self.steps = 0.0, (sample, step, validation), 0

    def clock(self):
        return self.now

    def train_mode(self):
        self.network.train()

    def sample(self, index):
        self.now += self.taking[0] if self.steps >= WARM else 50
        return torch.ones(1)

    def collate(self, samples):
        return {"x": torch.stack(samples)}

    def loss(self, network, batch):
        self.now += self.taking[1] if self.steps >= WARM else 50
        self.steps += 1
        return {"total": network(batch["x"]).mean()}

    def validate(self, device):
        self.now += self.taking[2]
        return {"loss": 0.0}


@pytest.mark.parametrize(
    ("workers", "taking", "steps"),
    [
        (0, (0.5, 2.0, 10.0), 25),  # 2 samples, the step, and a tenth of a validation: 4 s
        (2, (0.5, 2.0, 10.0), 33),  # what is prepared meanwhile costs nothing
        (2, (4.0, 2.0, 10.0), 20),  # unless it takes longer
        (0, (100.0, 0.0, 0.0), 1),
    ],
)
def test_steps_by_hand(workers, taking, steps):
    task = Timed(*taking)
    before = task.network.weight.clone()
    assert steps_within(100, task, LoopOptions(num_workers=workers, **OPTIONS), task.clock) == steps
    assert task.steps == WARM + TIMED
    assert torch.equal(task.network.weight, before)
    assert task.network.weight.grad is None
