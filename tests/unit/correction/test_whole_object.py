"""An object gets a class as a whole: all its voxels in the volume of classes, and no others; undone bit for bit."""

import numpy as np
import pytest

from planewise.correction.session import Corrections
from planewise.correction.whole_object import WholeObject
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.volume import Volume


@pytest.fixture(params=["tiff", "ome.zarr"])
def classes(tmp_path, balls, request):
    """The class of each voxel, beside five balls: all are of class 1, and around them is stuff of class 3."""
    write_volume(tmp_path / f"a.{request.param}", Volume(balls.astype(np.uint8)))
    path = tmp_path / "classes" / f"a.{request.param}"
    write_volume(path, Volume(np.where(balls > 0, 1, 3).astype(np.uint8)))
    return path


def content(path):
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return {file.relative_to(path.parent): file.read_bytes() for file in files}


def test_all_voxels_of_the_object_and_no_others(classes, balls):
    before, objects = content(classes), content(classes.parents[1] / classes.name)
    with Corrections(classes) as corrections:
        corrections.apply(WholeObject(value=2, object=4).painted(classes))
    np.testing.assert_array_equal(open_volume(classes).read(), np.where(balls == 4, 2, np.where(balls > 0, 1, 3)))
    with Corrections(classes) as corrections:
        corrections.replay()
    assert (open_volume(classes).read() == 2).sum() == (balls == 4).sum()
    with Corrections(classes) as corrections:
        corrections.undo()
    assert content(classes) == before
    assert content(classes.parents[1] / classes.name) == objects


def test_what_is_no_object_is_refused(classes, tmp_path):
    with pytest.raises(PlanewiseError, match="has no object 9"):
        WholeObject(value=2, object=9).painted(classes)
    with pytest.raises(PlanewiseError, match="is not a volume of classes beside objects"):
        WholeObject(value=2, object=4).painted(tmp_path / classes.name)
