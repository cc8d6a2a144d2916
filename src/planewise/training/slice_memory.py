"""A cache of slices: decoding one takes longer than cutting a crop from it."""

import numpy as np

from planewise.training.slice_folder import SlicePair, read_pair

MOST = 500_000_000  # bytes that a process caches; slices that do not fit are read again each time


class SliceMemory:
    """Reads slices as ``read_pair`` does, and caches them as far as they fit."""

    def __init__(self, most: int = MOST) -> None:
        self._most = self._left = most
        self._slices: dict[SlicePair, tuple[np.ndarray, np.ndarray]] = {}

    def __reduce__(self) -> tuple[type["SliceMemory"], tuple[int]]:
        """Pickle without the cache, which would take longer to send than to read."""
        return SliceMemory, (self._most,)

    def read(self, pair: SlicePair) -> tuple[np.ndarray, np.ndarray]:
        """See ``read_pair``. The returned arrays must not be modified."""
        if pair not in self._slices:
            image, labels = read_pair(pair)
            if labels.size and labels.max() <= np.iinfo(np.int16).max:
                labels = labels.astype(np.int16)
            if image.nbytes + labels.nbytes > self._left:
                return image, labels.astype(np.int32)
            self._left -= image.nbytes + labels.nbytes
            self._slices[pair] = image, labels
        image, labels = self._slices[pair]
        return image, labels.astype(np.int32)
