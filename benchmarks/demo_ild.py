"""planewise demo ild with five seeds: Dice of the test patients, mean and range over seeds, for each kind of prompts.

    python benchmarks/demo_ild.py FOLDER

Each seed makes its own dataset and training, in FOLDER/seed0 and so on; existing ones are not made again. The Dice of a
seed is the mean over its test patients with the disease.
"""

import sys
from pathlib import Path
from statistics import fmean

from machine import describe
from real_chest_ct import rows, shown

from planewise.apps.ild.options import IldDemo
from planewise.apps.ild.run import demo_ild
from planewise.data.phantom import CHEST_CLASSES

SEEDS = range(5)
HEALTHY = "CT_phantomhealthy"


def main(folder: Path) -> None:
    """Run the demo with each seed, and print the table."""
    of_seeds = []
    for seed in SEEDS:
        work = folder / f"seed{seed}" / "work"
        if not (work / "segs").exists():
            assert demo_ild(IldDemo(folder=work.parent, seed=seed)) == 0
        of_seeds.append(rows(work))
    print(f"seeds {', '.join(map(str, SEEDS))}, {describe()}")
    print(f"| | {' | '.join(CHEST_CLASSES)} | false positives, ml |\n|---|" + "---|" * (len(CHEST_CLASSES) + 1))
    for prompts in dict.fromkeys(row["prompts"] for row in of_seeds[0]):
        kept = [[row for row in of_seed if row["prompts"] == prompts] for of_seed in of_seeds]
        cells = [
            shown([fmean(float(r["dsc"]) for r in of if r["name"] == name and r["case"] != HEALTHY) for of in kept])
            for name in CHEST_CLASSES
        ]
        false = [sum(float(r["predicted_ml"] or 0) for r in of if r["case"] == HEALTHY) for of in kept]
        print(f"| {prompts} | {' | '.join(cells)} | {shown(false)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
