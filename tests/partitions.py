"""Comparing labellings whose numbers do not matter."""

import numpy as np


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two label images hold the same objects, under whatever numbers; 0 is background in both."""
    pairs = set(zip(a.ravel().tolist(), b.ravel().tolist()))
    return (0 in a) == (0 in b) and len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})
