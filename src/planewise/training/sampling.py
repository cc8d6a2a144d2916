"""Which slice the n-th sample of a training is: a function of the seed and n alone.

So a resumed training uses the same samples as an uninterrupted one, and processes share them without communication.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np


def source_weights(sources: list[str], gamma: float) -> np.ndarray:
    """Return each slice's probability: (slices of its source) ** -gamma, normalised.

    With ``gamma`` 0 all slices are equally likely, with 1 all sources (``weight_gamma`` in a model's YAML). A source is
    a case in one plane: a flat volume has few slices in its widest plane, and many narrow ones in the others.
    """
    count = Counter(sources)
    weights = np.array([float(count[source]) ** -gamma for source in sources])
    return weights / weights.sum()


def sample_generator(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of the ``index``-th sample."""
    return np.random.default_rng([seed, index])


class SampleRange:
    """Sample numbers in the order in which one of ``world`` processes draws them, from optimiser step ``start`` on.

    A batch of ``batch`` samples is shared: process ``rank`` draws its ``rank``-th part.
    """

    def __init__(self, start: int, stop: int, batch: int, rank: int, world: int) -> None:
        self.start, self.stop, self.batch, self.rank, self.world = start, stop, batch, rank, world

    def __len__(self) -> int:
        return (self.stop - self.start) * (self.batch // self.world)

    def __iter__(self) -> Iterator[int]:
        share = self.batch // self.world
        for step in range(self.start, self.stop):
            first = step * self.batch + self.rank * share
            yield from range(first, first + share)
