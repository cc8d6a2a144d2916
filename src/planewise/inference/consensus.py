"""Fuses the objects of several planes into one volume (Conrad and Narayan 2023, doi:10.1016/j.cels.2022.12.006).

Everything is computed from one table: how many voxels have each combination of the planes' labels, and where (see
``combinations``). From it, corresponding objects of different planes are clustered (see ``object_clusters``), and the
results are cut or dropped. A voxel's final label is a function of its combination (see ``fused``).
"""

from dataclasses import dataclass, replace

import numpy as np

from planewise.inference.combinations import CombinationTable, check_number, count_combinations, unpack
from planewise.inference.extension import extended
from planewise.inference.fused import FinalLabels, FusedObjects
from planewise.inference.linking import keep_large
from planewise.inference.object_clusters import vote_labels
from planewise.inference.painted import Painted
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.repair import cut_merged
from planewise.inference.votes import ObjectVotes, object_votes


@dataclass(frozen=True)
class FusionOptions:
    """How objects of several planes become one, and which of them are kept.

    A voxel needs ``vote`` planes. Objects are dropped if they are under ``min_size`` voxels or ``min_extent`` (see
    ``linking.long_enough``), or if all planes agree on less than the share ``min_agreement`` of them. ``repair``: the
    remaining objects are cut where two planes show the same parts, see ``repair``. ``extend``: at last they have the
    voxels too that fewer planes give them, see ``extension``. ``stuff``: a class without objects, whose voxels are
    voted on one by one, whatever their labels.
    """

    vote: int
    min_size: int
    min_extent: int
    min_agreement: float = 0.0
    repair: bool = False
    extend: bool = False
    stuff: bool = False


def consensus(planes: list[PlaneObjects], options: FusionOptions, threads: int = 1) -> Painted:
    """Return the fused objects of one to three planes of one volume.

    ``threads``: parts of the volume counted at a time. The objects of a single plane are returned as they are.
    Raises ValueError for more objects in a plane than 2**21 - 1.
    """
    if len(planes) == 1:
        return planes[0]
    sizes = [plane.sizes for plane in planes]
    check_number(sizes)
    table = count_combinations(planes, threads)
    return FusedObjects(planes, *final_labels(table, sizes, planes[0].shape, options))


def final_labels(
    table: CombinationTable, sizes: list[np.ndarray], shape: tuple[int, int, int], options: FusionOptions
) -> tuple[FinalLabels, ObjectVotes]:
    """Return the final labels of a volume's combinations, and the votes on its objects.

    ``sizes``: of each plane's objects by label. Raises ValueError for more objects in a plane than 2**21 - 1.
    """
    check_number(sizes)
    labels = unpack(table.keys, len(sizes))
    if options.stuff:
        voted = ((labels > 0).sum(axis=1) >= options.vote).astype(np.int64)
    else:
        voted = vote_labels(labels, table.counts, sizes, options.vote)
    votes = object_votes(voted, labels, table.counts)
    agreed = np.where(np.concatenate([[1.0], votes.by_all])[voted] < options.min_agreement, 0, voted)
    result, kept, dropped = keep_large(agreed, table.counts, table.boxes, shape, options.min_size, options.min_extent)
    dropped = replace(dropped, agreement=int(np.count_nonzero(votes.by_all < options.min_agreement)))
    cut_from = np.zeros(len(kept) - 1, np.int64)
    # With so few required votes that planes can overrule each other, touching objects are meant to be one.
    if options.repair and options.vote > len(sizes) // 2:

        def stands(rows: np.ndarray) -> bool:
            alone, counts = np.ones(len(rows), np.int64), table.counts[rows]
            agree = object_votes(alone, labels[rows], counts).by_all[0] >= options.min_agreement
            large = keep_large(alone, counts, table.boxes[rows], shape, options.min_size, options.min_extent)[0]
            return agree and bool(large.any())

        result, cut_from = cut_merged(result, labels, table.counts, stands)
        new = result >= len(kept)
        voted[new] = len(votes.voxels) + result[new] - len(kept) + 1
        votes = object_votes(voted, labels, table.counts)
    votes = replace(votes.of(np.unique(voted[result > 0]) - 1), cut_from=cut_from)
    if options.extend:
        before, result = result, extended(result, labels, table.counts, cut_from, voted == 0)
        added = np.bincount(result, np.where(before > 0, 0, table.counts), len(cut_from) + 1)
        votes = replace(votes, added=added[1:].astype(np.int64))
    return FinalLabels(table.keys, result.astype(np.int64), len(cut_from), dropped), votes
