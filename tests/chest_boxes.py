"""A chest of boxes, whose measures are known by hand, stored as any file may store it."""

import numpy as np

from planewise.volumes.volume import Volume

SHAPE, SPACING_MM = (24, 40, 60), (5.0, 2.5, 3.0)  # canonical: z, y, x; the middle of the chest is at 0


def chest_boxes(order=(0, 1, 2), signs=(1, 1, 1)):
    """Return a CT in HU, labels 1 to 3, and a mask of the lungs, 1 left and 2 right, as volumes.

    Array axis i runs along patient axis ``order[i]`` (0 upwards, 1 backwards, 2 towards the left), ``signs[i]`` says
    whether that way or against it. Every voxel is what the place says that its file gives it. The lungs are 60 x 60 x
    90 mm; 1 is in the left upper third, -400 HU, 2 in the right lower, -970 HU, 3 in the right middle, -700 HU; four
    voxels of 1 are outside the lungs.
    """
    shape = tuple(SHAPE[axis] for axis in order)
    spacing = tuple(SPACING_MM[axis] for axis in order)
    direction = np.zeros((3, 3))
    for i, (axis, sign) in enumerate(zip(order, signs)):
        direction[axis, i] = sign
    origin = -direction @ (np.array(spacing) * (np.array(shape) - 1) / 2)
    steps = np.indices(shape).reshape(3, -1) * np.array(spacing)[:, None]
    z, y, x = (direction @ steps + origin[:, None]).reshape(3, *shape)
    lung = (np.abs(x) > 12) & (np.abs(x) < 72) & (np.abs(y) < 30) & (np.abs(z) < 45)
    labels = np.zeros(shape, np.uint8)
    labels[lung & (x > 42) & (z > 15)] = 1
    labels[lung & (x < 0) & (np.abs(y) < 15) & (z < -15)] = 2
    labels[lung & (x < -42) & (np.abs(z) < 15)] = 3
    hu = np.full(shape, -1000, np.int16)
    hu[(np.abs(x) < 84) & (np.abs(y) < 45)] = 40
    hu[lung] = -850
    for value, density in {1: -400, 2: -970, 3: -700}.items():
        hu[labels == value] = density
    labels[(np.abs(x) < 3) & (np.abs(y) < 2.5) & (z > 0) & (z < 5)] = 1  # four voxels in the mediastinum
    lungs = np.where(lung, np.where(x > 0, 1, 2), 0).astype(np.uint8)
    rows = tuple(tuple(row) for row in direction.tolist())
    about = {"spacing": spacing, "unit": "mm", "origin": tuple(origin.tolist()), "direction": rows}
    return tuple(Volume(voxels, **about) for voxels in (hu, labels, lungs))
