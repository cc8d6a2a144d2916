"""All steps on a real chest CT from random weights, with three seeds: Dice of each class for each kind of prompts.

    python benchmarks/real_chest_ct.py Dataset002_ChestCT WORK [--image_size 128] [--epochs 50]

The dataset has one training patient and one test patient, whose classes are lungs and spinal cord. Seconds are those of
one thread in one process.
"""

import argparse
import csv
import time
from pathlib import Path

import torch
from machine import describe

from planewise.apps.ild.options import IldRun
from planewise.apps.ild.run import run_ild
from planewise.report.class_tables import RESULTS

SEEDS = (0, 1, 2)
PROMPTS = ("truth", "lungs", "auto")
TASK = "MedSAM2-Tiny-ILD"


def rows(work: Path) -> list[dict[str, str]]:
    """Return the rows of the evaluation for each class, case, and kind of prompts."""
    with (work / "segs" / TASK / "evaluation" / RESULTS).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores(work: Path) -> dict[tuple[str, str, str], float]:
    """Return the scores of the test case, by (prompts, class, metric); undefined ones are left out."""
    return {
        (row["prompts"], row["name"], metric): float(row[metric])
        for row in rows(work)
        for metric in ("dsc", "false_positive_ml")
        if row[metric]
    }


def shown(values: list[float]) -> str:
    """Return the mean and the range."""
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "undefined"


def main(dataset: Path, work: Path, image_size: int, epochs: int) -> None:
    """Run all steps with each seed, and print the table."""
    scores_of_seeds, seconds = [], []
    for seed in SEEDS:
        started, folder = time.perf_counter(), work / f"seed{seed}"
        run_ild(
            IldRun(
                dataset_path=dataset,
                work_dir=folder,
                from_scratch=True,
                upright=True,
                train_prompts="mixed",
                prompts=PROMPTS,
                epochs=epochs,
                image_size=image_size,
                batch_size=4,
                learning_rate=1e-3,
                min_voxels=100,
                min_pixels=3,
                num_workers=0,
                seed=seed,
                precision="32",
                overwrite=True,
            )
        )
        seconds.append(time.perf_counter() - started)
        scores_of_seeds.append(scores(folder))
    print(f"{len(SEEDS)} seeds, {image_size} pixels, {epochs} epochs, {describe()}; mean (range)")
    keys = dict.fromkeys(key for by_seed in scores_of_seeds for key in by_seed)
    print("| prompts | class | metric | mean (range) |\n|---|---|---|---|")
    for key in keys:
        print(f"| {' | '.join(key)} | {shown([by_seed[key] for by_seed in scores_of_seeds if key in by_seed])} |")
    print(f"seconds for all of a seed: {shown(seconds)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    main(options.dataset, options.work, options.image_size, options.epochs)
