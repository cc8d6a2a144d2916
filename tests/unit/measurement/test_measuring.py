"""A volume measured as a whole: the same from memory and from a store, with images, references, and limits."""

import json
import math

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.measurement.measuring import measure_volume
from planewise.measurement.volume_measures import Measured
from planewise.volumes import labels as label_volumes
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import open_labels
from planewise.volumes.volume import Volume

SPACING = (10.0, 5.0, 5.0)


@pytest.fixture
def touching(balls):
    """The five balls, one of which another object touches."""
    balls[10:14, 10:14, 21:24] = 6
    return balls


def as_text(measured):
    return json.dumps(measured.as_json(), allow_nan=False, sort_keys=True)


def test_a_store_read_in_slabs_gives_the_same_numbers(touching, tmp_path, monkeypatch):
    image = np.random.default_rng(0).normal(100, 9, touching.shape).astype(np.float32)
    reference = np.zeros(touching.shape, np.uint8)
    reference[:, :6] = 1
    whole = measure_volume(
        Volume(touching, SPACING, "nm"), Volume(image, SPACING, "nm"), {"nucleus": Volume(reference, SPACING, "nm")}
    )
    for name, voxels in (("labels", touching), ("image", image), ("nucleus", reference)):
        write_volume(tmp_path / f"{name}.ome.zarr", Volume(voxels, SPACING, "nm"))
    monkeypatch.setattr(label_volumes, "SLAB_VOXELS", 1)
    monkeypatch.setattr(label_volumes, "SLAB_PLANES", 7)
    monkeypatch.setattr("planewise.measurement.crops.BLOCK", 8)
    cut = measure_volume(
        open_labels(tmp_path / "labels.ome.zarr"),
        open_volume(tmp_path / "image.ome.zarr"),
        {"nucleus": open_labels(tmp_path / "nucleus.ome.zarr")},
    )
    assert as_text(cut) == as_text(whole)
    assert {"mean_intensity", "nucleus_distance", "surface", "length"} <= whole.objects.keys()


def test_numbers_are_in_micrometres(touching):
    measured = measure_volume(Volume(touching, SPACING, "nm"))
    size = measured.objects["voxels"] * 0.01 * 0.005 * 0.005
    assert measured.objects["volume"] == pytest.approx(size)
    assert measured.volume["volume_fraction"] == (touching > 0).mean()
    assert measured.volume["contacts"] == 1
    assert measured.contacts.first.tolist() == [1]
    assert measured.objects["surface_to_volume"] == pytest.approx(measured.objects["surface"] / size)
    in_mm = measure_volume(Volume(touching, (1e-5, 5e-6, 5e-6), "mm"))
    for key, values in measured.objects.items():
        assert in_mm.objects[key] == pytest.approx(values), key


def test_without_a_unit_lengths_are_in_voxels(touching):
    measured = measure_volume(Volume(touching, (2.0, 1.0, 1.0)))
    assert not measured.physical
    assert measured.objects["volume"] == pytest.approx(2 * measured.objects["voxels"])


def test_mean_intensity_and_distance_by_hand():
    labels, reference = np.zeros((2, 6, 9, 20), np.uint8)
    labels[2:4, 3:6, 2:5], labels[2:4, 3:6, 12], labels[4, 1, 1] = 1, 2, 3
    reference[2:4, 3:6, 5:7] = 8  # beside the first
    reference[4, 1, 1] = 9  # within the third
    image = np.where(labels == 1, 50, 7).astype(np.uint8)
    measured = measure_volume(
        Volume(labels, (1.0, 1.0, 0.5), "um"), Volume(image), {"cell": Volume(reference, (1.0, 1.0, 0.5), "um")}
    )
    assert measured.objects["mean_intensity"].tolist() == [50, 7, 7]
    assert measured.objects["cell_distance"] == pytest.approx([0.5, 3.0, 0])
    assert measured.objects["cell_contacts"].tolist() == [1, 0, 0]
    assert measured.objects["cell_contact_area"][0] == pytest.approx(6, rel=0.2)
    nothing = measure_volume(Volume(labels), None, {"cell": Volume(np.zeros_like(reference))})
    assert np.isnan(nothing.objects["cell_distance"]).all()


def test_an_object_too_large_for_memory_has_what_is_counted(touching):
    measured = measure_volume(Volume(touching, SPACING, "nm"), most_bytes=48 * 4000)
    assert measured.too_large == [1, 2, 3, 4, 5]
    assert np.isnan(measured.objects["surface"][:5]).all()
    assert not math.isnan(measured.objects["surface"][5])
    assert not np.isnan(measured.objects["volume"]).any()
    assert Measured.from_json(json.loads(as_text(measured))).too_large == [1, 2, 3, 4, 5]


def test_an_empty_volume_has_no_objects():
    measured = measure_volume(Volume(np.zeros((4, 5, 6), np.uint8), SPACING, "nm"))
    assert len(measured.labels) == 0
    assert measured.volume["number_density"] == 0
    assert as_text(Measured.from_json(json.loads(as_text(measured)))) == as_text(measured)


def test_labels_beyond_two_thousand_million_are_refused():
    with pytest.raises(PlanewiseError, match="labels reach 4294967295; at most 2147483647"):
        measure_volume(Volume(np.full((2, 2, 2), 2**32 - 1, np.uint32)))


@pytest.mark.parametrize("axis", range(3))
def test_a_flat_volume_is_measured(axis):
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[8:20, 8:20, 8:20] = 1
    measured = measure_volume(Volume(labels.take([10], axis=axis), SPACING, "nm"))
    assert measured.objects["touches_border"].tolist() == [0]
    assert measured.objects["weight"][0] > 1
    assert measured.volume["frame_count"] == 1
