"""F1 against the number of corrections, for four orders of the same list of places: does it pay to start with doubt?

TRUTH is a label volume, and each RESULT a prediction of it as planewise mito predict writes it, with its planes beside
it. A scripted user goes through the list and makes each place equal to the ground truth, by the actions of planewise
correct. A place that is already right also costs a look; one that an earlier correction settled costs none. The list is
the same for all orders: all objects of the result, and those of the planes that it lacks.

The orders are: the most doubtful first (--worklist agreement, which does not know the ground truth); evenly spaced
through the volume; random (the mean of many, computed from the overlap table, which must also reproduce the other
orders); and an oracle, which knows the ground truth and always takes the correction that gains most. The oracle's share
of what random order needs is the limit of what an order can save. At the end everything is undone, and the bytes of the
result must be unchanged. Without arguments it runs on a phantom with made-up errors.

    python benchmarks/bench_corrections.py [--tiny] [TRUTH RESULT ... [--figure PNG]] [--orders N] [--round K]
    python benchmarks/bench_corrections.py TRUTH RESULT --leave N

With --leave it corrects the N most doubtful places of RESULT and leaves the result corrected, for training with
planewise mito train --corrections.
"""

import argparse
import hashlib
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import TINY, WORDS, describe, peak_memory

from planewise.correction.actions import Confirm, Delete, Paint, Voxels
from planewise.correction.doubts import Doubt, doubts
from planewise.correction.objects import find_objects, index_of
from planewise.correction.session import Corrections
from planewise.data.phantom import write_phantom_dataset
from planewise.evaluation.instances import instance_scores, match_objects
from planewise.evaluation.mistakes import TOGETHER
from planewise.evaluation.overlap import Overlap, overlap_table
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.slices import PLANES
from planewise.volumes.volume import Volume

IOU = 0.5
RIGHT = 0.75  # the user leaves an object as it is from this IoU on
GAINS = (0.5, 0.75, 0.9, 1.0)  # shares of the largest possible gain
SHARE = 0.9  # the one by which orders are compared
Order = Callable[[Sequence[Doubt]], list[Doubt]]


@dataclass(frozen=True)
class Together:
    """The objects of truth and result at a place that belong together, see ``evaluation.mistakes``."""

    truth: set[int]
    result: set[int]

    @classmethod
    def at(cls, table: Overlap, label: int, true_label: int) -> "Together":
        """Return all objects that are linked, directly or through others, with an object of the result or the truth."""
        objects = table.objects
        true, predicted = (dict(zip(*sizes)) for sizes in (table.first_sizes(), table.second_sizes()))
        links = [
            (a, b)
            for a, b, shared in zip(objects.first.tolist(), objects.second.tolist(), objects.count.tolist())
            if shared >= TOGETHER * min(true[a], predicted[b])
        ]
        truth, result = ({true_label} if true_label else set()), ({label} if label else set())
        while True:
            more = [(a, b) for a, b in links if (a in truth) != (b in result)]
            if not more:
                return cls(truth, result)
            truth |= {a for a, _ in more}
            result |= {b for _, b in more}


def iou_of(table: Overlap, true_label: int, label: int) -> float:
    pair = (table.first == true_label) & (table.second == label)
    shared = int(table.count[pair].sum())
    either = int(table.count[(table.first == true_label) | (table.second == label)].sum())
    return shared / either


@dataclass(frozen=True)
class Settled:
    """The effect of a correction at a place on the objects ``together``: ``gained`` matches, ``fewer`` errors.

    ``changes``: whether the correction changes anything, or the place is only looked at.
    """

    together: Together
    gained: int
    fewer: int
    changes: bool


