import math

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.measurement.density import densitometry, refuse_unless_hu


def test_densities_by_hand():
    density = densitometry(np.array([-1000, -950, -900, -601, -600, -400, -250, -249, -951, -899], np.int16))
    assert density["haa_percent"] == 30  # -600, -400, -250: the bounds count
    assert density["laa_percent"] == 20  # -1000, -951: -950 does not
    assert density["mean_hu"] == pytest.approx(-680)
    assert density["p50_hu"] == pytest.approx((-899 - 601) / 2)


def test_percentiles_lie_between_two_voxels():
    density = densitometry(np.linspace(-900, -800, 101))
    assert [density[f"p{q:02d}_hu"] for q in (5, 15, 25, 50, 75, 95)] == pytest.approx(
        [-895, -885, -875, -850, -825, -805]
    )
    assert density["sd_hu"] == pytest.approx(np.sqrt((101**2 - 1) / 12))


def test_no_lung_has_no_density():
    assert all(math.isnan(value) for value in densitometry(np.zeros(0, np.int16)).values())


def test_what_is_not_hu_is_refused():
    with pytest.raises(PlanewiseError, match="between 0 and 255, which is not HU"):
        refuse_unless_hu(np.array([0, 255]))
    with pytest.raises(PlanewiseError, match="median of the lungs is 174"):
        densitometry(np.array([174, 174, 200]))
    with pytest.raises(PlanewiseError, match="not finite"):
        densitometry(np.array([-800, np.nan]))
