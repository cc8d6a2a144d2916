import mrcfile
import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.formats import result_ending

CODED = np.arange(3 * 4 * 5).reshape(3, 4, 5)


def write(path, voxels, voxel_size=None, **fields):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(voxels)
        if voxel_size:
            file.voxel_size = voxel_size
        for name, value in fields.items():
            file.header[name] = value


@pytest.mark.parametrize("ending", [".mrc", ".rec"])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32])
def test_mrc(tmp_path, ending, dtype):
    write(tmp_path / f"a{ending}", CODED.astype(dtype), (40.0, 80.0, 400.0))  # x, y, z in angstrom
    volume = open_volume(tmp_path / f"a{ending}")
    assert (volume.spacing, volume.unit) == (pytest.approx((40.0, 8.0, 4.0)), "nm")
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.read(), CODED)
    assert np.array_equal(volume.voxels[1:, 2], CODED[1:, 2])
    assert not volume.has_origin
    assert result_ending(tmp_path / f"a{ending}") == ".tiff"


def test_a_cell_of_size_0_says_nothing(tmp_path):
    write(tmp_path / "a.mrc", CODED.astype(np.int16), cella=(0.0, 0.0, 0.0))
    volume = open_volume(tmp_path / "a.mrc")
    assert (volume.spacing, volume.unit) == ((1, 1, 1), "pixel")


@pytest.mark.parametrize("cell", [(-5.0, 4.0, 3.0), (0.0, 4.0, 3.0), (np.nan, 4.0, 3.0), (np.inf, 4.0, 3.0)])
def test_a_cell_that_cannot_be_is_refused(tmp_path, cell):
    write(tmp_path / "a.mrc", CODED.astype(np.int16), cella=cell)
    with pytest.raises(PlanewiseError, match=r"a\.mrc: its spacing"):
        open_volume(tmp_path / "a.mrc")


def test_bytes_are_unsigned_where_they_must_be(tmp_path):
    bright = (CODED + 180).astype(np.uint8)
    write(tmp_path / "a.mrc", bright.view(np.int8), dmin=180.0, dmax=239.0)
    assert np.array_equal(open_volume(tmp_path / "a.mrc").read(), bright)
    imod = np.zeros(21, np.int32)
    imod[10:12] = 1146047817, 0  # IMOD's stamp, and the flag of signed bytes unset
    write(tmp_path / "a.mrc", bright.view(np.int8), extra2=imod.tobytes())
    assert np.array_equal(open_volume(tmp_path / "a.mrc").read(), bright)
    imod[11] = 1
    write(tmp_path / "a.mrc", bright.view(np.int8), extra2=imod.tobytes())
    assert np.array_equal(open_volume(tmp_path / "a.mrc").read(), bright.view(np.int8))


def test_axes_in_another_order(tmp_path):
    write(tmp_path / "a.mrc", CODED.astype(np.int16).transpose(2, 1, 0), (40, 80, 400), mapc=3, mapr=2, maps=1)
    with mrcfile.open(tmp_path / "a.mrc", "r+", permissive=True) as file:
        file.header.cella = (5 * 40, 4 * 80, 3 * 400)
        file.header.mx, file.header.my, file.header.mz = 5, 4, 3
    volume = open_volume(tmp_path / "a.mrc")
    assert np.array_equal(volume.read(), CODED)
    assert volume.spacing == pytest.approx((40, 8, 4))


def test_what_is_no_volume_is_refused(tmp_path):
    write(tmp_path / "a.mrc", CODED.astype(np.complex64))
    with pytest.raises(PlanewiseError, match=r"a\.mrc: holds complex64"):
        open_volume(tmp_path / "a.mrc")
    write(tmp_path / "a.mrc", CODED.astype(np.int16))
    (tmp_path / "b.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:-10])
    with pytest.raises(PlanewiseError, match=r"b\.mrc: is truncated"):
        open_volume(tmp_path / "b.mrc")
    (tmp_path / "c.mrc").write_bytes(b"not an MRC file" * 100)
    with pytest.raises(PlanewiseError, match=r"c\.mrc: cannot be read"):
        open_volume(tmp_path / "c.mrc")
    write(tmp_path / "d.mrc", CODED.astype(np.int16).reshape(1, 3, 4, 5))
    with pytest.raises(PlanewiseError, match=r"d\.mrc: is a stack of volumes"):
        open_volume(tmp_path / "d.mrc")
    with pytest.raises(PlanewiseError, match="no format that can be written"):
        write_volume(tmp_path / "e.mrc", open_volume(tmp_path / "a.mrc"))
