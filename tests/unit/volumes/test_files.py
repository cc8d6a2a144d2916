import itertools
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats.ome_zarr import add_pyramid
from planewise.volumes.geometry import from_canonical, same_space, to_canonical
from planewise.volumes.labels import as_labels, count_values, label_dtype, read_labels, write_labels
from planewise.volumes.volume import Volume, slabs


def coded(shape=(5, 6, 7), dtype=np.uint16):
    """A volume whose voxels say where they are."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("ending", [".tiff", ".tif", ".nii.gz", ".nii", ".nrrd", ".mha", ".ome.zarr"])
def test_write_then_open_gives_the_same_volume(tmp_path, ending):
    volume = Volume(coded(), (3.0, 2.0, 1.5), "mm")
    write_volume(tmp_path / f"a{ending}", volume)
    read = open_volume(tmp_path / f"a{ending}")
    assert np.array_equal(read.read(), coded())
    assert read.voxels.dtype == np.uint16
    assert read.spacing == pytest.approx((3.0, 2.0, 1.5))
    assert read.unit == "mm"
    assert [item.name for item in tmp_path.iterdir()] == [f"a{ending}"]


class Counted:
    """Voxels that remember the most that was read of them at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        read = self.array[index]
        self.most = max(self.most, read.size)
        return read


@pytest.mark.parametrize("ending", ["tiff", "nii.gz", "nrrd", "ome.zarr"])
def test_voxels_are_read_piece_by_piece_when_they_are_written(tmp_path, monkeypatch, ending):
    monkeypatch.setattr("planewise.volumes.volume.SLAB_BYTES", 2 * 3 * 40 * 50)  # three planes
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.CHUNK", 4)
    voxels = Counted(np.random.default_rng(0).integers(0, 4000, (100, 40, 50)).astype(np.uint16))
    write_volume(tmp_path / f"a.{ending}", Volume(voxels))
    assert np.array_equal(open_volume(tmp_path / f"a.{ending}").read(), voxels.array)
    assert voxels.most <= (16**3 if ending == "ome.zarr" else 3 * 40 * 50)


def test_slabs_are_as_thick_as_chunks_where_they_fit(monkeypatch):
    monkeypatch.setattr("planewise.volumes.volume.SLAB_BYTES", 100)
    monkeypatch.setattr("planewise.volumes.volume.STORED_BYTES", 400)
    voxels = np.zeros((10, 5, 10), np.uint8)
    assert list(slabs(voxels)) == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8), slice(8, 10)]
    stored = zarr.create_array({}, shape=(10, 5, 10), chunks=(4, 5, 5), dtype=np.uint8)
    assert list(slabs(stored)) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    thick = zarr.create_array({}, shape=(10, 5, 10), chunks=(10, 5, 5), dtype=np.uint8)
    assert list(slabs(thick)) == [slice(0, 8), slice(8, 10)]
    large = np.zeros((3, 20, 20), np.uint8)
    assert list(slabs(large)) == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_a_pyramid_that_is_there_is_made_again(tmp_path, monkeypatch):
    """A run that was stopped while it delivered its result makes it once more."""
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.LEAST_LEVEL", 8)
    voxels = np.random.default_rng(0).integers(0, 99, (10, 20, 30)).astype(np.uint8)
    write_volume(tmp_path / "a.ome.zarr", Volume(voxels))
    add_pyramid(tmp_path / "a.ome.zarr")
    assert np.array_equal(zarr.open_array(tmp_path / "a.ome.zarr" / "1", mode="r")[:], voxels[::2, ::2, ::2])
    assert np.array_equal(open_volume(tmp_path / "a.ome.zarr").read(), voxels)


def test_itk_formats_keep_origin_and_direction(tmp_path):
    direction = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
    volume = Volume(coded(), (3.0, 2.0, 1.5), "mm", (10.0, -4.0, 7.0), direction)
    write_volume(tmp_path / "a.nii.gz", volume)
    read = open_volume(tmp_path / "a.nii.gz")
    assert read.origin == pytest.approx((10.0, -4.0, 7.0))
    assert np.allclose(read.direction, direction)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
