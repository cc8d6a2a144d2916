"""Which slice the n-th sample of a training is: a function of the seed and n alone.

So a resumed training sees the very samples it would have seen, and several processes share them without talking.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np


def source_weights(sources: list[str], gamma: float) -> np.ndarray:
    """Return each slice's probability: (slices of its source) ** -gamma, normalised.

    ``gamma`` 0 draws every slice alike, 1 every source alike (``weight_gamma`` in a model's YAML). A source is a case
    in one plane: of a flat volume there are few slices in the plane that shows most, and many narrow ones.
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
