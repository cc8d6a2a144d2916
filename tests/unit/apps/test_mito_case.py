"""What the options of mito predict become where slices are grouped."""

from dataclasses import asdict
from pathlib import Path

from planewise.apps.mito_case import grouping_of, settled
from planewise.apps.mito_options import MitoPredict
from planewise.inference.gathering import GroupingOptions
from planewise.models.model_file import ModelFile, Specks

FILES = {"trained_model": Path("M.yaml"), "input": Path("a.tiff"), "output": Path("out")}


def test_every_option_of_the_grouping_reaches_it():
    given = {
        "confidence_thr": 0.6, "center_confidence_thr": 0.2, "min_distance_object_centers": 5, "median_kernel": 7,
        "downsampling": 2, "min_size": 60, "min_extent": 3, "min_fused_size": 70, "min_agreement": 0.4,
    }  # fmt: skip
    grouping = grouping_of(MitoPredict(**FILES, **given))
    assert grouping == GroupingOptions(0.6, 0.2, 5, 7, 2, 60, 3, 70, 0.4)
    published = asdict(GroupingOptions())
    assert all(value != published[name] for name, value in asdict(grouping).items())


def test_what_options_leave_open_the_model_says():
    norms = {"mean": 0.5, "std": 0.1}
    recipe = ModelFile(norms=norms, specks=Specks(min_fused_size=900, min_agreement=0.2))
    left_open = MitoPredict(**FILES)
    assert grouping_of(settled(left_open, recipe)) == GroupingOptions(min_fused_size=900, min_agreement=0.2)
    assert grouping_of(settled(left_open, ModelFile(norms=norms))) == GroupingOptions()
    as_published = MitoPredict(**FILES, min_fused_size=0, min_agreement=0.0)
    assert grouping_of(settled(as_published, recipe)) == GroupingOptions()
