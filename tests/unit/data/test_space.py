"""Labels beside their image: what lies where in the arrays."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from planewise.data.space import laid_on, with_spacing_of
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.volume import Volume

IMAGE, LABELS = Path("image"), Path("labels.nii.gz")
TILTED = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), (5.0, 2.0, 2.0), "mm", tilt=(1.0, 0.0))
STACK = Volume(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), (5.0, 2.0, 2.0), "mm")


@pytest.mark.parametrize("ignore_geometry", [False, True])
def test_labels_of_a_tilted_gantry_get_its_tilt(ignore_geometry):
    placed = laid_on(STACK, LABELS, TILTED, IMAGE, ignore_geometry)
    assert placed.tilt == TILTED.tilt
    assert np.array_equal(placed.read(), STACK.read())
    assert to_canonical(placed, labels=True).shape == to_canonical(TILTED).shape == (3, 5, 5)


def test_an_image_of_a_tilted_gantry_beside_its_labels_is_an_upright_stack():
    placed = to_canonical(laid_on(TILTED, IMAGE, STACK, LABELS))
    assert np.array_equal(placed.read(), TILTED.read())
    assert placed.tilt == (0.0, 0.0)


def test_the_tilt_is_that_of_the_image_even_if_the_labels_have_no_unit():
    placed = laid_on(replace(STACK, unit="pixel", spacing=(1.0, 1.0, 1.0)), LABELS, TILTED, IMAGE)
    assert (placed.spacing, placed.unit, placed.tilt) == (TILTED.spacing, "mm", TILTED.tilt)


def test_labels_that_say_no_unit_have_the_spacing_of_their_image(tmp_path):
    labels, image = Volume(np.ones((3, 4, 5), np.uint8)), Volume(np.zeros((3, 4, 5), np.uint8), (30.0, 8.0, 8.0), "nm")
    write_volume(tmp_path / "image.tif", image)
    spaced = with_spacing_of(labels, tmp_path / "image.tif")
    assert (spaced.spacing, spaced.unit) == ((30.0, 8.0, 8.0), "nm")
    assert np.array_equal(spaced.read(), labels.read())
    other = Volume(np.ones((2, 4, 5), np.uint8))
    said = replace(labels, unit="um")
    assert [with_spacing_of(volume, tmp_path / "image.tif") for volume in (other, said)] == [other, said]
    assert [with_spacing_of(labels, image) for image in (None, tmp_path / "absent.tif")] == [labels, labels]


@pytest.mark.parametrize(
    ("of_image", "unit", "shape", "given"),
    [
        ((30.0, 4.0, 4.0), "mm", (3, 4, 5), "mm"),  # its own unit
        ((30.0, 4.0, 4.003), "mm", (3, 4, 5), "mm"),  # rounded
        ((0.03, 0.004, 0.004), "um", (3, 4, 5), "nm"),  # the assumed one
        ((1.0, 1.0, 1.0), "mm", (3, 4, 5), ""),  # a default, not a size
        ((30.0, 4.0, 4.0), "mm", (3, 4, 6), ""),
        ((30.0, 4.0, 4.0), "pixel", (3, 4, 5), ""),
    ],
)
@pytest.mark.parametrize("canonical", [True, False])
def test_labels_without_a_unit_have_that_of_an_image_that_they_fit(tmp_path, of_image, unit, shape, given, canonical):
    assumed = Volume(np.ones((3, 4, 5), np.uint8), (30.0, 4.0, 4.0), "nm", unit_assumed_in="case.json")
    stored = Volume(np.zeros(shape, np.uint8), of_image, unit)
    if not canonical:  # stored as x, y, z
        direction = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
        stored = replace(stored, voxels=np.zeros(shape[::-1], np.uint8), spacing=of_image[::-1], direction=direction)
    image = tmp_path / "image.nii.gz"
    if unit == "pixel":
        image, assumed = tmp_path / "image.tif", replace(assumed, has_direction=False)
        stored = Volume(np.zeros(shape, np.uint8))
    write_volume(image, stored)
    sized = with_spacing_of(assumed, image)
    assert sized.spacing == assumed.spacing
    assert (sized.unit, sized.unit_assumed_in) == ((given, "") if given else ("nm", "case.json"))


@pytest.mark.parametrize("ignore_geometry", [False, True])
@pytest.mark.parametrize(
    ("order", "words"),
    [
        ((2, 1, 0), r"seem to run x, y, z, .* array.transpose\(2, 1, 0\)"),
        ((2, 0, 1), r"seem to run x, z, y, .* array.transpose\(1, 2, 0\)"),
        ((0, 2, 1), r"seem to run z, x, y, .* array.transpose\(0, 2, 1\)"),
    ],
)
def test_axes_in_another_order_are_said(order, words, ignore_geometry):
    """What the message says to do gives the array that fits."""
    voxels = np.arange(60).reshape(3, 4, 5)
    with pytest.raises(PlanewiseError, match=words) as refused:
        laid_on(Volume(voxels.transpose(order)), LABELS, Volume(voxels), IMAGE, ignore_geometry)
    back = [int(axis) for axis in str(refused.value).partition("transpose(")[2].rstrip(")").split(", ")]
    assert np.array_equal(voxels.transpose(order).transpose(back), voxels)


def test_of_another_shape_no_order_is_said():
    for shape in ((3, 4, 6), (60, 1, 1)):
        with pytest.raises(PlanewiseError) as refused:
            laid_on(Volume(np.zeros(shape)), LABELS, Volume(np.zeros((3, 4, 5))), IMAGE)
        assert "axes" not in str(refused.value)


CUBE = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)


def tiff_of(path, voxels, axes):
    """Write a TIFF that names its axes, as OME, or as what tifffile alone writes; or one that does not."""
    metadata = {} if axes is None else {"metadata": {"axes": axes}}
    tifffile.imwrite(path, voxels, photometric="minisblack", ome=path.name.endswith(".ome.tif"), **metadata)
    return open_volume(path), path


def laid(volume, path, other, other_path, capsys):
    voxels = np.asarray(laid_on(volume, path, other, other_path).voxels[...])
    return voxels, " ".join(capsys.readouterr().err.split())


def test_axes_in_another_order_of_a_cube_are_warned_of(tmp_path, capsys):
    image = tiff_of(tmp_path / "a.tif", CUBE.transpose(2, 1, 0), "XYZ")
    named, unnamed = (tiff_of(tmp_path / f"{axes}.tif", CUBE, axes) for axes in ("ZYX", None))
    voxels, said = laid(*named, *image, capsys)
    assert np.array_equal(voxels, CUBE)
    assert np.array_equal(image[0].read(), CUBE)
    assert f"WARNING: {named[1]} says that it stores its axes as z, y, x; {image[1]} says that it stores" in said
    assert "as x, y, z. Each is read so, and as sides are equal the shapes do not show whether it is right" in said
    _, said = laid(*unnamed, *image, capsys)
    assert f"{unnamed[1]} does not say so, and is read as z, y, x" in said
    assert laid(*unnamed, *named, capsys)[1] == ""  # the usual order
    assert laid(*image, *image, capsys)[1] == ""


def test_axes_whose_shapes_show_their_order_are_not_warned_of(tmp_path, capsys):
    other = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    image = tiff_of(tmp_path / "a.tif", other.transpose(2, 1, 0), "XYZ")
    labels = tiff_of(tmp_path / "b.tif", other, "ZYX")
    voxels, said = laid(*labels, *image, capsys)
    assert np.array_equal(voxels, other)
    assert np.array_equal(image[0].read(), other)
    assert said == ""


def test_axes_that_zarr_and_hdf5_name(tmp_path, capsys):
    write_volume(tmp_path / "a.ome.zarr", Volume(CUBE))
    tags = json.dumps({"axes": [{"key": key} for key in "xyz"]})
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", data=CUBE.transpose(2, 1, 0)).attrs["axistags"] = tags
    image, labels = ((open_volume(tmp_path / name), tmp_path / name) for name in ("a.ome.zarr", "b.h5"))
    assert (image[0].stored_axes, labels[0].stored_axes) == ("zyx", "xyz")
    voxels, said = laid(*labels, *image, capsys)
    assert np.array_equal(voxels, CUBE)
    assert f"WARNING: {labels[1]} says that it stores its axes as x, y, z; {image[1]}" in said
