"""Which units of a population are drawn: at random, with probabilities that are known before anything is corrected.

A population is a row of units in an order in which neighbours are alike: slices along the axis, boxes through the
volume, objects from the least certain and smallest on. It is cut into strata, and each gives items at random.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

Design = Literal["stratified", "systematic"]
ITEMS_A_STRATUM = 7  # fewer follow the result more closely, but can miss where it changes, and then say too little


@dataclass(frozen=True)
class Stratum:
    """Units ``start`` to ``stop`` of a population, of which those at ``drawn`` (n,) are items."""

    start: int
    stop: int
    drawn: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def probability(self) -> float:
        """The probability with which each unit of the stratum is drawn."""
        return len(self.drawn) / self.size


def generator(seed: int, *words: str) -> np.random.Generator:
    """Return the random numbers of one population of a plan: the same for the same seed and ``words``."""
    digest = hashlib.blake2b("\n".join([str(seed), *words]).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def draw(design: Design, size: int, items: int, rng: np.random.Generator) -> list[Stratum]:
    """Draw ``items`` of a population of ``size`` units; all of them if they are no more.

    ``stratified``: strata of neighbours, each with about ``ITEMS_A_STRATUM`` items, drawn without replacement.
    ``systematic``: every (size / items)-th unit from a random start on; one stratum.
    """
    items = min(items, size)
    if items < 1:
        return []
    if design == "systematic":
        places = np.floor((rng.random() + np.arange(items)) * size / items).astype(int)
        return [Stratum(0, size, tuple(int(place) for place in np.minimum(places, size - 1)))]
    count = max(1, items // ITEMS_A_STRATUM)
    bounds = np.linspace(0, size, count + 1).round().astype(int)
    shares = np.diff(np.linspace(0, items, count + 1).round().astype(int))
    strata = []
    for start, stop, share in zip(bounds[:-1], bounds[1:], shares):
        chosen = rng.choice(np.arange(start, stop), min(int(share), int(stop - start)), replace=False)
        strata.append(Stratum(int(start), int(stop), tuple(sorted(int(place) for place in chosen))))
    return strata


def share_out(items: int, places: int) -> list[int]:
    """Return how many of ``items`` each of ``places`` gets: the same, or one more for the first ones."""
    return [items // places + (place < items % places) for place in range(places)]
