"""Batches: samples of a task, loaded by worker processes, on the device of a training."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from planewise.errors import PlanewiseError
from planewise.processes import SIGNALS, WARNINGS, end_by_parent_alone, shielded
from planewise.training.sampling import SampleRange
from planewise.training.task import Batch, Task


def loader_of(task: Task, samples: SampleRange, batch_size: int, num_workers: int, device: torch.device) -> DataLoader:
    """Return a loader of batches of the task's ``samples``, made by ``num_workers`` processes, for ``device``."""
    return _Loader(
        _Samples(task),
        batch_size=batch_size,
        sampler=samples,
        num_workers=num_workers,
        collate_fn=task.collate,
        pin_memory=device.type == "cuda",
        worker_init_fn=_begin_loading if num_workers else None,
    )


def batches_on(device: torch.device, loader: DataLoader) -> Iterator[Batch]:
    """Yield the loader's batches on ``device``. Raises PlanewiseError if a sample cannot be read."""
    try:
        with shielded(SIGNALS | WARNINGS):  # its workers; see _begin_loading
            batches = iter(loader)
        for batch in batches:
            yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    except PlanewiseError as error:  # one from a worker comes with its traceback as text
        raise PlanewiseError(str(error).rpartition("PlanewiseError: ")[2].strip()) from None


class _Loader(DataLoader):
    """A DataLoader that leaves it to us to say that there are more workers than cores."""

    def check_worker_number_rationality(self) -> None:
        pass


class _Samples(Dataset):
    """The task's samples by number, for DataLoader's workers."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __getitem__(self, index: int) -> Any:
        return self.task.sample(index)


def _begin_loading(worker: int) -> None:
    torch.set_num_threads(1)
    end_by_parent_alone()  # as PyTorch ends those that hang