def test_tiff_pages_in_any_compression(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in coded():
            tiff.write(page, compression=compression, contiguous=False)
    volume = open_volume(tmp_path / "a.tif")
    assert np.array_equal(volume.read(), coded())
    assert np.array_equal(np.asarray(volume.voxels[2:4]), coded()[2:4])


def test_imagej_spacing(tmp_path):
    metadata = {"axes": "ZYX", "spacing": 0.03, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", coded(), imagej=True, resolution=(100, 50), metadata=metadata)
    volume = open_volume(tmp_path / "a.tif")
    assert volume.spacing == pytest.approx((0.03, 0.02, 0.01))
    assert volume.unit == "um"


def test_a_sidecar_gives_the_spacing_of_a_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "case_0000.tiff", coded())
    (tmp_path / "case.json").write_text(json.dumps({"spacing": [40, 8, 8]}))
    volume = open_volume(tmp_path / "case_0000.tiff")
    assert volume.spacing == (40, 8, 8)
    assert volume.unit == "nm"


def test_the_sidecar_of_another_case_is_not_taken(tmp_path):
    for name in ("case.tiff", "case_1000.tiff", "b_0000.tiff", "b_0001.tiff"):
        tifffile.imwrite(tmp_path / name, coded())
    for name, spacing in (("case", [40, 8, 8]), ("b", [5, 5, 5])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"spacing": spacing}))
    assert open_volume(tmp_path / "case_1000.tiff").unit == "pixel"
    assert open_volume(tmp_path / "b_0001.tiff").spacing == (5, 5, 5)
    (tmp_path / "case_1000.json").write_text(json.dumps({"spacing": [30, 4, 4]}))
    assert open_volume(tmp_path / "case_1000.tiff").spacing == (30, 4, 4)


