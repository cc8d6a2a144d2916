import numpy as np
import pytest

from planewise.training.validation_slab import split_slab


def test_slabs_do_not_touch(capsys):
    for length in range(3, 60):
        for at in (0, length - 1):  # of the only object: it is trained on, and validation has what is left
            labels = np.zeros((2, length, 2), np.int32)
            labels[:, at] = 1
            slab = split_slab(labels, "a")
            sides = [set(range(length)[part[1]]) for part in (slab.training, slab.validation)]
            assert len(sides[1]) == max(1, round(0.2 * length))
            assert min(abs(a - b) for a in sides[0] for b in sides[1]) == 1 + max(1, round(0.05 * length))
            assert at in sides[0]
    assert split_slab(np.ones((2, 2, 2), np.int32), "small") is None
    assert "small: no slab is kept for validation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("objects", "held"),
    [
        ([(15, 2, 2), (15, 2, 38)], "x 32 to 39 of 40"),  # the published slab
        ([(15, 2, 2), (15, 2, 20)], "x 0 to 7 of 40"),  # none at its end
        ([(1, 4, 20), (18, 4, 20)], "z 16 to 19 of 20"),  # none at either end of the longest axis
        ([(10, 4, 20)], "x 32 to 39 of 40"),  # none at any end
        ([(10, 9, 39)], "x 0 to 7 of 40"),  # all at one
    ],
    ids=str,
)
def test_a_slab_with_objects_is_kept_if_there_is_one_that_leaves_some(objects, held):
    labels = np.zeros((20, 10, 40), np.int32)
    for place in objects:
        labels[place] = 1
    assert str(split_slab(labels, "a")) == held