class OnPaper:
    """The corrections of a list, computed from the overlap table alone, in any order, without changing a voxel."""

    def __init__(self, places: Sequence[Doubt], truth: np.ndarray, table: Overlap) -> None:
        matches = match_objects(table, IOU)
        matched = set(zip(matches.truth.tolist(), matches.predicted.tolist()))
        self.places, self.scores = list(places), instance_scores(table, IOU)
        self.settled: dict[int, Settled] = {}  # by the id of the doubt
        for doubt in places:
            at = Together.at(table, doubt.label, 0 if doubt.label else int(truth[doubt.place]))
            right = sum(a in at.truth and b in at.result for a, b in matched)
            stays = len(at.truth) == len(at.result) == 1 and iou_of(table, *at.truth, *at.result) >= RIGHT
            fewer = len(at.truth) + len(at.result) - 2 * right
            changes = bool(at.truth or at.result) and not stays
            self.settled[id(doubt)] = Settled(at, len(at.truth) - right, fewer, changes)

    def f1(self, gained: int, fewer: int) -> float:
        tp, wrong = self.scores.tp + gained, self.scores.fp + self.scores.fn - fewer
        return 2 * tp / max(1, 2 * tp + wrong)

    def curve(self, order: Sequence[Doubt]) -> list[float]:
        """Return the same curve as the function ``curve``."""
        truth: set[int] = set()
        result: set[int] = set()
        gained = fewer = 0
        scores = [self.f1(0, 0)]
        for doubt in order:
            at = self.settled[id(doubt)]
            together = at.together
            if doubt.label in result or (not doubt.label and together.truth and together.truth <= truth):
                continue  # an earlier correction removed it, or drew an object there
            if at.changes and not (together.truth <= truth and together.result <= result):
                gained, fewer = gained + at.gained, fewer + at.fewer
                truth |= together.truth
                result |= together.result
            scores.append(self.f1(gained, fewer))
        return scores

    def best(self) -> list[Doubt]:
        """Return the order of somebody who knows the truth: the largest gain in F1 first, places without gain last."""
        order: list[Doubt] = []
        rest: list[Doubt] = []
        left = list(self.places)
        gained = fewer = 0
        while left:
            f1 = [self.f1(gained + at.gained, fewer + at.fewer) for at in (self.settled[id(one)] for one in left)]
            order.append(left.pop(f1.index(max(f1))))
            first = self.settled[id(order[-1])]
            gained, fewer = gained + first.gained, fewer + first.fewer
            # Places that the same correction settles.
            rest += [one for one in left if self.settled[id(one)].together == first.together]
            left = [one for one in left if self.settled[id(one)].together != first.together]
        return order + rest


