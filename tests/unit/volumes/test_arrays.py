"""What other libraries hold as volumes, and volumes as what they hold."""

import warnings
from pathlib import Path

import dask.array
import h5py
import numpy as np
import pytest
import xarray
import zarr

import planewise as pw
from planewise.errors import PlanewiseError
from planewise.volumes.arrays import as_volume
from planewise.volumes.volume import Volume, access


@pytest.fixture
def layers():
    """napari's layers, whose plugins' own warnings are not ours."""
    napari = pytest.importorskip("napari.layers", reason="napari is not installed: its layers are not tested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        napari.Image(np.zeros((2, 2)))
    return napari


VOXELS = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)


def in_zarr(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=VOXELS.shape, chunks=(2, 5, 3), dtype=VOXELS.dtype)
    array[...] = VOXELS
    return array


def in_hdf5(tmp_path):
    return h5py.File(tmp_path / "a.h5", "w").create_dataset("a", data=VOXELS, chunks=(2, 5, 3))


def in_dask(tmp_path):
    return dask.array.from_array(VOXELS, chunks=(2, 5, 3))


@pytest.mark.parametrize("make", [in_zarr, in_hdf5, in_dask])
def test_arrays_in_chunks_stay_where_they_are_until_they_are_indexed(make, tmp_path):
    volume = as_volume(make(tmp_path))
    assert volume.shape == VOXELS.shape
    assert access(volume.voxels) == "chunks"
    assert volume.voxels.chunks == (2, 5, 3)
    assert np.array_equal(volume.voxels[1:3, ::-1, 2], VOXELS[1:3, ::-1, 2])
    assert np.array_equal(np.asarray(volume.voxels), VOXELS)
    assert np.array_equal(np.asarray(volume), VOXELS)


def test_an_array_and_a_slice():
    assert as_volume(VOXELS).voxels is VOXELS
    assert as_volume(VOXELS[0]).shape == (1, 5, 6)
    volume = as_volume(VOXELS, spacing=(3, 2, 1), unit="nm")
    assert volume.voxels is VOXELS
    assert (volume.spacing, volume.unit) == ((3.0, 2.0, 1.0), "nm")
    assert not volume.has_origin
    assert not volume.has_direction


@pytest.mark.parametrize("ending", [".tiff", ".nii.gz", ".ome.zarr", ".nrrd", ".mha"])
def test_a_path_may_be_text_and_what_is_in_it_an_array(ending, tmp_path):
    pw.write_volume(str(tmp_path / f"v{ending}"), Volume(VOXELS, (4.0, 3.0, 2.0), "mm"))
    volume = pw.open(str(tmp_path / f"v{ending}"))
    assert pw.open_volume(str(tmp_path / f"v{ending}")).spacing == volume.spacing == (4.0, 3.0, 2.0)
    assert np.asarray(volume.voxels).shape == VOXELS.shape
    assert np.array_equal(np.asarray(volume.voxels), VOXELS)
    assert np.asarray(volume, np.float32).dtype == np.float32


def test_axes_of_xarray_are_known_by_name_and_their_coordinates_are_the_spacing():
    along = {"z": np.arange(4) * 40.0 + 100, "y": np.arange(5) * 8.0, "x": np.arange(6) * 4.0}
    array = xarray.DataArray(VOXELS.transpose(2, 0, 1), dims=("x", "z", "y"), coords=along)
    for name in "zyx":
        array.coords[name].attrs["units"] = "nm"
    volume = as_volume(array)
    assert (volume.spacing, volume.unit, volume.origin) == ((40.0, 8.0, 4.0), "nm", (100.0, 0.0, 0.0))
    assert np.array_equal(np.asarray(volume), VOXELS)
    assert as_volume(array.drop_vars(["x", "y", "z"])).unit == "pixel"


def test_units_may_differ_by_axis_and_are_brought_into_that_of_x(layers):
    along = {"z": np.arange(4) * 0.04 + 0.1, "y": np.arange(5) * 8.0 + 16, "x": np.arange(6) * 4.0}
    array = xarray.DataArray(VOXELS, dims=("z", "y", "x"), coords=along)
    for name, unit in (("z", "um"), ("y", "nm"), ("x", "nanometer")):
        array.coords[name].attrs["units"] = unit
    layer = layers.Image(VOXELS, scale=(0.04, 8, 4), translate=(0.1, 16, 0), units=("um", "nm", "nm"))
    for volume in (as_volume(array), as_volume(layer)):
        assert volume.unit == "nm"
        assert np.allclose(volume.spacing, (40, 8, 4))
        assert np.allclose(volume.origin, (100, 16, 0))
    del array.coords["y"].attrs["units"]
    with pytest.raises(PlanewiseError, match="each axis must have one"):
        as_volume(array)


def test_a_unit_that_is_not_known_is_refused_and_not_taken_for_none(layers):
    array = xarray.DataArray(VOXELS, dims=("z", "y", "x"), coords={"x": np.arange(6) * 4.0})
    array.coords["x"].attrs["units"] = "furlong"
    for given in (array, layers.Image(VOXELS, units=("hour", "nm", "nm"))):
        with pytest.raises(PlanewiseError, match=r"its unit is '(furlong|hour)', which is not known"):
            as_volume(given)
    array.coords["x"].attrs["units"] = "px"
    assert as_volume(array).unit == "pixel"


