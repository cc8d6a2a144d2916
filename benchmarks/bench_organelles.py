"""Three organelles at once: MitoNet_small trained on phantoms with mitochondria, nuclei and ER, and its scores.

Each seed makes its own dataset, two training volumes and a test volume, and trains from scratch. There is a row for
each seed and class: for things F1 at IoU 0.5 and panoptic quality of the objects, for all classes Dice and IoU of the
voxels. What FOLDER already holds is not made again.

    python benchmarks/bench_organelles.py [--tiny] [FOLDER [SEED ...]]
"""

import csv
import tempfile
from pathlib import Path
from typing import Any

from machine import TINY, WORDS, describe

from planewise.apps.mito.test_cases import PREDICTIONS
from planewise.apps.mito.train import train_mito
from planewise.apps.mito.train_options import MitoTrain
from planewise.data.phantom import THINGS, write_phantom_dataset
from planewise.report.tables import RESULTS

SIZES: dict[str, Any] = {"train_shape": (32, 48, 48), "test_shape": (24, 40, 40), "bodies": 4} if TINY else {}
ITERATIONS, PATCH = (2, 32) if TINY else (600, 128)
SHOWN = ("f1_50", "pq_50", "voxel_dice", "voxel_iou")


def scores_of(folder: Path, seed: int) -> list[dict[str, str]]:
    """Return the rows of the evaluation, one for each class, of the dataset and the model of a seed."""
    dataset, models = folder / f"d{seed}" / "Dataset000_Organelles", folder / f"d{seed}" / "model"
    if not dataset.exists():
        write_phantom_dataset(dataset, seed, organelles=True, **SIZES)
    job = MitoTrain(
        dataset_path=dataset,
        model_dir=models,
        base_model="MitoNet_small.yaml",
        model_name="Organelles",
        from_scratch=True,
        things=THINGS,
        iterations=ITERATIONS,
        batch_size=8,
        patch_size=PATCH,
        checkpoint_interval=200,
        num_workers=0,
        precision="32",
        device="cpu",
        seed=seed,
        test_after_training=True,
        resume=(models / "Organelles.yaml").exists(),
    )
    train_mito(job)
    with (dataset / PREDICTIONS / "evaluation" / RESULTS).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    seeds = [int(word) for word in WORDS[1:]] or ([0] if TINY else [0, 1, 2])
    with tempfile.TemporaryDirectory() as temporary:
        rows = {seed: scores_of(Path(WORDS[0] if WORDS else temporary), seed) for seed in seeds}
    print(f"\n{describe()}; {ITERATIONS} steps of 8 crops of {PATCH}\n")
    print("| seed | class | scored | true objects | F1 at IoU 0.5 | PQ | Dice | IoU |")
    print("|---|---|---|---|---|---|---|---|")
    for seed, of_seed in rows.items():
        for row in of_seed:
            shown = [f"{float(row[key]):.3f}" if row[key] else "" for key in SHOWN]
            print(f"| {seed} | {row['class']} | {row['scored']} | {row['n_truth']} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
