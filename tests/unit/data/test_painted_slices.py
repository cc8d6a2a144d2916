import numpy as np
import pytest
import tifffile

from planewise.data.painted_slices import is_painted, painted_slices, painted_text, read_painted
from planewise.errors import PlanewiseError

SHAPE = (6, 8, 10)


def paint(folder, **slices):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in slices.items():
        tifffile.imwrite(folder / f"{name}.tif", np.asarray(content))
    return folder


@pytest.fixture
def folder(tmp_path):
    along_z, along_y = np.zeros((8, 10), np.uint8), np.zeros((6, 10), np.uint8)
    along_z[1:4, 1:4] = along_z[5:7, 6:9] = 255
    along_y[1:5, 1:4] = 7
    return paint(tmp_path / "paintedTr" / "a", z02=along_z, y0003=along_y)


def test_slices_lie_where_their_names_say(folder):
    assert is_painted(folder)
    assert not is_painted(folder.parent.parent / "labelsTr" / "a")
    assert [*painted_slices(folder, SHAPE)] == [("z", 2), ("y", 3)]
    assert painted_text(folder, SHAPE) == "z 2, y 3"
    labels = read_painted(folder, SHAPE, None, -1)
    known = np.zeros(SHAPE, bool)
    known[2] = known[:, 3] = True
    assert np.array_equal(labels >= 0, known)
    first, second = labels[2, 1, 1], labels[2, 5, 6]
    assert len({0, first, second}) == 3  # in pieces, so two objects, whatever value they have
    assert np.array_equal(labels[2] > 0, tifffile.imread(folder / "z02.tif") > 0)
    assert np.array_equal(labels[:, 3] > 0, tifffile.imread(folder / "y0003.tif") > 0)
    assert (labels[2, 3, 1:4] == first).all()
    assert len({0, first, second, labels[1, 3, 1]}) == 4  # of another slice, so with an id of its own


def test_of_voxels_that_slices_do_not_agree_on_nothing_is_known(folder):
    tifffile.imwrite(folder / "x2.tif", np.zeros(SHAPE[:2], np.uint8))
    labels = read_painted(folder, SHAPE, None, -1)
    assert labels[2, 1:4, 2].tolist() == [-1, -1, -1]
    assert labels[1:5, 3, 2].tolist() == [-1] * 4
    assert labels[0, :, 2].tolist() == [0] * 8


def test_the_ignore_label_counts_in_painted_slices_too(folder):
    content = tifffile.imread(folder / "z02.tif")
    content[0] = 9
    tifffile.imwrite(folder / "z02.tif", content)
    labels = read_painted(folder, SHAPE, 9, -1)
    assert (labels[2, 0] == -1).all()
    assert (labels[2, 1:] >= 0).all()


@pytest.mark.parametrize(
    ("name", "shape", "printed"),
    [
        ("slice_3", (8, 10), r"slice_3\.tif: must be named by its axis and index, such as z0012\.tif"),
        ("z2", (8, 10), r"shows the same slice as z02?\.tif"),
        ("z6", (8, 10), r"z6\.tif: the image has 6 slices along z, 0 to 5"),
        ("x1", (8, 6), r"x1\.tif: has shape \(8, 6\), and a slice along x of the image \(6, 8\) \(z, y\)"),
    ],
)
def test_what_lies_nowhere_is_refused_by_name(folder, name, shape, printed):
    paint(folder, **{name: np.zeros(shape, np.uint8)})
    with pytest.raises(PlanewiseError, match=printed):
        painted_slices(folder, SHAPE)


def test_no_slices_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    for folder in (tmp_path / "a", tmp_path / "b"):
        with pytest.raises(PlanewiseError, match=r"holds no painted slices, such as z0012\.tif"):
            painted_slices(folder, SHAPE)