class User:
    """A scripted user, who makes places equal to the truth."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth, self.objects = truth, find_objects(truth)

    def correct(self, corrections: Corrections, doubt: Doubt, table: Overlap) -> bool:
        """Look at a place, and correct it; return False if an earlier correction settled it."""
        label = doubt.label
        if label and label not in corrections.objects:
            return False
        z, y, x = ((at, at + 1) for at in doubt.place)
        there = int(corrections.canvas.read((z, y, x))[0, 0, 0])
        if not label and there:
            return False
        together = Together.at(table, label, 0 if label else int(self.truth[doubt.place]))
        if not together.truth and not together.result:
            return True  # nothing is there, and nothing was missed
        if not together.truth:
            corrections.apply(Delete(labels=tuple(together.result)))
            return True
        if len(together.truth) == len(together.result) == 1:
            [true_label], [label] = together.truth, together.result
            if iou_of(table, true_label, label) >= RIGHT:
                corrections.apply(Confirm(labels=(label,)))
                return True
        for true_label in together.truth:
            box = self.objects[true_label].box
            mask = self.truth[index_of(box)] == true_label
            corner = (box[0][0], box[1][0], box[2][0])
            corrections.apply(Paint(where=Voxels.of(mask, corner), label=None))
        if left := [label for label in together.result if label in corrections.objects]:
            corrections.apply(Delete(labels=tuple(left)))
        return True


def curve(result: Path, truth: np.ndarray, user: User, order: list[Doubt]) -> list[float]:
    """Return F1 before the first correction and after each; in the end all corrections are undone."""
    before = hashlib.sha256(result.read_bytes()).hexdigest()
    with Corrections(result) as corrections:
        canvas = corrections.canvas
        whole = tuple((0, side) for side in canvas.shape)
        table = overlap_table(truth, canvas.read((whole[0], whole[1], whole[2])))
        scores = [instance_scores(table, IOU).f1]
        for doubt in order:
            number = len(corrections.actions)
            if user.correct(corrections, doubt, table):
                if any(entry.kept for entry in corrections.actions[number:]):
                    table = overlap_table(truth, canvas.read((whole[0], whole[1], whole[2])))
                scores.append(instance_scores(table, IOU).f1)
        corrections.save()
        corrections.undo(len(corrections.actions))
    assert hashlib.sha256(result.read_bytes()).hexdigest() == before, "undoing did not restore the exact bytes"
    return scores


def doubts_of(result: Path) -> list[Doubt]:
    """Return the list of places of a result, from the planes beside it."""
    planes = {plane: result.with_name(f"{stem_of(result)}_{plane}{ending_of(result)}") for plane in PLANES}
    return doubts(
        np.asarray(read_labels(result).voxels),
        {name: np.asarray(read_labels(path).voxels) for name, path in planes.items()},
    )


def leave(truth_path: Path, result: Path, count: int) -> None:
    """Correct the ``count`` most doubtful places of the list, and leave the result corrected."""
    truth = np.asarray(read_labels(truth_path).voxels)
    user, looked = User(truth), 0
    with Corrections(result) as corrections:
        z, y, x = ((0, side) for side in corrections.canvas.shape)
        for doubt in doubts_of(result):
            if looked < count:
                looked += user.correct(corrections, doubt, overlap_table(truth, corrections.canvas.read((z, y, x))))
        print(f"{result}: {looked} places were looked at, {len(corrections.actions)} actions")


def evenly(places: Sequence[Doubt]) -> list[Doubt]:
    """Return an order in which any number of first places is spread evenly through the volume."""
    placed = sorted(places, key=lambda one: one.place)
    bits = max(1, (len(placed) - 1).bit_length())
    turned = [int(format(i, f"0{bits}b")[::-1], 2) for i in range(2**bits)]
    return [placed[i] for i in turned if i < len(placed)]


def needed(several: list[list[float]], share: float, step: int) -> float:
    """Return the number of corrections, in rounds of ``step``, that reach a share of the gain of all corrections: the
    mean over several orders, each given by F1 after each correction."""

    def of_one(scores: list[float]) -> int:
        wanted = scores[0] + share * (scores[-1] - scores[0])
        first = next(i for i, score in enumerate(scores) if score >= wanted - 1e-9)
        return -(-first // step) * step

    return statistics.mean(map(of_one, several))


def phantom(folder: Path) -> tuple[Path, list[Path]]:
    """Write a phantom's truth, and a result with errors that only some of its planes share."""
    side = 48 if TINY else 160
    write_phantom_dataset(folder / "data", 0, (16, 32, 32), (side // 2, side, side), 1, bodies=8 if TINY else 60)
    [path] = (folder / "data" / "instancesTs").glob("*.tiff")
    truth = np.asarray(read_labels(path).voxels).astype(np.int32)
    rng = np.random.default_rng(0)
    planes = {plane: truth.copy() for plane in PLANES}
    ids = np.unique(truth)[1:].tolist()
    for number, label in enumerate(ids):
        for plane in rng.permutation(PLANES)[: rng.integers(1, 4)] if rng.random() < 0.8 else []:
            other = ids[number - 1]
            planes[plane][planes[plane] == label] = [0, other][number % 2]
    first, second, third = planes.values()
    fused = np.where((first == second) | (first == third), first, second)
    for name, labels in {"p": fused, **{f"p_{plane}": labels for plane, labels in planes.items()}}.items():
        write_labels(folder / "result" / f"{name}.tiff", Volume(labels))
    return path, [folder / "result" / "p.tiff"]


Curves = dict[str, list[list[float]]]  # F1 after each correction, of each order, several times if it is random


def run(truth_path: Path, results: list[Path], orders: int, step: int) -> dict[str, Curves]:
    """Print a table, and return the curves of every result."""
    truth = np.asarray(read_labels(truth_path).voxels)
    user = User(truth)
    curves: dict[str, Curves] = {}
    gains = " | ".join(f"{share:.0%} of the gain" for share in GAINS)
    print(f"| result | places | F1 | order | {gains} | {SHARE:.0%} of the gain, share of random |")
    for number, result in enumerate(results):
        places = doubts_of(result)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copy(result, folder))
            paper = OnPaper(places, truth, overlap_table(truth, np.asarray(read_labels(copy).voxels)))
            rng = np.random.default_rng(number)
            one_each = {
                "most doubtful first": places,
                "evenly spaced": evenly(places),
                "knowing the truth": paper.best(),
            }
            made = {name: [curve(copy, truth, user, order)] for name, order in one_each.items()}
            for name, order in one_each.items():
                assert np.allclose(paper.curve(order), made[name][0]), (
                    f"{result}: {name} differs from the overlap table's curve"
                )
            shuffled = [[places[i] for i in rng.permutation(len(places))] for _ in range(orders)]
            made["random"] = [paper.curve(order) for order in shuffled]
        name = f"{result.parent.name}/{result.name}"
        curves[name] = made
        for order, several in made.items():
            counts = [needed(several, share, step) for share in GAINS]
            ends = f"{several[0][0]:.3f} to {several[0][-1]:.3f}"
            listed = " | ".join(f"{count:.1f}" for count in counts)
            share = needed(several, SHARE, step) / max(1, needed(made["random"], SHARE, step))
            print(f"| {name} | {len(places)} | {ends} | {order} | {listed} | {share:.2f} |", flush=True)
    return curves


def draw(curves: dict[str, Curves], figure: Path) -> None:
    """Draw F1 against the number of corrections, for each result and order; of random orders the median."""
    import matplotlib.pyplot as plt

    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    fig, panels = plt.subplots(rows, columns, figsize=(3.4 * columns, 2.8 * rows), layout="constrained", squeeze=False)
    for axes, (title, made) in zip(panels.flat, curves.items()):
        longest = max(len(scores) for several in made.values() for scores in several)
        for (name, several), colour in zip(made.items(), ("#D55E00", "#0072B2", "#000000", "#777777")):
            padded = np.array([scores + scores[-1:] * (longest - len(scores)) for scores in several])
            if len(several) == 1:
                dashes = "--" if name == "knowing the truth" else "-"  # so that a line under it shows
                axes.step(range(longest), padded[0], dashes, where="post", color=colour, linewidth=2, label=name)
                continue
            low, middle, high = np.quantile(padded, (0.1, 0.5, 0.9), axis=0)
            axes.fill_between(range(longest), low, high, step="post", color=colour, alpha=0.2, linewidth=0)
            axes.step(range(longest), middle, where="post", color=colour, linewidth=2, label=f"{name} (10 to 90 %)")
        axes.set_title(title.partition("/")[0], fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("corrections")
    for axes in panels[:, 0]:
        axes.set_ylabel(f"F1 at IoU {IOU}")
    panels[0, 0].legend(frameon=False, loc="lower right", fontsize=8)
    figure.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(figure, dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", nargs="?", type=Path)
    parser.add_argument("results", nargs="*", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--orders", type=int, default=2 if TINY else 200, help="random orders of each result")
    parser.add_argument("--round", type=int, default=1, help="corrections in a round")
    parser.add_argument("--leave", type=int, help="correct this many places, and leave the result corrected")
    options = parser.parse_args(WORDS)
    if options.leave is not None:
        leave(options.truth, *options.results, options.leave)
        raise SystemExit
    print(describe())
    with tempfile.TemporaryDirectory() as made:
        path, volumes = phantom(Path(made)) if options.truth is None else (options.truth, options.results)
        drawn = run(path, volumes, options.orders, options.round)
        if options.figure is not None:
            draw(drawn, options.figure)
    print(peak_memory())
