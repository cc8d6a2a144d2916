"""Which planes mito predicts a volume in, and what it says of it."""

from dataclasses import replace

import numpy as np
import pytest

from planewise.apps.mito_predict import choose_planes
from planewise.models.model_file import ModelFile
from planewise.volumes.volume import Volume

MODEL = ModelFile(norms={"mean": 0.5, "std": 0.1})


@pytest.mark.parametrize("asked", [None, ("xy",)])
def test_slices_of_a_tilted_gantry_are_said_to_be_taken_as_they_are(asked):
    volume = Volume(np.zeros((4, 5, 6)), (5.0, 2.0, 2.0), "mm")
    planes, why = choose_planes(volume, MODEL, asked)
    assert (planes, "tilted" in why) == (("xy",), False)
    planes, why = choose_planes(replace(volume, tilt=(-1.25, 0.0)), MODEL, asked)
    assert planes == ("xy",)
    assert "; the gantry was tilted by 14.0 degrees: its slices are taken as they are" in why
