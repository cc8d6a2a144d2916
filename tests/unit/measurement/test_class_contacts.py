import numpy as np
import pytest

from planewise.measurement.class_contacts import key_of
from planewise.measurement.measuring import measure_volume
from planewise.measurement.tables import class_contact_rows, object_rows
from planewise.measurement.volume_measures import Measured
from planewise.volumes.volume import Volume

NAMES = {1: "mito", 2: "nucleus", 3: "smooth er"}
SPACING = (20.0, 10.0, 10.0)  # nm


@pytest.fixture(scope="module")
def measured():
    """Two mitochondria, one on the other, beside ER; and a nucleus that touches nothing."""
    ids, classes = np.zeros((8, 12, 20), np.uint16), np.zeros((8, 12, 20), np.uint8)
    ids[:4, :, :4], ids[4:, :, :4] = 5, 6
    ids[:, :, 14:] = 9
    classes[:, :, :4], classes[:, :, 4:8], classes[:, :, 14:] = 1, 3, 2
    volumes = (Volume(voxels, SPACING, "nm") for voxels in (ids, classes))
    return measure_volume(next(volumes), classes=next(volumes), class_names=NAMES)


def test_areas_between_classes_by_hand(measured):
    rows = [tuple(row.values()) for row in class_contact_rows({"a": measured})]
    assert rows == [
        ("a", "mito", "mito", pytest.approx(12 * 4 * 1e-4), 2, 2),  # faces of 10 x 10 nm
        ("a", "mito", "smooth er", pytest.approx(8 * 12 * 2e-4), 2, None),  # of 20 x 10 nm; ER has no objects
    ]
    assert list(class_contact_rows({"a": measured})[0]) == [
        "case",
        "first_class",
        "second_class",
        "contact_area_um2",
        "first_objects",
        "second_objects",
    ]


def test_each_object_says_its_class_and_what_it_touches(measured):
    rows = object_rows({"a": measured})
    assert [(row["label"], row["class"]) for row in rows] == [(5, "mito"), (6, "mito"), (9, "nucleus")]
    assert [row["smooth_er_contacts"] for row in rows] == [1, 1, 0]
    assert rows[0]["smooth_er_contact_area_um2"] == pytest.approx(4 * 12 * 2e-4, rel=0.02)  # less where three meet
    assert rows[2]["smooth_er_distance_um"] == pytest.approx(0.07)
    assert rows[0]["nucleus_distance_um"] == pytest.approx(0.11)
    assert np.isnan(rows[0]["mito_contacts"])  # contacts with others of its class are those of objects
    assert rows[0]["contacts"] == 1


def test_a_value_without_a_name_such_as_the_ignore_label_is_no_class():
    ids, classes = np.zeros((4, 4, 8), np.uint16), np.zeros((4, 4, 8), np.uint8)
    ids[..., :2], ids[..., 4:6], classes[..., :2], classes[..., 2:6] = 1, 2, 1, 4
    measured = measure_volume(Volume(ids, SPACING, "nm"), classes=Volume(classes, SPACING, "nm"), class_names=NAMES)
    assert class_contact_rows({"a": measured}) == []
    assert [row["class"] for row in object_rows({"a": measured})] == ["mito", ""]


def test_it_is_kept_in_a_file(measured):
    again = Measured.from_json(measured.as_json())
    assert class_contact_rows({"a": again}) == class_contact_rows({"a": measured})
    assert [row["class"] for row in object_rows({"a": again})] == ["mito", "mito", "nucleus"]


def test_names_become_names_of_columns():
    assert key_of("smooth ER (sER)") == "smooth_ER__sER_"
