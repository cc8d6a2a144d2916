"""The machine that a benchmark runs on, the memory that it takes, and whether it runs in the smallest size."""

import os
import platform
import re
import resource
import sys
from pathlib import Path

TINY = "--tiny" in sys.argv  # the smallest size, to see that the benchmark still runs; its numbers mean nothing
WORDS = [word for word in sys.argv[1:] if word != "--tiny"]


def describe() -> str:
    """Return the processor, the number of its cores, and the versions that matter."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.is_file() else []
    processor = models[0].partition(":")[2].strip() if models else platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{os.cpu_count()} cores of {processor}, {gpu}, {versions}"


def peak_gigabytes() -> float:
    """Return the most memory that this process has had.

    It is the figure of /proc on Linux, since that of getrusage includes the peak of the parent process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            return int(match[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def peak_memory() -> str:
    """Return the most memory that this process has had, in words."""
    return f"peak memory {peak_gigabytes():.2f} GB"
