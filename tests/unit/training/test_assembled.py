import numpy as np
import pytest
import torch
from test_slice_folder import make_labelled

from planewise.inference.gathering import GroupingOptions, SliceOutputs
from planewise.inference.planes import SliceOptions
from planewise.training import assembled
from planewise.training.assembled import AssembledVolume, assemble, in_sections, panoptic_quality
from planewise.training.slice_folder import SlicePair, index_of, read_slice_folder, write_slice_folder

SLICES = SliceOptions(assembled.AS_SHARES, 0.0, 1.0, 4)


class Perfect:
    """Predicts that what is bright is foreground, one object a slice."""

    network, half = torch.nn.Identity(), False

    def predict(self, batches, options):
        for slices in batches:
            yield [self._outputs(slice_) for slice_ in slices]

    def _outputs(self, slice_):
        logits = np.where(slice_ > 0.5, 10, -10).astype(np.float32)
        coarse = (-(-slice_.shape[0] // 4), -(-slice_.shape[1] // 4))
        heatmap = np.zeros(coarse, np.float32)
        heatmap[0, 0] = 1.0
        return SliceOutputs(logits, heatmap, np.zeros((2, *coarse), np.float32))


def volume(*boxes, shown=None):
    labels = np.zeros((24, 32, 40), np.int32)
    for label, box in enumerate(boxes, 1):
        labels[box] = label
    image = np.zeros(labels.shape, np.float32)
    for box in boxes if shown is None else shown:
        image[box] = 1.0
    return AssembledVolume(image, labels)


FIRST = np.s_[2:22, 2:14, 2:14]
SECOND = np.s_[2:22, 2:14, 22:36]
THIRD = np.s_[2:22, 18:30, 2:36]


def quality(*volumes):
    return panoptic_quality(Perfect(), list(volumes), ("xy", "xz", "yz"), SLICES, GroupingOptions())


def test_panoptic_quality_by_hand():
    assert quality(volume(FIRST, SECOND)) == 1
    assert quality(volume(FIRST, SECOND, shown=[FIRST])) == pytest.approx(1 / 1.5)  # one is missed
    assert quality(volume(FIRST, shown=[FIRST, SECOND])) == pytest.approx(1 / 1.5)  # one is false
    assert quality(volume(FIRST), volume(FIRST, SECOND, shown=[FIRST])) == pytest.approx(2 / 2.5)  # all together
    assert quality(volume(FIRST, SECOND, shown=[THIRD])) == 0


def test_nothing_to_find_is_no_score():
    assert quality(volume(shown=[])) is None
    assert quality(volume(shown=[FIRST])) is None
    assert quality() is None


def test_what_lies_in_ignored_voxels_is_neither_right_nor_wrong():
    given = volume(FIRST, shown=[FIRST, SECOND])
    given.labels[SECOND] = -1
    assert quality(given) == 1


@pytest.mark.parametrize("painted", [[6], [6, 16], [6, 16, 11]])
def test_painted_slices_whose_ids_are_their_own_are_scored_section_by_section(painted):
    whole = volume(FIRST, SECOND)
    labels = np.full_like(whole.labels, -1)
    for number, z in enumerate(painted):
        labels[z] = np.where(whole.labels[z] > 0, whole.labels[z] + 2 * number, 0)
    assert quality(AssembledVolume(whole.image, labels)) == 1
    merged = AssembledVolume(np.maximum(whole.image, volume(np.s_[2:22, 2:14, 14:22]).image), labels)
    assert quality(merged) < 0.5  # that two are one is still seen


def test_objects_whose_ids_hold_in_all_that_is_known_are_scored_whole():
    whole = volume(FIRST, SECOND)
    labels = np.full_like(whole.labels, -1)
    labels[[6, 16]] = whole.labels[[6, 16]]
    predicted = np.where(whole.labels > 0, 5, 0)
    sections, of = in_sections(predicted, labels)
    assert np.array_equal(sections, np.where(labels < 0, 0, predicted))
    assert of.tolist() == [0, 1, 2, 3, 4, 5]
    labels[16] = np.where(labels[16] > 0, labels[16] + 2, 0)
    sections, of = in_sections(predicted, labels)
    assert sorted(np.unique(sections[6])) + sorted(np.unique(sections[16])) == [0, 1, 0, 2]
    assert of.tolist() == [0, 5, 5]


def test_slices_make_up_the_volume_that_they_were_cut_from(tmp_path):
    labels = np.zeros((20, 32, 40), np.uint8)
    labels[:, 5:9, 5:39] = 1
    for planes in (("xy", "yz"), ("xz",)):
        folder = tmp_path / planes[0]
        write_slice_folder([make_labelled(tmp_path, labels)], folder, planes, lambda name: None)
        (whole,) = assemble(read_slice_folder(folder, "val"))
        assert whole.image.shape == whole.labels.shape == (20, 32, 8)
        assert np.array_equal(whole.labels > 0, labels[:, :, 32:] > 0)


def test_of_a_large_volume_the_middle_stands_for_all(tmp_path, monkeypatch):
    labels = np.zeros((20, 32, 40), np.uint8)
    labels[8:12, 5:9, 5:39] = 1
    write_slice_folder([make_labelled(tmp_path, labels)], tmp_path / "2d", ("xy",), lambda name: None)
    monkeypatch.setattr(assembled, "VOXELS", 32 * 8 * 4)
    (part,) = assemble(read_slice_folder(tmp_path / "2d", "val"))
    assert part.labels.shape == (4, 32, 8)
    assert (part.labels > 0).any(axis=(1, 2)).all()


def test_slices_that_do_not_say_their_plane_make_up_nothing(tmp_path):
    pair = SlicePair(tmp_path / "slice_0001.tiff", tmp_path / "slice_0001.tiff", "slice")
    assert assemble([pair]) == []


def test_single_slices_are_volumes_of_one_slice_and_their_objects_are_scored(tmp_path):
    labels = np.zeros((20, 32, 40), np.uint8)
    labels[:, 5:15, 5:39] = 1
    write_slice_folder([make_labelled(tmp_path, labels)], tmp_path / "2d", ("xy", "yz"), lambda name: None)
    pairs = [pair for pair in read_slice_folder(tmp_path / "2d", "val") if index_of(pair) in (3, 8, 9)]
    volumes = assemble([pair for pair in pairs if pair.source.endswith("xy")])
    assert [one.labels.shape for one in volumes] == [(1, 32, 8), (2, 32, 8)]
    shown = [AssembledVolume((one.labels > 0).astype(np.float32), one.labels) for one in volumes]
    assert quality(shown[0]) == 1  # of 70 pixels, where an object of 500 voxels has a section of 63