def test_masked_voxels_are_refused_and_not_read_as_what_lies_below():
    masked = np.ma.masked_equal(VOXELS, 7)
    with pytest.raises(PlanewiseError, match=r"has masked voxels \(1\)"):
        as_volume(masked)
    with pytest.raises(PlanewiseError, match=r"has masked voxels \(1\)"):
        np.asarray(as_volume(dask.array.ma.masked_equal(dask.array.from_array(VOXELS, chunks=(2, 5, 3)), 7)))
    assert type(as_volume(np.ma.masked_equal(VOXELS, 999)).voxels) is np.ndarray


def test_a_layer_without_a_size_is_refused():
    with pytest.raises(PlanewiseError, match="three positive numbers"):
        as_volume((VOXELS, {"scale": (0, 0, 0)}, "image"))


def test_a_channel_of_xarray():
    array = xarray.DataArray(np.stack([VOXELS, VOXELS + 1]), dims=("c", "z", "y", "x"))
    assert np.array_equal(np.asarray(as_volume(array, channel=1)), VOXELS + 1)
    with pytest.raises(PlanewiseError, match="2 channels"):
        as_volume(array)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((2, 3, 4, 5)), r"shape \(2, 3, 4, 5\)"),
        (np.zeros((2, 0, 4)), "empty"),
        (np.zeros((2, 3, 4), complex), "complex128"),
        (np.array([[["a"]]]), "numbers"),
        (np.zeros((2, 3, 4), "M8[s]"), "holds datetime64"),
        (xarray.Dataset({"image": (("z", "y", "x"), VOXELS)}), "Dataset"),
        (None, "NoneType"),
        ([[1, 2], [3, 4]], "list"),
        (xarray.DataArray(VOXELS, dims=("p", "q", "r")), "axes"),
        (xarray.DataArray(VOXELS[:3], dims=("z", "y", "x"), coords={"z": [0.0, 1.0, 5.0]}), "not evenly spaced"),
    ],
)
def test_what_is_no_volume_is_refused(given, words):
    with pytest.raises(PlanewiseError, match=words):
        as_volume(given)


@pytest.mark.parametrize("spacing", [(8, 8), 8, "abc", (None, None, None), (8, 8, "x")])
def test_what_is_no_spacing_is_refused(spacing):
    with pytest.raises(PlanewiseError, match="must be three positive numbers, of z, y, x"):
        as_volume(VOXELS, spacing=spacing, unit="nm")


def test_an_array_has_no_other_channel():
    assert as_volume(VOXELS, channel=0).shape == VOXELS.shape
    with pytest.raises(PlanewiseError, match="channel=1 is not one of them"):
        as_volume(VOXELS, channel=1)


def test_a_unit_goes_with_a_spacing():
    with pytest.raises(PlanewiseError, match="spacing"):
        as_volume(VOXELS, unit="nm")
    with pytest.raises(PlanewiseError, match="unit=furlong"):
        as_volume(VOXELS, spacing=(1, 1, 1), unit="furlong")


@pytest.mark.parametrize("spacing", [(8.0, 8.0), 8.0, ("a", 1, 1)])
def test_a_spacing_is_three_numbers(spacing):
    with pytest.raises(PlanewiseError, match="must be three positive numbers"):
        as_volume(VOXELS, spacing=spacing, unit="nm")


def test_a_volume_becomes_a_layer_of_napari_and_that_the_volume(layers):
    volume = Volume(VOXELS, (40.0, 8.0, 4.0), "nm", (10.0, 20.0, 30.0))
    layer = layers.Layer.create(*volume.to_napari("labels", name="cells"))
    assert (layer.name, type(layer).__name__, tuple(layer.scale)) == ("cells", "Labels", (40.0, 8.0, 4.0))
    for again in (as_volume(layer), as_volume(volume.to_napari("labels"))):
        assert (again.spacing, again.unit, again.origin) == (volume.spacing, volume.unit, volume.origin)
        assert np.array_equal(np.asarray(again), VOXELS)
    with pytest.raises(PlanewiseError, match="whole numbers"):
        Volume(VOXELS.astype(float)).to_napari("labels")


def test_the_finest_of_several_resolutions_and_a_layer_that_is_a_slice(layers):
    several = layers.Image([VOXELS, VOXELS[::2, ::2, ::2]], multiscale=True, scale=(3, 2, 1))
    assert as_volume(several).shape == VOXELS.shape
    flat = as_volume(layers.Image(VOXELS[0], scale=(2, 1), units="um"))
    assert (flat.shape, flat.spacing, flat.unit) == ((1, 5, 6), (2.0, 2.0, 1.0), "um")
    with pytest.raises(PlanewiseError, match="one channel"):
        as_volume(layers.Image(np.zeros((4, 5, 3), np.uint8), rgb=True))


def test_zarr_layers_stay_on_disk(layers, tmp_path):
    pw.write_volume(tmp_path / "v.ome.zarr", Volume(VOXELS))
    data, _, _ = pw.open(Path(tmp_path / "v.ome.zarr")).to_napari("image")
    assert not isinstance(data, np.ndarray)
    assert np.array_equal(np.asarray(layers.Image(data).data), VOXELS)
