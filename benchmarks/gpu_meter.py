"""The cost of work on a GPU: seconds, the share of them in which the GPU is busy, and its memory."""

import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import IO, Self

import torch
from machine import peak_gigabytes

from planewise.progress import Progress
from planewise.volumes.machine import machine_cores

QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "100")


@dataclass(frozen=True)
class Cost:
    """``busy``: the share of the time in which a kernel ran, None where nvidia-smi gave no sample; on a CPU the share
    of its cores' time. ``gigabytes``: most GB that PyTorch reserved on the GPU; on a CPU the process's peak. ``used``:
    most GB of the GPU in use by all processes.
    """

    seconds: float
    busy: float | None
    gigabytes: float
    used: float | None

    @property
    def cells(self) -> tuple[str, str]:
        """The busy share and the memory as cells of a table."""
        return "-" if self.busy is None else f"{100 * self.busy:.0f} %", f"{self.gigabytes:.1f}"


class Meter:
    """Measures the work in its block: ``with Meter("cuda") as meter: ...``, then ``meter.cost``."""

    cost: Cost

    def __init__(self, device: str) -> None:
        self.on_gpu = device == "cuda"

    def __enter__(self) -> Self:
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self._samples = tempfile.TemporaryFile("w+")
            self._sampler = _sampler(self._samples)
        else:
            forget = Path("/proc/self/clear_refs")
            if forget.exists():
                forget.write_text("5")  # the peak so far
        self._cpu, self._started = sum(os.times()[:4]), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.on_gpu and kind is None:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._started
        if not self.on_gpu:
            of_cores = (sum(os.times()[:4]) - self._cpu) / seconds / machine_cores()
            self.cost = Cost(seconds, of_cores, peak_gigabytes(), None)
            return
        if self._sampler is not None:
            self._sampler.terminate()
            self._sampler.wait()
        self._samples.seek(0)
        busy, used = read_samples(self._samples.read())
        self._samples.close()
        self.cost = Cost(seconds, busy, torch.cuda.max_memory_reserved() / 1e9, used)


class OfSteps:
    """Measures the steps of a training as its ``progress``, without what comes before and the validation at the end.

    ``with OfSteps("cuda") as steps: ...(progress=steps)``, then ``steps.cost``.
    """

    def __init__(self, device: str) -> None:
        self._meter, self._first, self._running = Meter(device), 0, False

    def __enter__(self) -> Self:
        return self

    def __call__(self, state: Progress) -> None:
        if state.what != "training":
            return
        if not self._first:
            self._first, self._running = state.done, True
            self._meter.__enter__()
        elif self._running and state.done >= max(state.total - 1, self._first + 1):
            self.__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running:
            self._running = False
            self._meter.__exit__(kind, error, traceback)

    @property
    def cost(self) -> Cost:
        """The cost of the steps."""
        return self._meter.cost


def _sampler(output: IO[str]) -> subprocess.Popen | None:
    """Start nvidia-smi on the GPU that this process uses; None where there is none to start."""
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
    try:
        return subprocess.Popen([*QUERY, "-i", name], stdout=output, stderr=subprocess.DEVNULL)
    except OSError:
        return None


def read_samples(text: str) -> tuple[float | None, float | None]:
    """Return the mean busy share and the largest memory, in GB, of lines such as ``87, 10240`` (%, MiB)."""
    samples = [(int(a), int(b)) for a, b in re.findall(r"^\s*(\d+),\s*(\d+)\s*$", text, re.M)]
    if not samples:
        return None, None
    return fmean(busy for busy, _ in samples) / 100, max(used for _, used in samples) * 2**20 / 1e9
