import numpy as np
import pytest

from planewise.data.window import apply_window, saturated_share

LUNG, SOFT_TISSUE = (-600.0, 1500.0), (40.0, 400.0)  # level and width


def test_the_window_is_scaled_by_its_bounds():
    hu = np.array([-1350, -600, 150, 5000, -9000])
    assert apply_window(hu, *LUNG).tolist() == [0, 128, 255, 255, 0]
    assert apply_window(np.array([-600]), *LUNG) == apply_window(hu, *LUNG)[1]
    published = apply_window(np.array([-950, -850, -700, -400]), *LUNG)
    assert published.tolist() == pytest.approx([68, 85, 110, 161], abs=1)


def test_ground_glass_cannot_be_seen_in_soft_tissue():
    ground_glass = np.linspace(-700, -400, 100)
    assert saturated_share(ground_glass, *SOFT_TISSUE) == 1
    assert saturated_share(ground_glass, *LUNG) == 0
    assert np.isnan(saturated_share(np.zeros(0), 40, 400))