def test_the_sidecar_of_a_case_whose_first_channel_is_missing(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a_0001.tif", coded())
    (tmp_path / "a.json").write_text(json.dumps({"spacing": [40, 8, 8]}))
    assert open_volume(tmp_path / "a_0001.tif").spacing == (40, 8, 8)
    assert f"{tmp_path / 'a.json'}: its spacing is taken for a_0001.tif" in " ".join(capsys.readouterr().err.split())
    tifffile.imwrite(tmp_path / "a.tif", coded())  # whose sidecar it is
    assert open_volume(tmp_path / "a_0001.tif").unit == "pixel"


@pytest.mark.parametrize("unit", ["um", "micrometres"])
def test_the_dataset_says_the_unit_of_its_sidecars(tmp_path, unit):
    (tmp_path / "imagesTr").mkdir()
    tifffile.imwrite(tmp_path / "imagesTr" / "case_0000.tiff", coded())
    (tmp_path / "imagesTr" / "case.json").write_text(json.dumps({"spacing": [0.04, 0.008, 0.008]}))
    (tmp_path / "dataset.json").write_text(json.dumps({"spacing_unit": unit}))
    assert open_volume(tmp_path / "imagesTr" / "case_0000.tiff").unit == "um"


def with_sidecar(folder, spacing, **written):
    tifffile.imwrite(folder / "case.tiff", coded(), **written)
    (folder / "case.json").write_text(json.dumps({"spacing": spacing}))
    return open_volume(folder / "case.tiff")


def test_a_sidecar_whose_unit_nothing_states_is_read_as_nm_and_never_as_mm(tmp_path, capsys):
    """nnU-Net's sidecars have no unit, and those of a CT are in mm."""
    folder = tmp_path / "labelsTs"
    folder.mkdir()
    volume = with_sidecar(folder, [5, 0.7, 0.7])
    assert (volume.unit, volume.spacing_in("um")) == ("nm", pytest.approx((0.005, 0.0007, 0.0007)))
    said = f"Spacings in {{case}}.json in {folder} state no unit: sizes are read as nm, and those of labels in"
    assert said in capsys.readouterr().err
    for convert in (volume.spacing_in, volume.in_unit):
        with pytest.raises(PlanewiseError, match=r"case\.json: gives a spacing without a unit.*spacing_unit"):
            convert("mm")
    in_mm = Volume(coded(), (5, 0.7, 0.7), "mm", has_origin=False, has_direction=False)
    assert same_space(volume, in_mm) == same_space(in_mm, volume) == ""
    assert "spacing (5, 0.7, 0.7) and (5, 0.8, 0.8) mm" in same_space(volume, replace(in_mm, spacing=(5, 0.8, 0.8)))
    assert same_space(volume, replace(in_mm, unit="nm").in_unit("um")) == ""
    (tmp_path / "dataset.json").write_text('{"spacing_unit": "mm"}')
    assert with_sidecar(folder, [5, 0.7, 0.7]).spacing_in("mm") == (5, 0.7, 0.7)


@pytest.mark.parametrize(("unit", "sidecar", "size"), [("mm", [5, 0.5, 0.5], 5e6), ("um", [5000, 500, 500], 5000)])
def test_the_unit_of_a_sidecar_is_that_of_the_file_where_the_numbers_agree(tmp_path, capsys, unit, sidecar, size):
    of_file = {"imagej": True, "resolution": (2, 2), "metadata": {"axes": "ZYX", "spacing": 5, "unit": unit}}
    volume = with_sidecar(tmp_path, sidecar, **of_file)
    assert volume.spacing_in("nm")[0] == pytest.approx(size)
    assert volume.spacing_in("mm")[0] == pytest.approx(size / 1e6)
    assert capsys.readouterr().err == ""


def test_a_unit_that_is_null_is_none_at_all(tmp_path, capsys):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").write_text('{"spacing_unit": null}')
    volume = with_sidecar(tmp_path / "imagesTr", [5, 2, 2])
    assert (volume.unit, bool(volume.unit_assumed_in)) == ("nm", True)
    assert "sizes are read as nm" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["spacing_unit", "unit"])
def test_a_sidecar_may_state_its_unit_and_that_of_the_dataset_does_not_count_then(tmp_path, capsys, key):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").write_text('{"spacing_unit": "nm"}')
    tifffile.imwrite(tmp_path / "imagesTr" / "case.tiff", coded())
    (tmp_path / "imagesTr" / "case.json").write_text(json.dumps({"spacing": [0.05, 0.01, 0.01], key: "um"}))
    volume = open_volume(tmp_path / "imagesTr" / "case.tiff")
    assert volume.spacing_in("nm") == pytest.approx((50, 10, 10))
    assert volume.spacing_in("mm") == pytest.approx((5e-5, 1e-5, 1e-5))  # stated, not assumed
    assert capsys.readouterr().err == ""


def test_a_unit_in_a_sidecar_that_is_not_known_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "case.tiff", coded())
    (tmp_path / "case.json").write_text(json.dumps({"spacing": [5, 2, 2], "unit": "milimetre"}))
    with pytest.raises(PlanewiseError, match=r"case\.json: its unit is 'milimetre', which is not known"):
        open_volume(tmp_path / "case.tiff")


@pytest.mark.parametrize("unit", ["milimetre", 3])
def test_a_unit_that_is_not_known_is_refused(tmp_path, unit):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"spacing_unit": unit}))
    with pytest.raises(PlanewiseError, match=rf"dataset\.json: its unit is '{unit}', which is not known"):
        with_sidecar(tmp_path / "imagesTr", [5, 2, 2])


def test_a_bad_sidecar_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "case_0000.tiff", coded())
    (tmp_path / "case.json").write_text(json.dumps({"spacing": [40, 8]}))
    with pytest.raises(PlanewiseError, match=r"case\.json.*three positive numbers"):
        open_volume(tmp_path / "case_0000.tiff")


