"""What a benchmark ran on, and the memory that it took."""

import os
import platform
import re
import resource
from pathlib import Path


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

    Linux's own figure of a process, where there is one: what getrusage says begins with the peak of the parent.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def peak_memory() -> str:
    """Return the most memory that this process has had, in words."""
    return f"peak memory {peak_gigabytes():.2f} GB"
