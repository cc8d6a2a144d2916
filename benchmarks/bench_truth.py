"""What each part of the recipe for little data gains: MitoNet_small from random weights, scored object by object.

DATASET is a nnU-Net raw dataset with instancesTr. Without TEST, every training case in turn is predicted by models that
were trained on the others; the recipe was chosen by these scores. With TEST, the folder of another dataset, its
imagesTs are predicted by models that were trained on all of DATASET; these scores are reported. All parts take about
the same CPU time: one with a slower step takes fewer steps. Without DATASET it runs on a phantom, whose numbers mean
nothing. With --painted N only every N-th slice along z is painted; with --self_training the model labels the rest, in
rounds.

    python benchmarks/bench_truth.py [--tiny] [DATASET [TEST]] [--seeds N] [--steps N] [--parts NAME ...]
                                     [--painted N [--self_training ROUNDS]]
"""

import argparse
import io
import resource
import shutil
import statistics
import tempfile
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from machine import TINY, WORDS, describe, peak_memory

from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict import predict_mito
from planewise.apps.mito.train import train_mito
from planewise.apps.mito.train_options import MitoTrain
from planewise.data.case import Case
from planewise.data.nnunet import open_dataset
from planewise.data.painted_slices import PAINTED
from planewise.data.phantom import write_phantom_dataset
from planewise.device import choose_precision
from planewise.evaluation.evaluate import score_overlap
from planewise.evaluation.instances import match_objects
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.mistakes import find_mistakes
from planewise.models.model_file import LittleData, find_model_file, read_model_file, write_model_file
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import stem_of
from planewise.volumes.labels import read_labels

SCORES = {"F1@50": "f1_50", "F1@75": "f1_75", "PQ": "pq_50", "IoU": "voxel_iou"}
MISTAKES = {"merges": "merge", "splits": "split"}
AS_PUBLISHED: dict[str, object] = {"min_agreement": None, "repair": None, "extend": None}  # how planes become objects
WIDER: dict[str, object] = {"architecture": "mitonet_small_unet"}  # 48 channels in decoder and heads
AVERAGING = LittleData(weight_averaging=0.998)
ANYWHERE = LittleData(bend=5.0, microscope=True, weight_averaging=0.998)  # crops placed without regard to objects


@dataclass(frozen=True)
class Part:
    """The recipe up to a part: the keys ``changed`` in MitoNet_small's file, and the ``share`` of the steps that takes
    the same CPU time."""

    changed: dict[str, object]
    share: float = 1.0


PARTS = {
    "before": Part({"architecture": "mitonet_small", "little_data": None} | AS_PUBLISHED, 0.35),
    "network": Part(WIDER | {"little_data": None} | AS_PUBLISHED),  # a U-Net alone
    "averaged": Part(WIDER | {"little_data": AVERAGING} | AS_PUBLISHED),
    "varied": Part(WIDER | {"little_data": ANYWHERE} | AS_PUBLISHED),  # crops filled, bent, as of other microscopes
    "agreed": Part(WIDER | {"little_data": ANYWHERE, "repair": None, "extend": None}),  # and planes agree on objects
    "cut": Part(WIDER | {"little_data": ANYWHERE, "extend": None}),  # and objects that one plane merged are cut
    "extended": Part(WIDER | {"little_data": ANYWHERE}),  # and objects take voxels that one plane gives them
    "near": Part(WIDER),  # and half of the crops are placed near objects
    "all": Part({}, 1450 / 1200),  # and decoder and heads have 32 channels
}


