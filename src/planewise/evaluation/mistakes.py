"""The mistakes object by object: merged, split, missed, false, inexact; with ids, sizes and places."""

from dataclasses import dataclass

import numpy as np

from planewise.evaluation.located import LocatedOverlap

TOGETHER = 0.25  # two objects belong together if they share this much of the smaller one


@dataclass(frozen=True)
class Mistake:
    """``kind``: what happened; ``truth``, ``predicted``: the ids of the objects; ``voxels``: how many are wrong.

    ``centre``: the place (z, y, x) of the mistake in voxels: for a merge the centre of the largest object that should
    be separate, for a split that of the largest piece that should belong, else that of the object itself.
    """

    kind: str
    truth: tuple[int, ...]
    predicted: tuple[int, ...]
    voxels: int
    centre: tuple[int, int, int]


def find_mistakes(overlap: LocatedOverlap, matched: set[tuple[int, int]]) -> list[Mistake]:
    """Return the mistakes of the second volume, the prediction, against the first, the truth, largest first.

    Two objects belong together if they share at least a quarter (``TOGETHER``) of the smaller one. A predicted object
    together with several true ones is a "merge", a true one with several predicted ones a "split"; a true object
    together with none is "missed", a predicted one "false"; a pair that belongs to nothing else but is not in
    ``matched`` (truth, predicted) is "inexact". Of merges and splits all voxels but the largest piece's are wrong, of
    inexact pairs those that only one of the two has.
    """
    first_ids, first_sizes = overlap.first_sizes()
    second_ids, second_sizes = overlap.second_sizes()
    truth_size, predicted_size = dict(zip(first_ids, first_sizes)), dict(zip(second_ids, second_sizes))
    with_truth: dict[int, list[int]] = {int(label): [] for label in first_ids}  # label -> rows of the table
    with_predicted: dict[int, list[int]] = {int(label): [] for label in second_ids}
    for i in np.flatnonzero((overlap.first > 0) & (overlap.second > 0)):
        truth, predicted = int(overlap.first[i]), int(overlap.second[i])
        if overlap.count[i] >= TOGETHER * min(truth_size[truth], predicted_size[predicted]):
            with_truth[truth].append(int(i))
            with_predicted[predicted].append(int(i))

    mistakes: list[Mistake] = []
    for predicted, rows in with_predicted.items():
        rows.sort(key=lambda i: -overlap.count[i])
        if len(rows) > 1:
            ids = tuple(int(overlap.first[i]) for i in rows)
            mistakes.append(
                Mistake("merge", ids, (predicted,), int(overlap.count[rows[1:]].sum()), _at(overlap, rows[1]))
            )
        elif not rows:
            place = _centre(overlap, overlap.second == predicted)
            mistakes.append(Mistake("false", (), (predicted,), int(predicted_size[predicted]), place))
    for truth, rows in with_truth.items():
        rows.sort(key=lambda i: -overlap.count[i])
        if len(rows) > 1:
            ids = tuple(int(overlap.second[i]) for i in rows)
            mistakes.append(Mistake("split", (truth,), ids, int(overlap.count[rows[1:]].sum()), _at(overlap, rows[1])))
        elif not rows:
            place = _centre(overlap, overlap.first == truth)
            mistakes.append(Mistake("missed", (truth,), (), int(truth_size[truth]), place))
        elif len(with_predicted[predicted := int(overlap.second[rows[0]])]) == 1 and (truth, predicted) not in matched:
            wrong = truth_size[truth] + predicted_size[predicted] - 2 * overlap.count[rows[0]]
            place = _centre(overlap, overlap.first == truth)
            mistakes.append(Mistake("inexact", (truth,), (predicted,), int(wrong), place))
    return sorted(mistakes, key=lambda mistake: -mistake.voxels)


def _at(overlap: LocatedOverlap, row: int) -> tuple[int, int, int]:
    z, y, x = np.rint(overlap.centre[row]).astype(int).tolist()
    return z, y, x


def _centre(overlap: LocatedOverlap, rows: np.ndarray) -> tuple[int, int, int]:
    """Return the centre of what the ``rows`` (a mask) hold together."""
    z, y, x = np.rint(np.average(overlap.centre[rows], axis=0, weights=overlap.count[rows])).astype(int).tolist()
    return z, y, x
