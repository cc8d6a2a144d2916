"""Volumes whose voxels say where they are, as scenes."""

import numpy as np

from planewise.viewing.scene import Place, Scene, image_layer, labels_layer
from planewise.volumes.files import write_volume
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SHAPE = (12, 20, 33)
SPACING = (40.0, 8.0, 4.0)
CODED = np.fromfunction(lambda z, y, x: 10_000 * z + 100 * y + x, SHAPE).astype(np.uint32)
LABELS = np.zeros(SHAPE, np.uint16)
LABELS[2:6, 4:14, 20:30] = 7
LABELS[8, 1:3, 5:10] = 300


def em_scene(folder, ending=".ome.zarr", names=None, places=(), chosen=None):
    """A scene of an image, its truth and a method's labels, anisotropic, in nm."""
    write_volume(folder / f"image{ending}", Volume(CODED, SPACING, "nm"))
    write_labels(folder / f"labels{ending}", Volume(LABELS, SPACING, "nm").as_labels(names))
    layer, stored = image_layer("case", folder / f"image{ending}", None)
    place = folder / f"image{ending}", stored
    layers = [layer]
    for name, shown in (("truth", False), ("method", True)):
        layers.append(labels_layer(name, folder / f"labels{ending}", LabelNames(), place, False, shown)[0])
    return Scene("case - planewise", layers, [Place(*of) for of in places], (6, 10, 16), chosen or {})
