from itertools import permutations

import numpy as np
import pytest
import zarr

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.formats.ome_zarr import (
    add_pyramid,
    create,
    fill_block,
    missing_chunks,
    name_store,
    open_levels,
    open_to_fill,
)
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

CODED = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.uint16)
SPACING = {"z": 40.0, "y": 8.0, "x": 4.0, "c": 1.0, "t": 1.0}
KINDS = {"c": "channel", "t": "time"}


def write(path, voxels, axes, scale=SPACING, names_only=False, units=None, **extra):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    units = units or dict.fromkeys("zyx", "nanometer")
    about = [{"name": a, "type": KINDS.get(a, "space"), **({"unit": units[a]} if units.get(a) else {})} for a in axes]
    transforms = [{"type": "scale", "scale": [scale[a] for a in axes]}]
    if "translation" in extra:
        transforms.append({"type": "translation", "translation": [extra["translation"].get(a, 0) for a in axes]})
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    group.attrs["multiscales"] = [{"axes": list(axes) if names_only else about, "datasets": datasets}]
    group.create_array("0", data=voxels, chunks=tuple(min(2, side) for side in voxels.shape))


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("zyx")])
def test_axes_in_any_order(tmp_path, axes):
    stored = np.ascontiguousarray(CODED.transpose(["zyx".index(a) for a in axes]))
    write(tmp_path / "a.zarr", stored, axes, translation={"z": 400, "x": 12})
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.shape == (3, 4, 5)
    assert np.array_equal(volume.read(), CODED)
    assert np.array_equal(volume.voxels[1, :, 2:4], CODED[1, :, 2:4])
    assert (volume.spacing, volume.unit, volume.origin) == ((40, 8, 4), "nm", (400, 0, 12))
    assert volume.voxels.chunks == (2, 2, 2)
    assert (volume.has_origin, volume.has_direction) == (True, False)


@pytest.mark.parametrize("axes", ["tczyx", "xyzct", "zcyx"])
@pytest.mark.parametrize("names_only", [False, True])
def test_a_channel_wherever_its_axis_is(tmp_path, axes, names_only):
    whole = np.stack([CODED, CODED + 100])[None]  # (t, c, z, y, x)
    whole = whole if "t" in axes else whole[0]
    stored = np.ascontiguousarray(whole.transpose(["tczyx"[-whole.ndim :].index(a) for a in axes]))
    write(tmp_path / "a.zarr", stored, axes, names_only=names_only)
    volume = open_volume(tmp_path / "a.zarr", 1)
    assert np.array_equal(volume.read(), CODED + 100)
    assert (volume.spacing, volume.unit) == ((40, 8, 4), "pixel" if names_only else "nm")
    with pytest.raises(PlanewiseError, match=r"a\.zarr: has 2 channels.*--channel"):
        open_volume(tmp_path / "a.zarr")
    with pytest.raises(PlanewiseError, match="--channel 2 is not one"):
        open_volume(tmp_path / "a.zarr", 2)


def test_an_image_of_one_slice(tmp_path):
    write(tmp_path / "a.zarr", CODED[0], "yx")
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.shape, volume.spacing) == ((1, 4, 5), (1, 8, 4))


@pytest.mark.parametrize("axes", ["tzyx", "qzyx"])
def test_times_and_other_axes_are_refused(tmp_path, axes):
    write(tmp_path / "a.zarr", np.stack([CODED, CODED]), axes, SPACING | {"q": 1})
    with pytest.raises(PlanewiseError, match=r"a\.zarr: has shape .*a volume has axes z, y, x"):
        open_volume(tmp_path / "a.zarr")


def test_axes_that_do_not_fit_the_array_are_refused(tmp_path):
    write(tmp_path / "a.zarr", CODED, "czyx")
    with pytest.raises(PlanewiseError, match=r"a\.zarr: has shape \(3, 4, 5\), and metadata of 4 axes"):
        open_volume(tmp_path / "a.zarr")


def test_units_that_differ_are_brought_to_one(tmp_path):
    scale = {"z": 40.0, "y": 0.008, "x": 0.004}
    units = {"z": "nanometer", "y": "micrometer", "x": "micrometer"}
    write(tmp_path / "a.zarr", CODED, "zyx", scale, units=units, translation={"z": 400})
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.spacing, volume.unit) == (pytest.approx((0.04, 0.008, 0.004)), "um")
    assert volume.origin == pytest.approx((0.4, 0, 0))
    write(tmp_path / "b.zarr", CODED, "zyx", units={"z": "nanometer"})
    with pytest.raises(PlanewiseError, match=r"b\.zarr: its units along z, y, x are 'nanometer', '', ''"):
        open_volume(tmp_path / "b.zarr")


