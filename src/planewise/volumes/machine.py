"""The memory and the cores of the machine that this process may use."""

import os
from functools import cache
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
CORES = "PLANEWISE_CORES"  # environment variable: how many cores a process may use that shares them with others of ours


@cache  # it is asked for each slice that is read, and takes as long as reading a small one
def machine_memory() -> int:
    """Return the bytes of memory that this process may have: the machine's, or its control group's if fewer."""
    return min([psutil.virtual_memory().total, *_limits(CGROUPS, Path("/proc/self/cgroup"))])


def machine_cores() -> int:
    """Return how many cores this process may use: the machine's, or those it was bound to (taskset, SLURM); a worker's
    share of them.
    """
    if (share := os.environ.get(CORES, "")).isdecimal() and int(share):
        return int(share)
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_of_each(processes: int) -> int:
    """Return how many cores each of ``processes`` may use."""
    return max(1, machine_cores() // processes)


def use_cores(count: int) -> None:
    """Have this process, and those that it starts, use ``count`` cores."""
    os.environ[CORES] = str(count)


PROCESSES = min(2, machine_cores())  # default number of processes that prepare data


def _limits(root: Path, membership: Path) -> list[int]:
    """Return the memory limits of a process's control groups: for version 2 also those of all groups above."""
    limits = []
    for line in membership.read_text("utf-8").splitlines() if membership.is_file() else []:
        number, controllers, group = line.split(":", 2)
        if number == "0":
            inner = root / group.lstrip("/")
            files = [folder / "memory.max" for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
        elif "memory" in controllers.split(","):
            files = [root / "memory" / part / "memory.limit_in_bytes" for part in (group.lstrip("/"), "")]
        else:
            continue
        contents = (file.read_text("utf-8").strip() for file in files if file.is_file())
        limits += [int(text) for text in contents if text.isdigit()]  # "max" is none
    return limits
