"""The state of a worker process: its GPU, if there are enough, and what it has loaded for its tasks."""

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getuser
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from planewise.errors import PlanewiseError
from planewise.locks import NoLocks, take_lock
from planewise.volumes.machine import cores_of_each, machine_cores, use_cores

SHARED_FOR = 100  # tasks that a worker does before it asks again who else works on its machine


class Source(Protocol):
    """Loads what work needs, on a device (cpu, cuda:1); in other processes an equal source does."""

    def __call__(self, device: str) -> Any: ...


@dataclass(frozen=True)
class Loading:
    """The parameters with which a worker loads what its work needs.

    ``device``: cpu, cuda or mps; ``threads``: that it may compute with, None for PyTorch's own choice.
    """

    source: Source
    device: str
    threads: int | None = None


class Worker:
    """The state of a process that does work; it belongs to the object that represents the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a dask worker may have several threads
        self._loading: Loading | None = None
        self._loaded: Any = None
        self._gpu: TakenGpu | None = None
        self._cores = machine_cores()
        self._tasks = count()

    @classmethod
    def of(cls, process: object) -> "Worker":
        """Return the state of ``process``: a process of multiprocessing, or a dask worker."""
        worker: Worker = vars(process).setdefault("_planewise", cls())
        return worker

    def loaded(self, loading: Loading, tell: Callable[[str], None] = lambda line: None) -> Any:
        """Return what ``loading.source`` loads, which happens once. ``tell``: called if a GPU has to be shared."""
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

    def share_cores(self, threads: Callable[[], int]) -> None:
        """Have this process use the cores of one of the ``threads`` that do work on its machine; to be called before
        each task. They are asked for before the first, and again now and then, since workers come and go."""
        if next(self._tasks) % SHARED_FOR == 0:
            use_cores(max(1, self._cores // threads()))


def _compute_with(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def threads_of_each(workers: int, device: str) -> int:
    """Return how many threads each of ``workers`` on this machine computes with: OMP_NUM_THREADS, or its share."""
    share = cores_of_each(workers) if device == "cpu" else 1
    return int(os.environ.get("OMP_NUM_THREADS", share))


# ---- GPUs


@dataclass(frozen=True)
class TakenGpu:
    """A GPU reserved for this process until it ends; ``shared``: with others; ``lock``: the open file that reserves
    it."""

    device: str
    shared: bool
    lock: int


def gpus() -> list[str]:
    """Return the ids of the GPUs that this process sees, in PyTorch's order; they are the same in every process."""
    import torch

    return [str(torch.cuda.get_device_properties(place).uuid) for place in range(torch.cuda.device_count())]


def take_gpu(ids: list[str], folder: Path | None = None) -> TakenGpu:
    """Reserve the first GPU that no other worker on this machine uses, or the one that the fewest use.

    Workers coordinate by locks on files in ``folder`` (default: a folder of this user in the system's temporary
    folder); locks end with their process, however it ends. So workers need not be started together. Raises
    PlanewiseError where that folder's file system has no locks.
    """
    if folder is None:
        user = str(os.getuid()) if hasattr(os, "getuid") else getuser()  # Windows numbers no users
        folder = Path(tempfile.gettempdir()) / f"planewise-gpus-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for turn in count():
        for place, name in enumerate(ids):
            lock = os.open(folder / f"{name}.{turn}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if take_lock(lock):
                    return TakenGpu(f"cuda:{place}", turn > 0, lock)
            except NoLocks as error:
                os.close(lock)
                raise PlanewiseError(
                    f"{folder}: its file system has no locks, by which processes share GPUs; set TMPDIR to a folder "
                    "on a disk of this machine"
                ) from error
            os.close(lock)
    raise AssertionError("unreachable")
