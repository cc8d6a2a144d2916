"""Draws units of a population at random, with probabilities that are known before anything is corrected.

A population is a sequence of units in which neighbours are similar: slices along the axis, boxes through the volume,
objects by increasing certainty and size. It is divided into strata, and items are drawn from each at random.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

Design = Literal["stratified", "systematic"]
ITEMS_A_STRATUM = 7  # with fewer, strata are smaller and follow the result more closely, but one can lack variation


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
    """Return the generator of random numbers for one population of a plan, determined by ``seed`` and ``words``."""
    digest = hashlib.blake2b("\n".join([str(seed), *words]).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def cut(design: Design, weights: np.ndarray, items: int) -> list[tuple[int, int, int]]:
    """Return the strata (start, stop, items) of a population of units with ``weights`` (n,), all above 0.

    ``stratified``: strata of neighbours with the same total weight, each with about ``ITEMS_A_STRATUM`` items, so that
    a heavy unit is drawn with a higher probability; the last units, if they are so heavy that they would be drawn more
    than once, are all drawn. ``systematic``: one stratum.
    """
    size = len(weights)
    items = min(items, size)
    if items < 1:
        return []
    if design == "systematic":
        return [(0, size, items)]
    certain = 0
    while certain < items - 2 and weights[size - certain - 1] * (items - certain) >= weights[: size - certain].sum():
        certain += 1
    if certain and size - certain > 0:
        return [*cut(design, weights[: size - certain], items - certain), (size - certain, size, certain)]
    count = max(1, items // ITEMS_A_STRATUM)
    reached = np.concatenate([[0.0], np.cumsum(weights) / np.sum(weights)])
    bounds = np.array([int(np.abs(reached - share).argmin()) for share in np.linspace(0, 1, count + 1)])
    bounds = np.unique(np.r_[0, bounds, size])
    sizes = np.diff(bounds)
    shares = np.minimum(np.diff(np.linspace(0, items, len(bounds)).round().astype(int)), sizes)
    while (left := items - int(shares.sum())) > 0:  # items that small strata cannot take go to the others
        open_ = np.flatnonzero(shares < sizes)
        for place in open_[np.argsort(shares[open_] / sizes[open_], kind="stable")][:left]:
            shares[place] += 1
    return [(int(a), int(b), int(n)) for a, b, n in zip(bounds[:-1], bounds[1:], shares)]


def draw(design: Design, strata: list[tuple[int, int, int]], rng: np.random.Generator) -> list[Stratum]:
    """Draw the items of strata (start, stop, items).

    ``stratified``: at random without replacement. ``systematic``: every (units / items)-th from a random start on.
    """
    drawn = []
    for start, stop, items in strata:
        if design == "systematic":
            places = start + np.floor((rng.random() + np.arange(items)) * (stop - start) / items).astype(int)
            places = np.minimum(places, stop - 1)
        else:
            places = np.sort(rng.choice(np.arange(start, stop), items, replace=False))
        drawn.append(Stratum(start, stop, tuple(places.tolist())))
    return drawn


def share_out(items: int, places: int) -> list[int]:
    """Return how many of ``items`` each of ``places`` gets: all the same number, or the first ones one more."""
    return [items // places + (place < items % places) for place in range(places)]