def write_dataset(train: list[Case], test: list[Case], folder: Path) -> Path:
    """Write a dataset of links to the files of some cases, with their sidecars."""
    for part, cases in (("Tr", train), ("Ts", test)):
        for case in cases:
            assert case.truth is not None
            for kind, path in ((f"images{part}", case.image), (f"instances{part}", case.truth)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                for file in path.parent.glob(f"{case.name}*"):
                    (folder / kind / file.name).symlink_to(file.resolve())
    (folder / "dataset.json").write_text((train[0].image.parent.parent / "dataset.json").read_text("utf-8"), "utf-8")
    return folder


def paint(dataset: Path, step: int) -> None:
    """Replace the truth of the training cases by every n-th slice of it along z, from the n / 2-th on."""
    for path in volumes_in(dataset / "instancesTr"):
        labels = read_labels(path).read()
        folder = dataset / PAINTED / stem_of(path)
        folder.mkdir(parents=True)
        for index in range(step // 2, len(labels), step):
            tifffile.imwrite(folder / f"z{index:04d}.tif", labels[index].astype(np.uint16))
    shutil.rmtree(dataset / "instancesTr")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its finished child processes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(part: Part, dataset: Path, steps: int, seed: int, work: Path, rounds: int) -> dict[str, float]:
    """Train on the training cases of ``dataset`` and return the mean scores of its test cases, and CPU seconds."""
    model = read_model_file(find_model_file("MitoNet_small"))
    write_model_file(work / "base.yaml", model.model_copy(update=part.changed))
    options = MitoTrain(
        dataset_path=dataset,
        model_dir=work,
        base_model=str(work / "base.yaml"),
        model_name="M",
        from_scratch=True,
        iterations=max(1, round(steps * part.share)),
        batch_size=2 if TINY else 12,
        patch_size=64 if TINY else 256,
        precision=choose_precision("auto", "cpu", predicting=True),  # bf16 on a CPU that computes in it
        seed=seed,
        num_workers=0,
        output_data_path=work / "2d",
        self_training=rounds,
    )
    begun = cpu_seconds()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        train_mito(options)
        trained = cpu_seconds()
        predict_mito(MitoPredict(trained_model=work / "M.yaml", input=dataset / "imagesTs", output=work / "predicted"))
    scores: dict[str, list[float]] = {name: [] for name in (*SCORES, *MISTAKES)}
    predicted = {stem_of(path): path for path in volumes_in(work / "predicted")}
    for truth in volumes_in(dataset / "instancesTs"):
        counter = LocatedCounter()
        counter.add(read_labels(truth).read(), read_labels(predicted[stem_of(truth)]).read(), 0)
        overlap = counter.table()
        scored, matches = score_overlap(overlap), match_objects(overlap, 0.5)
        for column, metric in SCORES.items():
            scores[column].append(float(scored[metric]))
        pairs = set(zip(matches.truth.tolist(), matches.predicted.tolist()))
        kinds = [mistake.kind for mistake in find_mistakes(overlap, pairs)]
        for column, kind in MISTAKES.items():
            scores[column].append(kinds.count(kind))
    times = {"training": trained - begun, "predicting": cpu_seconds() - trained}
    return {column: statistics.mean(values) for column, values in scores.items()} | times


def main(arguments: argparse.Namespace, folder: Path) -> None:
    """Print a row for every part: mean and range over seeds and folds."""
    dataset = arguments.dataset or folder / "Dataset000_Phantom"
    if arguments.dataset is None:
        write_phantom_dataset(dataset, 0, (32, 64, 72), (24, 40, 56), 2, bodies=8)
    cases = open_dataset(dataset).train
    if arguments.test is None:
        folds = [([other for other in cases if other is not case], [case]) for case in cases]
    else:
        folds = [(cases, open_dataset(arguments.test, need_train=False, need_test=True).test)]
    for name in arguments.parts:
        rows = []
        for seed in range(arguments.seeds):
            for number, (train, test) in enumerate(folds):
                work = folder / f"{name}_{seed}_{number}"
                fold = write_dataset(train, test, work / "dataset")
                if arguments.painted:
                    paint(fold, arguments.painted)
                rows.append(measure(PARTS[name], fold, arguments.steps, seed, work, arguments.self_training))
        shown = []
        for column in (*SCORES, *MISTAKES):
            values = [row[column] for row in rows]
            shown.append(f"{column} {statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        seconds = [statistics.mean(row[what] for row in rows) for what in ("training", "predicting")]
        print(
            f"{name:<9}{len(rows)} runs   {'   '.join(shown)}   CPU {seconds[0]:.0f} + {seconds[1]:.0f} s", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("test", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=1 if TINY else 3)
    parser.add_argument("--steps", type=int, default=1 if TINY else 1600)
    parser.add_argument("--painted", type=int)
    parser.add_argument("--self_training", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["before", "all"] if TINY else list(PARTS))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as where:
        main(parser.parse_args(WORDS), Path(where))
    print(f"  {peak_memory()}; {describe()}")
