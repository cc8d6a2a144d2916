import numpy as np
import pytest
from test_slice_folder import make_labelled

from planewise.models.model_file import LittleData, ModelFile, Specks
from planewise.training.object_sizes import object_sizes, specks_by_training
from planewise.training.slice_folder import SlicePair, read_slice_folder, write_slice_folder


@pytest.fixture
def pairs(tmp_path):
    """Objects of 20 * 4 * 38 (cut by the gap of 2 before the slab of 8), of 4 ** 3 and of 2 * 4 * 4 voxels."""
    labels = np.zeros((20, 32, 40), np.uint8)
    instances = labels.astype(np.uint16)
    for label, box in enumerate((np.s_[:, 5:9, :], np.s_[2:6, 12:16, 4:8], np.s_[10:12, 20:24, 4:8]), 1):
        labels[box], instances[box] = 1, label
    folder = tmp_path / "2d"
    write_slice_folder([make_labelled(tmp_path, labels, instances)], folder, ("xy", "xz"), lambda name: None)
    return read_slice_folder(folder, "train") + read_slice_folder(folder, "val")


def test_parts_of_an_object_count_together(pairs):
    assert sorted(object_sizes(pairs)) == [32, 64, 20 * 4 * 38]


def test_slices_that_do_not_say_their_plane_have_no_objects_of_a_size(tmp_path):
    path = tmp_path / "slice_0001.tiff"
    assert len(object_sizes([SlicePair(path, path, "slice")])) == 0


def test_the_least_size_is_the_quantile_that_the_recipe_says(pairs):
    def model(**recipe):
        return ModelFile(
            norms={"mean": 0.5, "std": 0.1}, little_data=LittleData(**recipe), specks=Specks(min_fused_size=7)
        )

    assert specks_by_training(model(), pairs) == Specks(min_fused_size=7)
    assert specks_by_training(model(size_quantile=0.5, min_agreement=0.2), pairs) == Specks(
        min_fused_size=64, min_agreement=0.2
    )
    assert specks_by_training(model(size_quantile=0.5), []).min_fused_size == 0
