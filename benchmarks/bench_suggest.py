"""Which slices to paint next: does choosing them by a model's doubt gain more than even spacing? By replay.

Every 40th slice along z of the training cases of DATASET is painted, and MitoNet_small is trained on those alone. Each
strategy chooses as many slices again, which are painted from the ground truth. The same weights are then trained on
with all of them, for equally many steps. The scores are those of the objects of the same cases, in the slices
that no strategy painted, and those of the test cases of TEST. Without DATASET it runs on a phantom, whose numbers mean
nothing.

Everything is kept in --work and not made again, so that the work can be done in pieces: --seeds and --strategies choose
them, and --scored chooses the strategies for which the test cases are predicted too. Each run prints the slices that
every strategy would choose, how each kind of doubt relates to the errors in the slices, and the table of all results so
far.

    python benchmarks/bench_suggest.py [--tiny] [DATASET [TEST]] [--work FOLDER] [--seeds N ...]
                                       [--strategies NAME ...] [--scored NAME ...]
"""

import argparse
import io
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import cc3d
import numpy as np
import tifffile
import torch
from machine import TINY, WORDS, describe, peak_memory

from planewise.data.case import Case
from planewise.data.classes import Target
from planewise.data.instances import read_instances
from planewise.data.nnunet import open_dataset
from planewise.data.phantom import write_phantom_dataset
from planewise.evaluation.evaluate import score_labels
from planewise.inference.gathering import SliceOutputs, gather_classes
from planewise.inference.planes import plane_outputs
from planewise.inference.suggestion import choose_slices
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.panoptic_deeplab import PanopticNetwork, build
from planewise.models.weights import network_with
from planewise.training.assembled import BATCH, objects_in
from planewise.training.checkpoint import load_checkpoint
from planewise.training.loop import BEST, train
from planewise.training.loop_options import LoopOptions
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import FOLDERS, as_shares
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.slices import PLANES, Plane, as_stack, crop

STEP = 8 if TINY else 40  # one of this many slices is painted at first
STEPS, MORE = (1, 1) if TINY else (400, 250)  # before, and with the slices that were chosen
SCORES = {"F1@50": "f1_50", "F1@75": "f1_75", "PQ": "pq_50", "IoU": "voxel_iou"}
MODEL = read_model_file(find_model_file("MitoNet_small"))

Place = tuple[str, int]  # a case, and the index of a slice along z
Volumes = dict[str, tuple[np.ndarray, np.ndarray]]  # image and truth (z, y, x), by case


@dataclass(frozen=True)
class Seen:
    """The outputs of a model for an image in three planes, arrays (z, y, x).

    ``votes`` uint8: number of planes that have an object; ``probability`` and ``deviation`` float16: mean and standard
    deviation of the planes' probabilities of foreground; ``wrong``: where most planes contradict the truth.
    """

    votes: np.ndarray
    probability: np.ndarray
    deviation: np.ndarray
    wrong: np.ndarray


Doubts = dict[str, Seen]


# ---- strategies: each chooses slices to paint among the unpainted ones


