"""Prepared slices for tests: bars of given classes, and an organ around them."""

import numpy as np

from planewise.data.prepared import IGNORED

ORGAN = np.zeros((256, 256), np.uint8)
ORGAN[10:200, 40:200] = 1


def write_slice(folder, name, classes, shape=(40, 50)):
    for kind in ("imgs", "gts"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    labels = np.zeros((256, 256), np.uint8)
    for value in classes:
        labels[20 * value : 20 * value + 15, 60:120] = value
    np.save(folder / "imgs" / f"{name}.npy", np.full((*shape, 3), 100, np.uint8))
    np.save(folder / "gts" / f"{name}.npy", labels)


def ignore_below(folder, part, row):
    """Mark the rows from ``row`` of every slice as ignored."""
    for path in (folder / part / "gts").iterdir():
        labels = np.load(path)
        labels[row:] = IGNORED
        np.save(path, labels)
