"""The objects of several classes as two volumes: ids that are unique over all things, and the class of each voxel.

Classes exclude each other in each plane and, if more than half of the planes must agree, also in the consensus.
"""

from collections.abc import Sequence

import numpy as np

from planewise.inference.painted import Corner, Painted, place_of
from planewise.inference.votes import ObjectVotes


class AllThings(Painted):
    """The objects of all classes of things, numbered consecutively class by class."""

    def __init__(self, classes: Sequence[Painted], kinds: Sequence[bool]) -> None:
        """``classes``: the objects of each class; ``kinds``: whether each is one of things."""
        self.shape = classes[0].shape
        self._things = [objects for objects, is_thing in zip(classes, kinds, strict=True) if is_thing]

    @property
    def count(self) -> int:
        """See ``Painted``."""
        return sum(objects.count for objects in self._things)

    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """See ``Painted``."""
        before = 0
        for objects in self._things:
            ids = objects[place_of(window, corner)].astype(window.dtype)
            np.copyto(window, ids + window.dtype.type(before), where=ids > 0)
            before += objects.count


class ClassMap(Painted):
    """The class of every voxel, 1 to n; not every class need occur."""

    def __init__(self, classes: Sequence[Painted]) -> None:
        """``classes``: the objects of each class; of stuff whatever is above 0."""
        self.shape = classes[0].shape
        self._classes = list(classes)

    @property
    def count(self) -> int:
        """See ``Painted``."""
        return len(self._classes)

    def paint(self, window: np.ndarray, corner: Corner) -> None:
        """See ``Painted``."""
        for number, objects in enumerate(self._classes, 1):
            np.copyto(window, window.dtype.type(number), where=objects[place_of(window, corner)] > 0)


def joined_votes(of_classes: Sequence[ObjectVotes]) -> ObjectVotes:
    """Return the votes on the objects of several classes, in the order of ``AllThings``."""
    none = np.zeros(0, np.int64)
    firsts = np.cumsum([0, *(len(votes.voxels) for votes in of_classes)])
    cut_from = [np.where(votes.cut_from > 0, votes.cut_from + n, 0) for votes, n in zip(of_classes, firsts)]
    joined = {
        name: np.concatenate([none, *(getattr(votes, name) for votes in of_classes)])
        for name in ObjectVotes.__dataclass_fields__
    }
    return ObjectVotes(**joined | {"cut_from": np.concatenate([none, *cut_from])})
