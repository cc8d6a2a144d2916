"""What a worker process holds: its GPU, where there are enough, and what it has loaded for its tasks."""

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from planewise.volumes.machine import machine_cores


class Source(Protocol):
    """Makes what work needs loaded, on a device (cpu, cuda:1); in other processes one that is equal to this does."""

    def __call__(self, device: str) -> Any: ...


@dataclass(frozen=True)
class Loading:
    """What a worker must know to load what its work needs.

    ``device``: cpu, cuda or mps; ``threads``: that it may compute with, None for PyTorch's own choice.
    """

    source: Source
    device: str
    threads: int | None = None


class Worker:
    """What a process that does work has: it belongs to the object that stands for the process, and ends with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a dask worker may have several threads
        self._loading: Loading | None = None
        self._loaded: Any = None
        self._gpu: TakenGpu | None = None

    @classmethod
    def of(cls, process: object) -> "Worker":
        """Return what ``process`` has: a process of multiprocessing, or a worker of dask."""
        worker: Worker = vars(process).setdefault("_planewise", cls())
        return worker

    def loaded(self, loading: Loading, tell: Callable[[str], None] = lambda line: None) -> Any:
        """Return what ``loading.source`` makes; it is made once. ``tell``: called if a GPU has to be shared."""
        with self._lock:
            if loading != self._loading:
                self._loading = self._loaded = None  # the one before is let go first
                device = loading.device
                if loading.threads is not None:
                    _compute_with(loading.threads)
                if device == "cuda":
                    if self._gpu is None:
                        self._gpu = take_gpu(gpus())
                        if self._gpu.shared:
                            tell(f"shares {self._gpu.device} with another worker: its machine has no GPU left")
                    device = self._gpu.device
                self._loaded = loading.source(device)
                self._loading = loading
            return self._loaded


def _compute_with(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def threads_of_each(workers: int, device: str) -> int:
    """Return how many threads each of ``workers`` on this machine computes with: OMP_NUM_THREADS, or its share."""
    share = max(1, machine_cores() // workers) if device == "cpu" else 1
    return int(os.environ.get("OMP_NUM_THREADS", share))


# ---- GPUs


@dataclass(frozen=True)
class TakenGpu:
    """A GPU that this process has until it ends; ``shared``: with others; ``lock``: the open file that reserves it."""

    device: str
    shared: bool
    lock: int


def gpus() -> list[str]:
    """Return the ids of the GPUs that this process sees, in PyTorch's order; they are the same in every process."""
    import torch

    return [str(torch.cuda.get_device_properties(place).uuid) for place in range(torch.cuda.device_count())]


def take_gpu(ids: list[str], folder: Path | None = None) -> TakenGpu:
    """Take the first GPU that no other worker on this machine has, or the one that the fewest have.

    Workers agree by locks, which end with their process however that ends, on files in ``folder``: by default one of
    this user's in the system's temporary folder. So they need not have been started together.
    """
    import fcntl  # which not every system has

    folder = folder or Path(tempfile.gettempdir()) / f"planewise-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for turn in count():
        for place, name in enumerate(ids):
            lock = os.open(folder / f"{name}.{turn}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return TakenGpu(f"cuda:{place}", turn > 0, lock)
    raise AssertionError("unreachable")
