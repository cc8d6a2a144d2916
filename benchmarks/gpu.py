"""Measure on this machine's GPU what the documentation says of GPUs, and write it as docs/gpu.md.

    python benchmarks/gpu.py WORK                        all; about two hours, and 20 GB of disk in WORK
    python benchmarks/gpu.py WORK --sections ct em       these, even if they are measured already
    python benchmarks/gpu.py WORK --device cpu --quick   the smallest sizes, into WORK/gpu.md: only to see that it runs

Everything it works on is synthetic and made in WORK; weights are random, which cost what others do, or trained here.
What is measured is kept in WORK/results.json and written after each section: a run that was stopped goes on.
"""

import argparse
import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from gpu_sections import SECTIONS, Bench
from machine import describe

from planewise.device import choose_device
from planewise.errors import PlanewiseError

PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
RESULTS = "results.json"
HEADING = """# On a GPU

Everything on this page is measured and written by one command, on a machine with a GPU:

```sh
python benchmarks/gpu.py WORK    # a folder with 20 GB of space
```

Data are synthetic and made there. Busy is the mean of what nvidia-smi samples ten times a second: the share of the time
in which the GPU computes anything. GB are what PyTorch reserves on the GPU at most.
"""
NOT_MEASURED = "Not measured: no GPU was at hand."


@dataclass
class Results:
    """What is measured so far: the ``machine``, whether in the smallest sizes, and the tables by section."""

    machine: str
    quick: bool
    tables: dict[str, str]

    @classmethod
    def read(cls, path: Path, machine: str, quick: bool) -> "Results":
        """Return the results at ``path``; of another machine, or other sizes, they are refused."""
        if not path.exists():
            return cls(machine, quick, {})
        before = cls(**json.loads(path.read_text("utf-8")))
        if (before.machine, before.quick) != (machine, quick):
            raise PlanewiseError(f"{path}: is of another run ({before.machine}); give another folder")
        return before

    def page(self) -> str:
        """Return docs/gpu.md."""
        lines = [HEADING]
        if not self.tables:
            lines += ["**Nothing is measured yet**: no GPU was at hand.\n"]
        else:
            lines += [f"Measured on {self.machine}.\n"]
        if self.quick:
            lines += ["**The smallest sizes, to see that the script runs: the numbers mean nothing.**\n"]
        for name, section in SECTIONS.items():
            lines += [f"## {section.title}\n", f"{section.about}\n", f"{self.tables.get(name, NOT_MEASURED)}\n"]
        return "\n".join(lines)


def measure(bench: Bench, names: list[str], again: bool, results: Results, page: Path) -> list[str]:
    """Measure sections, write the page after each, and return what went wrong."""
    wrong = []
    for name in names:
        if name in results.tables and not again:
            print(f"{name}: measured already", flush=True)
            continue
        print(f"{name}: {SECTIONS[name].title}", flush=True)
        try:
            results.tables[name] = SECTIONS[name].measure(bench)
        except Exception as error:  # the other sections are still wanted
            traceback.print_exc()
            wrong.append(f"{name}: {error}")
            continue
        print(results.tables[name], flush=True)
        (bench.work / RESULTS).write_text(json.dumps(vars(results), indent=1), "utf-8")
        page.write_text(results.page(), "utf-8")
    return wrong


def main() -> int:
    """Return the exit code: 1 if a section failed, 2 if this machine or the options do not allow any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=None)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    try:
        if options.device == "cpu" and not options.quick:
            raise PlanewiseError("--device cpu: would take days and say nothing of a GPU; add --quick to see it run")
        device = choose_device(options.device)
        options.work.mkdir(parents=True, exist_ok=True)
        results = Results.read(options.work / RESULTS, describe(), options.quick)
    except PlanewiseError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    page = options.work / "gpu.md" if options.quick else PAGE
    bench = Bench(options.work.resolve(), device, options.quick)
    wrong = measure(bench, options.sections or list(SECTIONS), options.sections is not None, results, page)
    for line in wrong:
        print(f"gpu.py: {line}", file=sys.stderr)
    print(f"The page is {page}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
