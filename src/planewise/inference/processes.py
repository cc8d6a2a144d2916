"""Predict slices in several processes, one for each device."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError
from planewise.inference.gathering import SliceOutputs
from planewise.inference.planes import NetworkPredictor, SliceOptions, prepared
from planewise.processes import WorkerPool

DIED = "a worker process died (killed, or out of memory); a smaller --batch_size or fewer --devices need less"


class WorkerDied(PlanewiseError):
    """A process of a pool is gone, and with it the pool."""


class DevicePool(WorkerPool):
    """Processes that each have a device of their own; if one of them dies, so does the pool: ``WorkerDied``.

    ``initialise`` is called in each with its device and ``arguments``.
    """

    def __init__(self, count: int, device: str, initialise: Any, *arguments: Any) -> None:
        devices = get_context("spawn").Queue()
        for place in range(count):
            devices.put(f"{device}:{place}" if device == "cuda" else device)
        threads = max(1, (os.cpu_count() or 1) // count) if device == "cpu" else 1
        super().__init__(count, _start, devices, threads, initialise, arguments)


def result_of(future: "Future[Any]") -> Any:
    """Return what a process made. Raises WorkerDied."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise WorkerDied(DIED) from error


def _start(devices: Any, threads: int, initialise: Any, arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", threads)))
    initialise(devices.get(), *arguments)


@dataclass(frozen=True)
class NetworkSource:
    """Where a process gets the network from; it is loaded once, when it is first used. ``threads``: to compute with."""

    weights: Path
    architecture: str | None
    device: str
    half: bool
    threads: int

    def __call__(self) -> NetworkPredictor:
        return _loaded(self)


@lru_cache(maxsize=1)
def _loaded(source: NetworkSource) -> NetworkPredictor:
    import torch

    from planewise.models.weights import inference_network

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", source.threads)))
    return NetworkPredictor(inference_network(source.weights, source.architecture, source.device), source.half)


class PoolPredictor:
    """A ``SlicePredictor`` that has batches predicted by a pool whose processes ran ``load_predictor``."""

    def __init__(self, pool: DevicePool) -> None:
        self._pool = pool

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        """See ``SlicePredictor``."""
        waiting: deque[Future[list[SliceOutputs]]] = deque()
        for slices in batches:
            waiting.append(self._pool.submit(_predict_batch, np.ascontiguousarray(slices), options))
            if len(waiting) > 2 * self._pool.count:
                yield result_of(waiting.popleft())
        while waiting:
            yield result_of(waiting.popleft())


_predictor: NetworkPredictor  # of this process, once it is a worker


def load_predictor(device: str, weights: Path, architecture: str | None, half: bool) -> None:
    """Make this process a worker of a ``PoolPredictor``."""
    global _predictor
    from planewise.models.weights import inference_network

    _predictor = NetworkPredictor(inference_network(weights, architecture, device), half)


def _predict_batch(slices: np.ndarray, options: SliceOptions) -> list[SliceOutputs]:
    return _predictor.outputs(prepared(slices, options), slices.shape[1:], options.downsampling)
