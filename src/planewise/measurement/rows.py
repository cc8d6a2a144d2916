"""Tables that grow slab by slab, with a row for each key: a label, or a pair of labels."""

import numpy as np


class Rows:
    """Gives each key a row, in the order of first appearance."""

    def __init__(self) -> None:
        self._row: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._row)

    @property
    def keys(self) -> np.ndarray:
        """The keys by row, int64 (n,)."""
        return np.fromiter(self._row, np.int64, len(self._row))

    def of(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each of ``keys`` (m,), new ones included."""
        known, inverse = np.unique(keys, return_inverse=True)
        rows = [self._row.setdefault(int(key), len(self._row)) for key in known]
        return np.array(rows, np.int64)[inverse]


def grown(array: np.ndarray, rows: int, fill: float) -> np.ndarray:
    """Return ``array`` with at least ``rows`` rows; new ones hold ``fill``."""
    if len(array) >= rows:
        return array
    more = np.full((max(rows - len(array), len(array)), *array.shape[1:]), fill, array.dtype)
    return np.concatenate([array, more])
