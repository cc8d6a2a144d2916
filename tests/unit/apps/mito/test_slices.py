"""What identifies the slices that were cut for a training."""

from planewise.apps.mito.slices import _made_from
from planewise.data.classes import CLASS_1
from planewise.data.contrast import Contrast
from planewise.data.intensity import TrainedIntensities
from planewise.data.intensity_rule import IntensityRule

DARK, MIXED = Contrast(fine="dark", broad="dark"), Contrast(fine="dark", broad="bright")


def test_slices_are_identified_by_all_lines_that_may_leave_out_a_case():
    def key(contrast):
        rule = IntensityRule(TrainedIntensities(contrast=contrast))
        return _made_from([], ("xy",), CLASS_1, rule).key

    contrasts = [DARK, DARK.inverted(), MIXED, MIXED.inverted(), Contrast(), Contrast(fine="dark")]
    assert len({key(contrast) for contrast in contrasts}) == len(contrasts)
    stated = _made_from([], ("xy",), CLASS_1, IntensityRule(TrainedIntensities(contrast=DARK))).options
    assert stated["base model's intensities"] == (0.25, 0.9, "dark")  # as before, so that slices are kept
