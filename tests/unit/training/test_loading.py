import numpy as np
import pytest
import torch

from planewise.errors import PlanewiseError
from planewise.training.loading import batches_on, loader_of
from planewise.training.sampling import SampleRange

CPU = torch.device("cpu")
SAMPLES = SampleRange(1, 3, 3, 0, 1)  # of the second and the third step: 3 to 8


class Squares:
    """A task whose samples are the squares of their numbers; one may be damaged."""

    damaged = -1

    def sample(self, index):
        if index == self.damaged:
            raise PlanewiseError(f"slice {index}: is damaged")
        return np.float32(index**2)

    def collate(self, samples):
        return {"values": torch.tensor(np.stack(samples))}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_order_of_the_samples(workers):
    batches = batches_on(CPU, loader_of(Squares(), SAMPLES, 3, workers, CPU))
    assert [batch["values"].tolist() for batch in batches] == [[9, 16, 25], [36, 49, 64]]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_one_line_also_of_a_worker(workers):
    task = Squares()
    task.damaged = 5
    with pytest.raises(PlanewiseError, match=r"^slice 5: is damaged$"):
        list(batches_on(CPU, loader_of(task, SAMPLES, 3, workers, CPU)))
