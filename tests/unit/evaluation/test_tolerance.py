import pytest

from planewise.evaluation.scale import Scale
from planewise.evaluation.tolerance import Tolerance, tolerance_for


@pytest.mark.parametrize(
    ("spacing", "within"),
    [((2.5, 0.98, 0.98), 2.5), ((1.25, 0.7, 0.7), 1.4), ((30, 8, 8), 30), ((5, 5, 5), 10), ((1, 1, 1), 2)],
)
def test_two_voxels_of_the_finest_side_or_one_of_the_coarsest(spacing, within):
    assert tolerance_for(Scale("mm", spacing)) == pytest.approx(within)


def test_what_is_given_comes_first_and_a_class_s_own_before_that():
    tolerance = Tolerance({"mm": 3.0}, {("mm", "a"): 1.0})
    scale = Scale("mm", (5.0, 1.0, 1.0))
    assert (tolerance.of(scale, "a"), tolerance.of(scale, "b")) == (1, 3)
    assert tolerance.of(Scale("nm", (5.0, 1.0, 1.0)), "a") == 5
