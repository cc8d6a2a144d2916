"""Planes whose objects are just some labels: to test what fuses them."""

import numpy as np

from planewise.inference.plane_objects import PlaneObjects
from planewise.volumes.slices import as_stack


def plane_of(labels, plane):
    """A plane's objects that are just these labels."""
    labels = np.asarray(labels)
    stack = as_stack(labels, plane)
    padded = np.pad(stack, ((0, 0), (0, 0), (1, 1)))
    first, last = (stack > 0) & (stack != padded[..., :-2]), (stack > 0) & (stack != padded[..., 2:])
    ends = np.cumsum(first.sum(2).ravel()).reshape(first.shape[:2])  # of each row's runs
    row_starts = np.column_stack([ends[:, 0] - first[:, 0].sum(1), ends])
    start, stop = (np.nonzero(mask)[2].astype(np.int32) for mask in (first, last))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return PlaneObjects(plane, labels.shape, row_starts, start, stop + 1, stack[first].astype(np.int32), sizes)


def boxes(*spans, shape=(10, 10, 60)):
    labels = np.zeros(shape, np.int32)
    for i, (start, stop) in enumerate(spans, start=1):
        labels[:, :, start:stop] = i
    return labels


def columns(labels):
    """The labels along x, of volumes that are constant along the other axes."""
    assert (labels == labels[:1, :1]).all()
    return labels[0, 0]