def even(seen: Doubts, painted: list[Place], rng: np.random.Generator) -> list[Place]:
    """The slices half-way between the painted ones, so that all are evenly spaced."""
    return [(case, index + STEP // 2) for case, index in painted]


def random(seen: Doubts, painted: list[Place], rng: np.random.Generator) -> list[Place]:
    """Any."""
    free = [(case, z) for case, of in seen.items() for z in range(len(of.votes)) if (case, z) not in painted]
    return [free[i] for i in rng.choice(len(free), len(painted), replace=False)]


def penalised(doubt: Callable[[Seen], np.ndarray]) -> Callable[..., list[Place]]:
    """The most doubtful, spread out, as ``planewise mito suggest`` chooses them (by ``disputed_foreground``)."""

    def choose(seen: Doubts, painted: list[Place], rng: np.random.Generator) -> list[Place]:
        known = {case: [z for name, z in painted if name == case] for case in seen}
        return [(of.case, of.index) for of in choose_slices(_profiles(seen, doubt), known, len(painted))]

    return choose


def covering(doubt: Callable[[Seen], np.ndarray]) -> Callable[..., list[Place]]:
    """The slices with most doubt nearby: a slice settles the doubt around it, none from half of ``STEP`` away on.

    If doubt is the same everywhere, they are the evenly spaced ones.
    """

    def choose(seen: Doubts, painted: list[Place], rng: np.random.Generator) -> list[Place]:
        profiles, chosen = _profiles(seen, doubt), list(painted)
        for _ in painted:
            worth = {}
            for case, profile in profiles.items():
                near = np.maximum(0, 1 - 2 / STEP * _distance(case, len(profile), chosen))
                z = np.arange(len(profile))
                of_each = np.maximum(0, 1 - 2 / STEP * np.abs(z[:, None] - z))
                worth[case] = (profile * np.maximum(0, of_each - near)).sum(axis=1)
            chosen.append(_largest(worth))
        return chosen[len(painted) :]

    return choose


def _profiles(seen: Doubts, doubt: Callable[[Seen], np.ndarray]) -> dict[str, np.ndarray]:
    """Return the mean doubt in each slice, by case; a little is added, so that slices spread where there is none."""
    return {case: doubt(of).astype(np.float32).mean(axis=(1, 2)) + 1e-9 for case, of in seen.items()}


def _distance(case: str, length: int, chosen: list[Place]) -> np.ndarray:
    there = [z for name, z in chosen if name == case]
    return np.abs(np.arange(length)[:, None] - np.array(there or [2**31])).min(axis=1)


def _largest(worth: dict[str, np.ndarray]) -> Place:
    case = max(worth, key=lambda name: worth[name].max())
    return case, int(worth[case].argmax())


def disputed_foreground(seen: Seen) -> np.ndarray:
    """Disagreement of the planes' objects times the probability of foreground, the share of planes that have one."""
    share = seen.votes / np.float32(len(PLANES))
    return share * (1 - share) * share


def disputed(seen: Seen) -> np.ndarray:
    """Disagreement of the planes' objects alone."""
    share = seen.votes / np.float32(len(PLANES))
    return share * (1 - share)


def spread_of_probability(seen: Seen) -> np.ndarray:
    """Standard deviation of the planes' probabilities times their mean."""
    return seen.deviation * seen.probability


def entropy(seen: Seen) -> np.ndarray:
    """Entropy of the planes' mean probability of foreground."""
    p = np.clip(seen.probability, 1e-6, 1 - 1e-6)
    return -p * np.log2(p) - (1 - p) * np.log2(1 - p)


def foreground(seen: Seen) -> np.ndarray:
    """The mean probability of foreground alone: where there is most to paint."""
    return seen.probability


def wrong(seen: Seen) -> np.ndarray:
    """The errors themselves, which nobody knows: the best possible doubt."""
    return seen.wrong


DOUBTS = {
    "votes": disputed_foreground,
    "disagreement": disputed,
    "spread": spread_of_probability,
    "entropy": entropy,
    "foreground": foreground,
    "wrong": wrong,
}
STRATEGIES = {"even": even, "random": random}
STRATEGIES |= {name: covering(doubt) for name, doubt in DOUBTS.items()}
STRATEGIES |= {f"{name}, penalised": penalised(doubt) for name, doubt in DOUBTS.items()}


def print_choices(chosen: dict[str, list[Place]], seen: Doubts, seed: int) -> None:
    """Print the choice of each strategy, and how each doubt correlates with the errors in the slices of a case."""
    for name, places in chosen.items():
        print(f"seed {seed}, {name}: {', '.join(f'{case} {z}' for case, z in sorted(places))}", flush=True)
    for case, of in seen.items():
        rows = {name: doubt(of).astype(np.float32).mean(axis=(1, 2)) for name, doubt in DOUBTS.items()}
        with np.errstate(invalid="ignore"):
            shown = [f"{name} {np.corrcoef(row, rows['wrong'])[0, 1]:.2f}" for name, row in rows.items()]
        print(f"seed {seed}, {case}: correlation with the errors: {', '.join(shown)}", flush=True)


# ---- the replay


@dataclass(frozen=True)
class Trained:
    """A network and the task that it was trained with."""

    network: PanopticNetwork
    task: PanopticTask

    def objects(self, image: np.ndarray) -> np.ndarray:
        """Return the objects of ``image`` (z, y, x) by the consensus of three planes."""
        predictor, slices, grouping = self.task.in_use(self.network, torch.device("cpu"))
        (objects,) = objects_in(predictor, image, PLANES, slices, grouping)
        return objects[...]

    def seen(self, image: np.ndarray, truth: np.ndarray) -> Seen:
        """Return its outputs for ``image`` (z, y, x)."""
        predictor, slices, grouping = self.task.in_use(self.network, torch.device("cpu"))
        votes, shares = np.zeros(image.shape, np.uint8), []
        for plane in PLANES:
            outputs = plane_outputs(predictor, image, plane, slices, BATCH, lambda count: None)
            kept = np.empty(image.shape, np.float32)
            votes += gather_classes(_keeping(outputs, kept, plane), image.shape, plane, grouping)[0][...] > 0
            shares.append(kept)
        spread = np.std(shares, axis=0)
        return Seen(
            votes, np.mean(shares, axis=0).astype(np.float16), spread.astype(np.float16), (votes >= 2) != (truth > 0)
        )


def _keeping(outputs: Iterator[SliceOutputs], kept: np.ndarray, plane: Plane) -> Iterator[SliceOutputs]:
    """Pass ``outputs`` on, and write the probability of foreground into ``kept`` (z, y, x)."""
    for place, output in zip(as_stack(kept, plane), outputs):
        place[...] = 1 / (1 + np.exp(-crop(output.logits, *place.shape)))
        yield output


def train_on(volumes: Volumes, painted: list[Place], start: PanopticNetwork | None, seed: int, folder: Path) -> Trained:
    """Return ``start``, or a network with random weights, trained on painted slices; it is read if it exists already.

    Nothing is held out, since there are few slices; the averaged weights after the last step are used.
    """
    for part, names in FOLDERS.items():
        for name, content in zip(names, (0, 1)):
            (folder / "slices" / part / name).mkdir(parents=True, exist_ok=True)
            for case, z in painted:
                pixels = volumes[case][content][z]
                if content:  # as in reading a painted slice, where each connected part is an object
                    pixels = cc3d.connected_components(pixels, connectivity=8).astype(np.int32)
                tifffile.imwrite(folder / "slices" / part / name / f"{case}_xy_{z:05d}.tiff", pixels)
    torch.manual_seed(seed)
    architecture, little_data = MODEL.architecture, MODEL.little_data
    assert architecture is not None
    assert little_data is not None
    network = build(architecture) if start is None else start
    task = PanopticTask(network, MODEL, folder / "slices", 64 if TINY else 256, "all", seed)
    steps = STEPS if start is None else MORE
    if not (folder / BEST).exists():
        averaging = little_data.weight_averaging
        loop = LoopOptions(steps, 2 if TINY else 12, 0.003, seed, steps, "cpu", 1, "bf16", 0, {}, averaging=averaging)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            train(task, loop, folder, resume=False)
    return Trained(network_with(load_checkpoint(folder / BEST)["network"], folder / BEST, architecture), task)


def replay(volumes: Volumes, tests: Volumes, seed: int, strategies: list[str], scored: list[str], work: Path) -> None:
    """Do the missing steps: train before and after painting the slices that ``strategies`` choose, and predict.

    The objects of ``volumes`` go to work/strategy_seed/case.npy, and those of ``tests`` for the strategies ``scored``.
    """
    painted = [(case, z) for case, (image, _) in volumes.items() for z in range(STEP // 4, len(image), STEP)]
    base = train_on(volumes, painted, None, seed, work / f"before_{seed}")
    seen = {case: _seen(base, *of, work / f"before_{seed}" / f"{case}.npz") for case, of in volumes.items()}
    chosen = {name: choose(seen, painted, np.random.default_rng(seed)) for name, choose in STRATEGIES.items()}
    print_choices(chosen, seen, seed)
    for name in ("before", *strategies):
        folder = work / f"{name}_{seed}"
        wanted = volumes | (tests if name in scored else {})
        missing = [case for case in wanted if not (folder / f"{case}.npy").exists()]
        if not missing:
            continue
        trained = base
        if name != "before":
            start = network_with(base.network.state_dict(), folder, MODEL.architecture)
            trained = train_on(volumes, [*painted, *chosen[name]], start, seed, folder)
        for case in missing:
            np.save(folder / f"{case}.npy", trained.objects(wanted[case][0]).astype(np.uint16))


def _seen(base: Trained, image: np.ndarray, truth: np.ndarray, kept: Path) -> Seen:
    if not kept.exists():
        np.savez_compressed(kept, **vars(base.seen(image, truth)))
    return Seen(**np.load(kept))


def painted_by(folder: Path, case: str) -> list[int]:
    """Return the slices of a case that were trained on in ``folder``."""
    masks = folder / "slices" / "train" / FOLDERS["train"][1]
    return [int(path.stem.rpartition("_")[2]) for path in masks.glob(f"{case}_xy_*")]


def scores_of(folder: Path, volumes: Volumes, unpainted: dict[str, np.ndarray]) -> dict[str, float] | None:
    """Return the mean scores of the objects in a folder in the slices ``unpainted``; None if files are missing."""
    rows = []
    for case, (_, truth) in volumes.items():
        if not (folder / f"{case}.npy").exists():
            return None
        kept = unpainted.get(case, slice(None))
        rows.append(score_labels(truth[kept], np.load(folder / f"{case}.npy")[kept]))
    return {column: statistics.mean(float(row[metric]) for row in rows) for column, metric in SCORES.items()}


def print_table(volumes: Volumes, tests: Volumes, work: Path) -> None:
    """Print a row for each strategy: means over the seeds, and the scores of each seed."""
    folders = [path for path in work.iterdir() if (path / "slices").is_dir()]
    unpainted = {}
    for case, (image, _) in volumes.items():
        known = {z for folder in folders for z in painted_by(folder, case)}
        unpainted[case] = np.array([z for z in range(len(image)) if z not in known])
    for what, of in (("training cases, unpainted slices", volumes), ("test cases", tests)):
        if of:
            print(what)
        for name in ("before", *STRATEGIES) if of else ():
            rows = {}
            for folder in sorted(work.glob(f"{name}_[0-9]*")):
                row = scores_of(folder, of, unpainted)
                if row is not None:
                    rows[folder.name.rpartition("_")[2]] = row
            if rows:
                shown = [
                    f"{column} {statistics.mean(row[column] for row in rows.values()):.3f} "
                    f"({' '.join(f'{row[column]:.3f}' for row in rows.values())})"
                    for column in SCORES
                ]
                print(f"  {name:<18}{'   '.join(shown)}   seeds {' '.join(rows)}", flush=True)


def read(cases: list[Case]) -> Volumes:
    """Return images and truths, as training reads them."""
    volumes = {}
    for case in cases:
        image = read_voxels(open_volume(case.image), case.image)
        volumes[case.name] = (as_shares(image), read_instances(case, Target("instances", (), None)))
    return volumes


def main(arguments: argparse.Namespace, folder: Path) -> None:
    """Replay, and print the table."""
    dataset, work = arguments.dataset or folder / "Dataset000_Phantom", arguments.work or folder / "work"
    if arguments.dataset is None:
        write_phantom_dataset(dataset, 0, (16, 64, 72), (24, 40, 56), 2, bodies=8)
    volumes = read(open_dataset(dataset).train)
    tests: Volumes = {}
    if arguments.test is not None:
        tests = read(open_dataset(arguments.test, need_train=False, need_test=True).test)
    for seed in arguments.seeds:
        replay(volumes, tests, seed, arguments.strategies, arguments.scored, work)
    print_table(volumes, tests, work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("test", type=Path, nargs="?")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0] if TINY else [0, 1, 2])
    decided = ["even", "random", "votes", "votes, penalised", "wrong, penalised"]
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=decided[:3] if TINY else decided)
    parser.add_argument("--scored", nargs="*", choices=["before", *STRATEGIES], default=decided)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as where:
        main(parser.parse_args(WORDS), Path(where))
    print(f"  {peak_memory()}; {describe()}")
