"""Estimates the number of training steps that fit into a given time, from the time of the first few."""

import copy
import time
from collections.abc import Callable

import torch

from planewise.training.loop_options import LoopOptions
from planewise.training.task import Task

WARM = 2  # steps that are not timed: the first ones include initialisation
TIMED = 6


def steps_within(
    seconds: float, task: Task, options: LoopOptions, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return how many steps of ``task``, with a validation at every interval, take ``seconds``; at least 1.

    They are timed on a copy of the network, on one device. Loading runs in parallel, and counts only if it takes longer
    than the step itself. ``clock``: seconds.
    """
    device = torch.device(options.accelerator)
    task.network.to(device)
    task.train_mode()
    network = copy.deepcopy(task.network)
    half = options.precision == "bf16"
    preparing = learning = 0.0
    for step in range(WARM + TIMED):
        begun = clock()
        first = step * options.batch_size
        batch = task.collate([task.sample(first + place) for place in range(options.batch_size)])
        ready = clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            total = task.loss(network, {name: tensor.to(device) for name, tensor in batch.items()})["total"]
        total.backward()
        float(total.detach())  # waits for a GPU
        if step >= WARM:
            preparing += ready - begun
            learning += clock() - ready
    begun = clock()
    task.validate(device)
    validating = clock() - begun
    loaded = max(learning, preparing / options.num_workers) if options.num_workers else learning + preparing
    return max(1, int(seconds / (loaded / TIMED + validating / options.checkpoint_interval)))
