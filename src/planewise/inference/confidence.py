"""The probability that an object is a true one, from the agreement of the planes: calibrated on held-out data.

It is a logistic curve of the share of its voxels that all planes have; see ``platt``.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from planewise.inference.votes import ObjectVotes
from planewise.models.model_file import Calibration
from planewise.models.platt import Prior, fit
from planewise.volumes.atomic import atomic_path
from planewise.volumes.slices import Plane
from planewise.volumes.volume import LazyArray

COLUMNS = (
    "label", "confidence", "voxels", "planes", "given_by_all", "given_by_one_beside", "disagreement_depth",
    "cut_from",
)  # fmt: skip
VIEWS = 4  # of the held-out part; an object counts once for all views together
SLOPE = 12.0  # standard deviation of the normal prior that limits the slope; other values are compared in docs/truth.md


def confidences(votes: ObjectVotes, calibration: Calibration) -> np.ndarray:
    """Return the probability, (objects,), that each object is true: that it matches a true object at IoU 0.5."""
    return np.asarray(1 / (1 + np.exp(-(calibration.offset + calibration.slope * votes.by_all))))


def calibrate(shares: np.ndarray, right: np.ndarray, planes: tuple[Plane, ...]) -> Calibration:
    """Return the calibration fitted to objects with these ``shares`` (n,), of which some are ``right`` (n,).

    ``planes``: the planes that gave the shares. Each row counts as one of ``VIEWS`` views of an object. Two invented
    objects regularise the fit if there are few: a false one with share 0, and a true one with share 1.
    """
    share = np.concatenate([shares, [0.0, 1.0]])
    truth = np.concatenate([right.astype(float), [0.0, 1.0]])
    weight = np.concatenate([np.full(len(shares), 1 / VIEWS), [1.0, 1.0]])
    curve = fit(share, truth, Prior(slope=0.0, slope_sd=SLOPE, offset=0.0, offset_sd=math.inf), weight)
    wrong = int((~right).sum())
    return Calibration(**curve.model_dump(), planes=planes, right=len(right) - wrong, wrong=wrong)


def write_objects(
    path: Path,
    votes: ObjectVotes | None,
    voxels: np.ndarray,
    calibration: Calibration | None,
    classes: Sequence[str] | None = None,
) -> None:
    """Write a CSV with a row for each object and the columns ``COLUMNS``; unknown values are empty.

    ``votes``: None if only one plane was predicted; then ``voxels`` (objects,) int64 are the sizes. ``classes``: the
    class of each object, one more column, if there are several classes.
    """
    of = [[name] for name in classes] if classes is not None else [[]] * len(voxels if votes is None else votes.voxels)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS if classes is None else (*COLUMNS, "class"))
        if votes is None:
            writer.writerows(
                [place + 1, "", size, 1, "", "", "", "", *of[place]] for place, size in enumerate(voxels.tolist())
            )
            return
        certain = None if calibration is None else confidences(votes, calibration)
        for place in range(len(votes.voxels)):
            of_planes = (votes.by_all[place], votes.alone[place], votes.depth[place])
            writer.writerow(
                [
                    place + 1,
                    "" if certain is None else f"{certain[place]:.4f}",
                    votes.voxels[place] + votes.added[place],
                    votes.planes[place],
                    *(f"{value:.4f}" for value in of_planes),
                    votes.cut_from[place] or "",
                    *of[place],
                ]
            )


class ConfidenceOfVoxels:
    """A volume (z, y, x) float32 with the confidence of the object at each voxel, 0 in the background."""

    dtype = np.dtype(np.float32)

    def __init__(self, labels: LazyArray, certain: np.ndarray) -> None:
        """``labels``: 0 to n; ``certain`` (n,): the objects' confidence."""
        self.shape, self._labels = labels.shape, labels
        self._certain = np.concatenate([[0.0], certain]).astype(np.float32)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._certain[np.asarray(self._labels[index])]
