"""What is said of the objects that limits leave out."""

from pathlib import Path

import numpy as np
import pytest

from planewise.apps.mito.case import VolumeToPredict
from planewise.apps.mito.left_out import left_out
from planewise.apps.mito.options import MitoPredict
from planewise.inference.dropped import NONE_DROPPED, Dropped
from planewise.models.model_file import SHIPPED, read_model_file
from planewise.volumes.volume import Volume


@pytest.mark.parametrize(
    ("axes", "planes", "consensus", "count", "said"),
    [
        (
            ("xy", "xz", "yz"),
            Dropped(size=28, extent=3, kept=21),
            Dropped(agreement=4, kept=11),
            11,
            "objects left out by limits: 31 of 52 in the 3 planes (28 by --min_size 500, 3 by --min_extent 5), 4 "
            "of 15 in their consensus (4 by --min_agreement 0.2)",
        ),
        (
            ("xy",),
            Dropped(size=2, kept=5),
            NONE_DROPPED,
            5,
            "objects left out by limits: 2 of 7 in plane xy (2 by --min_size 500)",
        ),
        (("xy",), Dropped(kept=5), NONE_DROPPED, 5, ""),
        (
            ("xy",),
            Dropped(size=2),
            NONE_DROPPED,
            0,
            "no objects: in plane xy the network saw 2; 2 left out by --min_size 500 (",
        ),
    ],
)
def test_each_limit_is_said_with_how_many_it_left_out(axes, planes, consensus, count, said):
    limits = {"min_size": 500, "min_agreement": 0.2}
    options = MitoPredict(trained_model=Path("M"), input=Path("i"), output=Path("o"), axes=axes, **limits)
    model = read_model_file(SHIPPED / "MitoNet_small.yaml")
    case = VolumeToPredict.of(Volume(np.zeros((8, 8, 8), np.uint8)), Path("a.tiff"), None, model, options)
    text = left_out(case, options, planes, consensus, count)
    assert text.startswith(said)
    assert bool(text) == bool(said)