@pytest.mark.parametrize("size", [0.0, -8.0, float("inf"), float("nan")])
def test_a_scale_that_cannot_be_is_refused(tmp_path, size):
    write(tmp_path / "a.zarr", CODED, "zyx", SPACING | {"y": size})
    with pytest.raises(PlanewiseError, match=r"a\.zarr: its spacing \(z, y, x\) is 40, .*, 4"):
        open_volume(tmp_path / "a.zarr")
    write(tmp_path / "a.zarr", CODED, "zyx", translation={"z": float("nan")})
    with pytest.raises(PlanewiseError, match=r"a\.zarr: its origin .* is not finite"):
        open_volume(tmp_path / "a.zarr")


def test_an_image_of_no_voxels_is_refused(tmp_path):
    write(tmp_path / "a.zarr", np.zeros((3, 1, 5), np.uint8), "zyx")
    (tmp_path / "a.zarr" / "0" / ".zarray").write_text(
        (tmp_path / "a.zarr" / "0" / ".zarray").read_text().replace("1,\n    5", "0,\n    5")
    )
    with pytest.raises(PlanewiseError, match=r"a\.zarr: is empty, \(3, 0, 5\)"):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize("axes", ["zyx", "xyz"])
def test_what_is_not_stored_is_counted_whatever_the_axes(tmp_path, axes):
    write(tmp_path / "a.zarr", np.ones((4, 4, 4), np.uint8), axes)
    (tmp_path / "a.zarr" / "0" / "1.0.1").unlink(missing_ok=True)
    (tmp_path / "a.zarr" / "0" / "1" / "0" / "1").unlink(missing_ok=True)
    assert missing_chunks(open_volume(tmp_path / "a.zarr").voxels) == (1, 8)


