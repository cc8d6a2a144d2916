import numpy as np

from plane_labels import plane_of
from planewise.inference.combinations import LABEL_BITS
from planewise.inference.fused import FinalLabels, FusedObjects


def test_a_voxel_s_label_is_that_of_its_combination():
    first, second = np.array([[[1, 1, 1, 0, 2, 2]]]), np.array([[[0, 1, 1, 1, 0, 1]]])
    of_keys = {(1, 0): 0, (1, 1): 2, (0, 1): 1, (2, 0): 3, (2, 1): 0}
    keys = np.array([a | b << LABEL_BITS for a, b in of_keys])
    final = FinalLabels(keys, np.array([*of_keys.values()]), 3)
    fused = FusedObjects([plane_of(first, "xy"), plane_of(second, "yz")], final)
    assert fused[...].tolist() == [[[0, 2, 2, 1, 3, 0]]]
    assert fused[0, 0, 2:5].tolist() == [2, 1, 3]
    assert (fused.count, fused.dtype, fused.votes) == (3, np.uint8, None)