def test_a_single_page_is_a_volume_of_one_slice(tmp_path):
    tifffile.imwrite(tmp_path / "a.tiff", coded()[0])
    assert open_volume(tmp_path / "a.tiff").shape == (1, 6, 7)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_of_both_versions_with_channel_and_time(tmp_path, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    axes = [{"name": n, "type": t} for n, t in (("t", "time"), ("c", "channel"))]
    axes += [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"]
    transforms = [{"type": "scale", "scale": [1, 1, 40, 8, 8]}, {"type": "translation", "translation": [0, 0, 5, 0, 0]}]
    datasets = [{"path": "s0", "coordinateTransformations": transforms}]
    multiscales = [{"version": version, "axes": axes, "datasets": datasets}]
    attributes = (
        {"multiscales": multiscales} if version == "0.4" else {"ome": {"version": version, "multiscales": multiscales}}
    )
    group.attrs.update(attributes)
    group.create_array("s0", data=coded()[None, None])
    volume = open_volume(tmp_path / "a.zarr")
    assert np.array_equal(volume.read(), coded())
    assert (volume.spacing, volume.unit, volume.origin) == ((40, 8, 8), "nm", (5, 0, 0))


def test_labels_take_the_smallest_type_that_holds_them(tmp_path):
    assert [label_dtype(n) for n in (0, 255, 256, 65535, 65536)] == [
        np.uint8,
        np.uint8,
        np.uint16,
        np.uint16,
        np.uint32,
    ]
    many = np.arange(70_000, dtype=np.int64).reshape(7, 100, 100)
    for name in ("a.tiff", "a.nii.gz", "a.ome.zarr"):
        write_labels(tmp_path / name, Volume(many))
        read = read_labels(tmp_path / name).read()
        assert read.dtype == np.uint32
        assert np.array_equal(read, many)


@pytest.mark.parametrize("chunks", [(4, 5, 6), (7, 3, 50), (20, 31, 50)])
def test_counting_reads_each_stored_chunk_once(tmp_path, monkeypatch, chunks):
    monkeypatch.setattr("planewise.volumes.labels.SLAB_VOXELS", 2000)
    array = np.random.default_rng(0).integers(0, 9, (20, 31, 50)).astype(np.uint8)
    corner = [np.arange(side) // chunk for side, chunk in zip(array.shape, chunks)]
    chunk_of = sum(100 ** (2 - axis) * at for axis, at in enumerate(np.ix_(*corner)))  # the chunk that holds a voxel
    read = Counter()

    class Stored(Counted):
        def __getitem__(self, index):
            read.update(np.unique(chunk_of[index]).tolist())
            return super().__getitem__(index)

    voxels = Stored(array)
    voxels.chunks = chunks
    counts = count_values(as_labels(Volume(voxels), tmp_path))
    assert counts == dict(enumerate(np.bincount(array.ravel()).tolist()))
    assert set(read.values()) == {1}
    assert len(read) == len(np.unique(chunk_of))
    assert voxels.most <= max(2000, np.prod(chunks))


def test_counting_cuts_what_is_stored_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("planewise.volumes.labels.SLAB_VOXELS", 2000)
    monkeypatch.setattr("planewise.volumes.labels.STORED_BYTES", 4000)
    voxels = Counted(np.ones((40, 20, 25), np.uint16))
    voxels.chunks = voxels.shape
    assert count_values(as_labels(Volume(voxels), tmp_path)) == {1: 40 * 20 * 25}
    assert voxels.most == 8 * 20 * 25


def spoiled(value):
    voxels = coded().astype(np.float32)
    voxels[1, 2, 3] = value
    return voxels


@pytest.mark.parametrize(
    ("voxels", "reason"),
    [
        (coded() + 0.5, "fractions"),
        (coded().astype(int) - 3, "negative"),
        (spoiled(np.nan), "holds NaN;"),
        (spoiled(np.inf), "holds infinity;"),
        (spoiled(-np.inf), "holds infinity;"),
    ],
)
def test_what_is_not_labels_is_refused(tmp_path, voxels, reason):
    write_volume(tmp_path / "a.tiff", Volume(voxels))
    with pytest.raises(PlanewiseError, match=rf"a\.tiff.*{reason}"):
        read_labels(tmp_path / "a.tiff")


def test_whole_numbers_stored_as_reals_are_labels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tiff", coded().astype(np.float32))
    assert np.array_equal(read_labels(tmp_path / "a.tiff").read(), coded())


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("keep", [0.6, 0.02])
def test_a_truncated_tiff_is_named(tmp_path, compression, keep):
    path = tmp_path / "a.tiff"
    noise = np.random.default_rng(0).integers(0, 255, (20, 40, 40), np.uint8)
    tifffile.imwrite(path, noise, compression=compression)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(PlanewiseError, match=r"a\.tiff"):
        read_voxels(open_volume(path), path)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_truncated_medical_volume_is_named(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_volume(path, Volume(np.random.default_rng(0).integers(0, 255, (20, 40, 40), np.uint8)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(PlanewiseError, match=r"a\."):
        read_voxels(open_volume(path), path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_text("not a TIFF"), "begins as no TIFF does"),
        (lambda p: tifffile.imwrite(p, np.zeros((5, 6, 3), np.uint8), photometric="rgb"), "has 3 channels.*--channel"),
        (lambda p: tifffile.imwrite(p, np.zeros((2, 5, 6, 7), np.uint8), photometric="minisblack"), "axes z, y, x"),
        (lambda p: tifffile.imwrite(p, np.zeros((5, 6, 7), np.complex64)), "complex"),
    ],
    ids=["missing", "text", "colour", "4D", "complex"],
)
def test_what_is_not_a_volume_is_refused(tmp_path, make, reason):
    make(tmp_path / "a.tiff")
    with pytest.raises(PlanewiseError, match=reason):
        open_volume(tmp_path / "a.tiff")


def test_an_unknown_ending_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(PlanewiseError, match=r"\.tiff"):
        open_volume(tmp_path / "a.jpg")


def test_a_refused_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.tiff"
    write_volume(path, Volume(coded()))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(PlanewiseError, match=r"a\.tiff.*No space left"):
        write_volume(path, Volume(coded() + 1))
    assert np.array_equal(open_volume(path).read(), coded())
    assert list(tmp_path.iterdir()) == [path]


@given(
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    signs=st.tuples(*[st.sampled_from([1, -1])] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_canonical_orientation_and_back(order, signs, shape):
    direction = np.zeros((3, 3))
    for patient_axis, (axis, sign) in enumerate(zip(order, signs)):
        direction[patient_axis, axis] = sign
    volume = Volume(coded(shape), (3.0, 2.0, 1.5), "mm", (10.0, -4.0, 7.0), tuple(map(tuple, direction)))
    canonical = to_canonical(volume)
    assert np.allclose(canonical.direction, np.eye(3))
    assert np.array_equal(from_canonical(canonical.read(), volume).read(), volume.read())

    # Every voxel keeps its place in the patient.
    index = np.array(np.unravel_index(coded(shape).ravel(), shape)).T
    place = np.asarray(volume.origin) + (index * volume.spacing) @ direction.T
    where = np.array([np.argwhere(canonical.read() == value)[0] for value in coded(shape).ravel()])
    assert np.allclose(np.asarray(canonical.origin) + where * canonical.spacing, place)


def write_hdf5(path, **datasets):
    import h5py

    with h5py.File(path, "w") as file:
        for name, (voxels, attributes) in datasets.items():
            data = file.create_dataset(f"volumes/{name}", data=voxels, chunks=True, compression="gzip")
            data.attrs.update(attributes)


@pytest.mark.parametrize("attributes", [{"resolution": (40.0, 8.0, 4.0)}, {"element_size_um": (0.04, 0.008, 0.004)}])
def test_hdf5(tmp_path, attributes):
    write_hdf5(tmp_path / "a.h5", raw=(coded(), attributes), table=(np.zeros((2, 4, 4, 4)), {}))
    volume = open_volume(tmp_path / "a.h5")
    assert volume.spacing == pytest.approx((40, 8, 4))
    assert volume.unit == "nm"
    assert np.array_equal(volume.read(), coded())
    assert np.array_equal(volume.voxels[2:4, :, 1], coded()[2:4, :, 1])
    write_hdf5(tmp_path / "b.h5", raw=(coded(), {}), labels=(coded(), {}))
    with pytest.raises(PlanewiseError, match=r"b\.h5: holds 2 volumes \(volumes/labels, volumes/raw\)"):
        open_volume(tmp_path / "b.h5")
    (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:900])
    with pytest.raises(PlanewiseError, match=r"c\.h5: cannot be read"):
        open_volume(tmp_path / "c.h5")
    with pytest.raises(PlanewiseError, match="no format that can be written"):
        write_volume(tmp_path / "d.h5", volume)


def write_n5(path, voxels, **attributes):
    import tensorstore

    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path)},
            "metadata": {"dimensions": voxels.shape[::-1], "blockSize": [4, 4, 4], "dataType": str(voxels.dtype),
                         "compression": {"type": "gzip"}}}  # fmt: skip
    tensorstore.open(spec, create=True).result().T.write(voxels).result()
    about = json.loads((path / "attributes.json").read_text())
    (path / "attributes.json").write_text(json.dumps(about | attributes))


def test_n5(tmp_path):
    physical = {"pixelResolution": {"unit": "um", "dimensions": [0.004, 0.008, 0.04]}}
    write_n5(tmp_path / "a.n5" / "em" / "s0", coded(), **physical)
    write_n5(tmp_path / "a.n5" / "em" / "s1", coded()[::2, ::2, ::2])
    volume = open_volume(tmp_path / "a.n5")
    assert volume.spacing == pytest.approx((40, 8, 4))
    assert np.array_equal(volume.read(), coded())
    assert np.array_equal(volume.voxels[1:3, 2], coded()[1:3, 2])
    write_n5(tmp_path / "b.n5", coded(), resolution=[4, 8, 40])
    assert open_volume(tmp_path / "b.n5").spacing == (40, 8, 4)
    (tmp_path / "c.n5").mkdir()
    with pytest.raises(PlanewiseError, match=r"c\.n5: holds 0 volumes"):
        open_volume(tmp_path / "c.n5")


def test_what_we_write_is_an_ome_zarr_image_with_a_pyramid(tmp_path):
    from ome_zarr_models.v05 import Image

    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 9, (3, 30, 600)).astype(np.uint16)
    write_volume(tmp_path / "a.ome.zarr", Volume(voxels, (30.0, 4.0, 5.0), "nm", (60.0, 0.0, 10.0)))
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    image = Image.from_zarr(group).ome_attributes.multiscales[0]
    assert [dataset.path for dataset in image.datasets] == ["0", "1", "2"]
    assert [axis.unit for axis in image.axes] == ["nanometer"] * 3
    scales = [dataset.coordinateTransformations[0].scale for dataset in image.datasets]
    assert scales == [[30, 4, 5], [60, 8, 10], [120, 16, 20]]
    for level in range(3):
        step = 2**level
        assert np.array_equal(group[str(level)][:], voxels[::step, ::step, ::step])
        assert group[str(level)].shards is not None


def test_a_volume_is_shown_in_a_line_without_its_voxels(tmp_path):
    write_volume(tmp_path / "a.tiff", Volume(np.zeros((2, 3, 4), np.uint8), (40.0, 8.0, 8.5), "nm"))
    shown = "Volume(2 x 3 x 4 of uint8, spacing 40 x 8 x 8.5 nm (z, y, x), from TiffVoxels)"
    assert repr(open_volume(tmp_path / "a.tiff")) == shown
