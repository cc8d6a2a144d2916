from dataclasses import replace

import numpy as np

from planewise.data.case import Case
from planewise.data.classes import CLASS_1
from planewise.training.object_sizes import object_sizes
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def case_of(folder, labels, unit="nm"):
    write_volume(folder / "a_0000.tiff", Volume(np.zeros(labels.shape, np.uint8), (10.0, 10.0, 10.0), unit))
    write_labels(folder / "a.tiff", Volume(labels, (10.0, 10.0, 10.0), unit))
    return Case("a", folder / "a_0000.tiff", folder / "a.tiff", True)


def test_the_low_quantile_of_whole_objects_in_voxels_and_um3(tmp_path):
    labels = np.zeros((5, 6, 60), np.uint16)
    for number in range(1, 7):  # of 2 x 2 x 1 to 6 voxels: 4, 8, ... 24
        labels[1:3, 1:3, 9 * number - 8 : 9 * number - 8 + number] = number
    labels[0, 0, 0] = 7  # at a face
    known = object_sizes([case_of(tmp_path, labels)], CLASS_1)
    assert known.whole
    assert known.objects == 6
    assert known.voxels == 5.0  # a twentieth of the way through five gaps of 4 voxels
    assert np.isclose(known.um3, 5e-6)


def test_of_few_whole_objects_all_count_and_what_lies_beside_unpainted_voxels_does_not(tmp_path):
    labels = np.zeros((5, 6, 20), np.uint16)
    labels[0, 1:3, 1] = 1  # at a face
    labels[2, 2, 5:9] = 2
    known = object_sizes([case_of(tmp_path, labels, "pixel")], CLASS_1)
    assert (known.objects, known.whole, known.um3) == (2, False, None)
    semantic = (labels > 0).astype(np.uint8)
    semantic[2, 2, 9] = 5
    ids = replace(case_of(tmp_path, semantic, "pixel"), instances=False)
    assert object_sizes([ids], replace(CLASS_1, ignore=5)).objects == 1
