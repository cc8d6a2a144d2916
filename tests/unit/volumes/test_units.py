from pathlib import Path

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.units import convert, read_size, read_spacing
from planewise.volumes.volume import Volume

FILE = Path("a.tiff")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("nm", (2.0, "nm")), ("nanometer", (2.0, "nm")), ("µm", (2.0, "um")), ("micron", (2.0, "um")),
        ("\\u00B5m", (2.0, "um")), ("mm", (2.0, "mm")), ("Angstrom", (0.2, "nm")), ("\u212b", (0.2, "nm")),
        ("cm", (20.0, "mm")), ("meter", (2000.0, "mm")), ("inch", (50.8, "mm")),
        ("", (2.0, "pixel")), ("parsec", (2.0, "pixel")), (None, (2.0, "pixel")),
    ],
)  # fmt: skip
def test_what_files_call_units(name, size):
    assert read_size(2.0, name) == (pytest.approx(size[0]), size[1])


def test_conversion_and_its_inverse():
    assert convert(5.0, "nm", "mm") == pytest.approx(5e-6)
    assert convert(convert(5.0, "nm", "um"), "um", "nm") == pytest.approx(5.0)
    assert convert(5.0, "pixel", "mm") == 5.0


def test_axes_with_different_units_are_brought_to_that_of_x():
    assert read_spacing(FILE, [40, 0.008, 0.008], ["nm", "µm", "µm"]) == (pytest.approx((0.04, 0.008, 0.008)), "um")
    with pytest.raises(PlanewiseError, match=r"a\.tiff: its units along z, y, x are '', 'nm', 'nm'"):
        read_spacing(FILE, [40, 8, 8], ["", "nm", "nm"])


def test_a_volume_in_another_unit():
    volume = Volume(np.zeros((1, 1, 1)), (40.0, 8.0, 4.0), "nm", (1000.0, 0.0, 0.0))
    assert volume.spacing_in("um") == pytest.approx((0.04, 0.008, 0.004))
    assert volume.in_unit("mm").origin == pytest.approx((0.001, 0.0, 0.0))
    assert volume.in_unit("mm").spacing == pytest.approx((4e-5, 8e-6, 4e-6))
    unknown = Volume(np.zeros((1, 1, 1)), (2.0, 1.0, 1.0))
    assert unknown.in_unit("mm") is unknown