def test_the_one_image_of_a_bioformats2raw_group(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    write(tmp_path / "a.zarr" / "0", CODED[None, None], "tczyx")
    zarr.open_group(tmp_path / "a.zarr" / "OME", mode="w", zarr_format=2)
    assert np.array_equal(open_volume(tmp_path / "a.zarr").read(), CODED)
    write(tmp_path / "a.zarr" / "1", CODED, "zyx")
    with pytest.raises(PlanewiseError, match=r"a\.zarr: holds 2 images; one is needed"):
        open_volume(tmp_path / "a.zarr")


def test_where_there_is_nothing_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.CHUNK", 4)
    voxels = np.zeros((16, 16, 32), np.uint16)  # two files of 4 x 4 x 4 chunks each
    voxels[3, 2, 1] = 7
    write_volume(tmp_path / "a.ome.zarr", Volume(voxels))
    assert len([file for file in (tmp_path / "a.ome.zarr" / "0" / "c").rglob("*") if file.is_file()]) == 1
    assert np.array_equal(open_volume(tmp_path / "a.ome.zarr").read(), voxels)


def test_a_store_that_is_opened_to_fill_is_written_as_a_new_one_and_no_setting_of_zarr_changes(tmp_path, monkeypatch):
    """Threads open stores at the same time: one that set and reset a setting would leave it to the others."""
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.CHUNK", 4)
    monkeypatch.setattr(zarr.config, "set", None)
    voxels = np.zeros((16, 16, 16), np.uint16)  # one file of 4 x 4 x 4 chunks, all but one of them empty
    voxels[3, 2, 1] = 7
    block = (slice(0, 16),) * 3
    written = []
    for name, opened in (("new", lambda path, array: array), ("opened", lambda path, array: open_to_fill(path))):
        path = tmp_path / f"{name}.ome.zarr"
        fill_block(
            opened(path, create(path, voxels.shape, voxels.dtype, (1.0,) * 3, "pixel", (0.0,) * 3)), block, voxels
        )
        written.append((path / "0" / "c" / "0" / "0" / "0").read_bytes())
    assert written[0] == written[1]


def test_shards_are_counted_as_the_files_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.CHUNK", 4)
    voxels = np.ones((20, 17, 33), np.uint16)  # files of 4 x 4 x 4 chunks, those at the ends of fewer
    write_volume(tmp_path / "a.ome.zarr", Volume(voxels))
    assert missing_chunks(open_volume(tmp_path / "a.ome.zarr").voxels) == (0, 2 * 2 * 3)
    (tmp_path / "a.ome.zarr" / "0" / "c" / "1" / "0" / "2").unlink()
    assert missing_chunks(open_volume(tmp_path / "a.ome.zarr").voxels) == (1, 12)


NAMES = {1: "ground glass", 3: "honeycombing"}


def test_labels_are_labels_by_the_specification(tmp_path):
    from ome_zarr_models.v05.image_label import ImageLabel

    labels = (CODED % 4).astype(np.uint8)
    write_labels(tmp_path / "case.1.ome.zarr", Volume(labels, (40.0, 8.0, 4.0), "nm").as_labels(NAMES))
    image = ImageLabel.from_zarr(zarr.open_group(tmp_path / "case.1.ome.zarr", mode="r")).ome_attributes
    assert image.multiscales[0].name == "case.1"
    assert [(c.label_value, tuple(c.rgba)) for c in image.image_label.colors] == [
        (1, (230, 159, 0, 255)),
        (3, (86, 180, 233, 255)),
    ]
    volume = open_volume(tmp_path / "case.1.ome.zarr")
    assert volume.labels.names == NAMES
    assert volume.labels.colours == {1: "#E69F00", 3: "#56B4E9"}


def test_instances_are_labels_too_and_an_image_is_none(tmp_path):
    write_labels(tmp_path / "a.ome.zarr", Volume(CODED))
    assert zarr.open_group(tmp_path / "a.ome.zarr").attrs["ome"]["image-label"] == {}
    assert open_volume(tmp_path / "a.ome.zarr").labels == LabelNames()
    write_volume(tmp_path / "b.ome.zarr", Volume(CODED))
    assert "image-label" not in zarr.open_group(tmp_path / "b.ome.zarr").attrs["ome"]
    assert open_volume(tmp_path / "b.ome.zarr").labels is None


def test_labels_stay_labels_when_the_pyramid_and_the_name_come_later(tmp_path, monkeypatch):
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.LEAST_LEVEL", 2)
    create(tmp_path / "final.zarr", (3, 4, 5), np.uint8, (40.0, 8.0, 4.0), "nm", (0.0,) * 3, labels=LabelNames(NAMES))
    add_pyramid(tmp_path / "final.zarr")
    name_store(tmp_path / "final.zarr", "case")
    about = zarr.open_group(tmp_path / "final.zarr").attrs["ome"]
    assert about["multiscales"][0]["name"] == "case"
    assert open_volume(tmp_path / "final.zarr").labels.names == NAMES
    levels = open_levels(tmp_path / "final.zarr")
    assert [level.shape for level in levels] == [(3, 4, 5), (2, 2, 3), (1, 1, 2)]
    assert [level.spacing for level in levels] == [(40, 8, 4), (80, 16, 8), (160, 32, 16)]


def test_labels_of_others_are_read_as_far_as_they_make_sense(tmp_path):
    write(tmp_path / "a.zarr", CODED, "zyx")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    group.attrs["image-label"] = {
        "colors": [{"label-value": 0, "rgba": [0, 0, 0, 0]}, {"label-value": 2, "rgba": [1, 2, 3, 255]}, {"rgba": [1]}],
        "properties": [{"label-value": 2, "class": "nucleus"}, {"label-value": 5, "area": 12}],
    }
    labels = open_volume(tmp_path / "a.zarr").labels
    assert (labels.names, labels.colours) == ({2: "nucleus"}, {2: "#010203"})


@pytest.mark.parametrize(
    "printed",
    [
        "yes",
        {"colors": "red", "properties": {"2": "nucleus"}},
        {"colors": ["red"], "properties": [2]},
        {"colors": [{"label-value": 2, "rgba": [300, 0, 0, 255]}, {"label-value": [2], "rgba": [1, 2, 3]}]},
    ],
)
def test_labels_that_others_describe_in_no_sense_are_labels(tmp_path, printed):
    write(tmp_path / "a.zarr", CODED, "zyx")
    zarr.open_group(tmp_path / "a.zarr", mode="r+").attrs["image-label"] = printed
    assert open_volume(tmp_path / "a.zarr").labels == LabelNames()
