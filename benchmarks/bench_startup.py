"""Start-up: how long the command line takes to answer, beside importing torch alone. Medians of wall seconds.

python benchmarks/bench_startup.py [--tiny]
"""

import statistics
import subprocess
import sys
import time

from machine import TINY, describe

REPEATS = 1 if TINY else 7
COMMANDS = {
    "planewise --help": ["-m", "planewise", "--help"],
    "planewise mito predict --help": ["-m", "planewise", "mito", "predict", "--help"],
    "planewise compare --help": ["-m", "planewise", "compare", "--help"],
    "import torch": ["-c", "import torch"],
}


def seconds_of(arguments: list[str]) -> float:
    """Return the wall seconds of one run."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds_of(arguments))
    print(f"start-up, {describe()}")
    for name, values in times.items():
        print(f"  {name:<32}{statistics.median(values):6.2f} s")
