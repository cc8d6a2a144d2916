"""What the options of mito predict become where slices are grouped."""

from dataclasses import asdict
from pathlib import Path

from planewise.apps.mito_case import grouping_of
from planewise.apps.mito_options import MitoPredict
from planewise.inference.gathering import GroupingOptions

FILES = {"trained_model": Path("M.yaml"), "input": Path("a.tiff"), "output": Path("out")}


def test_every_option_of_the_grouping_reaches_it():
    given = {
        "confidence_thr": 0.6, "center_confidence_thr": 0.2, "min_distance_object_centers": 5, "median_kernel": 7,
        "downsampling": 2, "min_size": 60, "min_extent": 3, "min_agreement": 0.4, "repair": "on",
    }  # fmt: skip
    grouping = grouping_of(MitoPredict(**FILES, **given))
    assert grouping == GroupingOptions(0.6, 0.2, 5, 7, 2, 60, 3, 0.4, True)
    published = asdict(GroupingOptions())
    of_options = {name for name in published if name != "things"}  # which the model says
    assert all(getattr(grouping, name) != published[name] for name in of_options)
