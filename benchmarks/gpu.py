"""Measure this machine's GPU for the documentation, and write docs/gpu.md.

    python benchmarks/gpu.py WORK                        all sections; under an hour, 20 GB of disk in WORK
    python benchmarks/gpu.py WORK --sections ct em       these only, even if they are measured already
    python benchmarks/gpu.py WORK --device cpu --quick   the smallest sizes, into WORK/gpu.md: only to see that it runs

The data is synthetic and is made in WORK. Weights are trained here, or random, which cost the same as trained ones.
Results are kept in WORK/results.json and written row by row: a run that was stopped continues with the section it was
in.
"""

import argparse
import json
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from gpu_sections import SECTIONS, Bench
from machine import describe

from planewise.device import choose_device
from planewise.errors import PlanewiseError

PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
RESULTS = "results.json"
HEADING = """# On a GPU

One command measures the tables of this page and writes the page; a section without a table waits for the next machine
with a GPU:

```sh
python benchmarks/gpu.py WORK    # a folder with 20 GB of space
```

The command makes synthetic data in that folder. "Busy" is the share of the time in which the GPU computes anything,
the mean of ten samples a second by nvidia-smi. "GB" is the peak memory that PyTorch reserves on the GPU.
"""
NOT_MEASURED = "Not measured yet."


@dataclass
class Results:
    """The results so far: the ``machine``, whether sizes are the smallest (``quick``), the rows of each section's
    table, and the complete sections.
    """

    machine: str
    quick: bool
    rows: dict[str, list[list[str]]] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, machine: str, quick: bool) -> "Results":
        """Return the results at ``path``; those of another machine, or of other sizes, are refused."""
        if not path.exists():
            return cls(machine, quick)
        before = cls(**json.loads(path.read_text("utf-8")))
        if (before.machine, before.quick) != (machine, quick):
            raise PlanewiseError(f"{path}: is of another run ({before.machine}); give another folder")
        return before

    def page(self) -> str:
        """Return docs/gpu.md."""
        lines = [HEADING]
        if not self.rows:
            lines += ["**Nothing is measured yet**: no GPU was available.\n"]
        else:
            lines += [f"Measured on {self.machine}.\n"]
        if self.quick:
            lines += ["**The smallest sizes, to see that the script runs: the numbers mean nothing.**\n"]
        for name, section in SECTIONS.items():
            lines += [f"## {section.title}\n", f"{section.about}\n", f"{self.table(name)}\n"]
        return "\n".join(lines)

    def table(self, name: str) -> str:
        """Return a section's table, as far as it is measured."""
        if not self.rows.get(name):
            return NOT_MEASURED
        columns = SECTIONS[name].columns.split(" | ")
        lines = [line_of(columns), line_of(["---"] * len(columns)), *map(line_of, self.rows[name])]
        return "\n".join(lines if name in self.complete else [*lines, "", "The rest is not measured yet."])


def line_of(cells: list[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def measure(bench: Bench, names: list[str], again: bool, results: Results, page: Path) -> list[str]:
    """Measure sections, write the page after each row, and return what went wrong."""
    wrong = []
    for name in names:
        if name in results.complete:
            if not again:
                print(f"{name}: measured already", flush=True)
                continue
            results.complete.remove(name)
        print(f"{name}: {SECTIONS[name].title}\n{line_of([SECTIONS[name].columns])}", flush=True)
        results.rows[name] = []
        try:
            for row in SECTIONS[name].rows(bench):
                results.rows[name].append([str(cell) for cell in row])
                print(line_of(results.rows[name][-1]), flush=True)
                write(results, bench.work, page)
        except Exception as error:  # the other sections are still wanted
            traceback.print_exc()
            wrong.append(f"{name}: {error}")
            continue
        results.complete.append(name)
        write(results, bench.work, page)
    return wrong


def write(results: Results, work: Path, page: Path) -> None:
    """Write the results so far: a file to continue from, and the page."""
    (work / RESULTS).write_text(json.dumps(vars(results), indent=1), "utf-8")
    page.write_text(results.page(), "utf-8")


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
            raise PlanewiseError("--device cpu: would take days and say nothing about a GPU; add --quick to see it run")
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
