"""Boxes against memory propagation, with a model trained with clips and one trained without: Dice, time, memory.

Both start from the same random weights (no published ones are needed) and see the same slices in as many steps; one of
them also sees clips of 4 slices. Boxes come from the ground truth, one for every object, in the slice where it is
largest. A model without clips has no memory to propagate by. Each row runs in a separate process; the memory is its
peak beyond the network.

    python benchmarks/bench_clips.py phantoms FOLDER         the CT demo's training data; tested on 8 phantoms
    python benchmarks/bench_clips.py real FOLDER DATASET     a nnU-Net raw dataset, tested on its imagesTs
    python benchmarks/bench_clips.py                         the phantoms, in a temporary folder

FOLDER keeps the trained models: a training that was stopped continues, and one that is finished is not repeated.
"""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from machine import TINY, WORDS, describe, peak_gigabytes

import planewise as pw
from planewise.apps.ild.options import IldPrepare, IldTrain
from planewise.apps.ild.prepare import prepare_ild
from planewise.apps.ild.train import train_ild
from planewise.data.classes import DATASET_FILE, read_labels_of
from planewise.data.phantom import CHEST_SPACING_MM, chest_phantom, write_chest_dataset
from planewise.training.loop import LAST
from planewise.volumes.volume import Volume

LENGTH = 2 if TINY else 4
SHAPE = (8, 48, 48) if TINY else (24, 128, 128)
PHANTOMS = range(9000, 9002 if TINY else 9008)  # seeds that are not used for training data
EPOCHS = 1 if TINY else 50
MODELS = {"without clips": 1, "with clips": LENGTH}  # by the slices of a clip
Scores = list[tuple[str, dict[str, float]]]  # the Dice of each class, by case


def train(kind: str, work: Path, length: int) -> tuple[Path, float]:
    """Return the model that was trained on prepared patients, and the seconds of its last training."""
    name = f"Clips{length}"
    model = work / name / "medsam_model_best.pth"
    options = IldTrain(
        work_dir=work,
        task_name=name,
        from_scratch=True,
        epochs=EPOCHS,
        batch_size=4,
        learning_rate=1e-3,
        image_size=64 if TINY else 128,
        train_prompts="mixed",
        upright=kind == "real",
        checkpoint_interval=200,
        num_workers=0,
        device="cpu",
        train_clips=length,
        resume=(work / name / "training" / LAST).exists(),
    )
    started = time.perf_counter()
    if train_ild(options):
        raise SystemExit(1)
    return model, time.perf_counter() - started


def prepare(kind: str, dataset: Path, work: Path) -> None:
    smallest = {"min_voxels": 100, "min_pixels": 3 if kind == "real" else 10}
    if TINY:
        smallest = dict.fromkeys(smallest, 0)
    prepare_ild(IldPrepare(dataset_path=dataset, work_dir=work, num_workers=0, **smallest))


def tests(kind: str, dataset: Path) -> list[tuple[str, Volume, Volume]]:
    """Return the CTs to test on, by name, with their truths."""
    if kind == "real":
        scans = []
        for path in sorted((dataset / "labelsTs").glob("*.nii.gz")):
            name = path.name.removesuffix(".nii.gz")
            scans.append((name, pw.open(dataset / "imagesTs" / f"{name}_0000.nii.gz"), pw.open(path)))
        return scans
    made = []
    for seed in PHANTOMS:
        image, labels = (Volume(voxels, CHEST_SPACING_MM, "mm") for voxels in chest_phantom(SHAPE, seed))
        made.append((str(seed), image, labels))
    return made


def measure(kind: str, dataset: Path, model: Path, way: str) -> tuple[Scores, float, float]:
    """Return the Dice of each class in each case, the CPU seconds per slice, and the peak memory in GB."""
    torch.set_num_threads(1)
    names = read_labels_of(dataset / DATASET_FILE).class_names()
    cases = tests(kind, dataset)
    loaded = pw.load_model(model)
    before, started, slices = peak_gigabytes(), time.process_time(), 0
    scores: Scores = []
    for name, ct, truth in cases:
        predicted = pw.segment(ct, loaded, truth=truth, propagation=way, precision="32", device="cpu").read()
        true = np.asarray(truth.read())
        slices += len(true)
        of_class = {}
        for value, label in names.items():
            ours, theirs = predicted == value, true == value
            if theirs.any():
                of_class[label] = float(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
        scores.append((name, of_class))
    return scores, (time.process_time() - started) / slices, peak_gigabytes() - before


def measured(kind: str, dataset: Path, model: Path, way: str) -> tuple[Scores, float, float]:
    """Measure in a separate process, so that its peak memory is that of this measurement alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, kind, dataset, model, way).result()


def compare(kind: str, folder: Path, dataset: Path) -> None:
    """Train what is not trained yet, and print the table."""
    torch.set_num_threads(1)
    work = folder / "work"
    if kind == "phantoms" and not (dataset / DATASET_FILE).exists():
        write_chest_dataset(dataset, 0, SHAPE, *((2,) if TINY else ()))
    prepare(kind, dataset, work)
    rows = {}
    seconds = {}
    for name, length in MODELS.items():
        model, seconds[name] = train(kind, work, length)
        for way in ("boxes", "memory")[: 1 + (length > 1)]:
            rows[name, way] = measured(kind, dataset, model, way)
    classes = list(dict.fromkeys(label for scores, _, _ in rows.values() for _, of in scores for label in of))
    print(f"\n{kind}, {len(next(iter(rows.values()))[0])} cases, boxes from the truth, {describe()}")
    print(f"\n| trained | propagation | {' | '.join(classes)} | mean | CPU s a slice | GB |")
    print("|---" * (len(classes) + 5) + "|")
    for (name, way), (scores, pace, peak) in rows.items():
        means = [np.mean([of[label] for _, of in scores if label in of]) for label in classes]
        cells = [f"{mean:.3f}" for mean in (*means, np.mean(means))]
        print(f"| {name} | {way} | {' | '.join(cells)} | {pace:.3f} | {peak:.2f} |")
    print("| without clips | memory | " + " | ".join(["has none"] * (len(classes) + 1)) + " | | |")
    boxes, memory = (
        {(case, label): dice for case, of in rows["with clips", way][0] for label, dice in of.items()}
        for way in ("boxes", "memory")
    )
    better = sum(memory[key] > boxes[key] for key in boxes)
    differences = np.array([memory[key] - boxes[key] for key in boxes])
    print(
        f"\nMemory less boxes, the model with clips: {differences.mean():+.3f} on average over {len(boxes)} classes of "
        f"cases ({differences.min():+.3f} to {differences.max():+.3f}), better in {better}"
    )
    print("Seconds of this call's training: " + ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()))


if __name__ == "__main__":
    if not WORDS:
        with tempfile.TemporaryDirectory() as temporary:
            compare("phantoms", Path(temporary), Path(temporary) / "Dataset000_Chest")
    elif WORDS[0] == "phantoms" and len(WORDS) == 2:
        compare("phantoms", Path(WORDS[1]), Path(WORDS[1]) / "Dataset000_Chest")
    elif WORDS[0] == "real" and len(WORDS) == 3:
        compare("real", Path(WORDS[1]), Path(WORDS[2]))
    else:
        raise SystemExit(__doc__)
