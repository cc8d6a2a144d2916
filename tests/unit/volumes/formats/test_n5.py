import json

import numpy as np
import pytest

from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, read_voxels

tensorstore = pytest.importorskip("tensorstore")
CODED = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(np.uint16)


def write(path, **changes):
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(path)},
            "metadata": {"dimensions": [5, 4, 3], "blockSize": [4, 4, 4], "dataType": "uint16",
                         "compression": {"type": "gzip"}}}  # fmt: skip
    tensorstore.open(spec, create=True).result().T.write(CODED).result()
    about = json.loads((path / "attributes.json").read_text())
    (path / "attributes.json").write_text(json.dumps(about | changes))


@pytest.mark.parametrize("dimensions", [[5, 4, 10**12], [10**12, 4, 3], [5, 10**12, 3], [2**62, 2**62, 3]])
def test_more_slices_than_memory_do_not_end_the_process(tmp_path, dimensions):
    write(tmp_path / "a.n5", dimensions=dimensions)
    volume = open_volume(tmp_path / "a.n5")
    with pytest.raises(PlanewiseError, match=r"a\.n5: .* do not fit in memory"):
        read_voxels(volume, tmp_path / "a.n5")
    with pytest.raises(PlanewiseError, match="do not fit in memory"):
        volume.read()
    assert np.array_equal(volume.voxels[:3, :4, :5], CODED)


@pytest.mark.parametrize(
    "changes",
    [
        {"dimensions": [5, 4, -3]},
        {"dimensions": [5, 0, 3]},
        {"dimensions": [5, 4, 2**70]},
        {"dimensions": [5, 4, 3.5]},
        {"blockSize": [4, -4, 4]},
        {"blockSize": [4, 4]},
    ],
)
def test_sides_that_cannot_be_are_refused(tmp_path, changes):
    write(tmp_path / "a.n5", **changes)
    with pytest.raises(PlanewiseError, match=r"a\.n5: its (dimensions|blockSize) are"):
        open_volume(tmp_path / "a.n5")


def test_a_block_beyond_memory_is_refused(tmp_path):
    write(tmp_path / "a.n5", blockSize=[10**4, 10**4, 10**6])
    with pytest.raises(PlanewiseError, match="do not fit in memory"):
        open_volume(tmp_path / "a.n5")


@pytest.mark.parametrize("size", [0, -4, float("inf"), float("nan")])
def test_a_spacing_that_cannot_be_is_refused(tmp_path, size):
    write(tmp_path / "a.n5", resolution=[4, size, 40])
    with pytest.raises(PlanewiseError, match=r"a\.n5: its spacing"):
        open_volume(tmp_path / "a.n5")


def test_units(tmp_path):
    write(tmp_path / "a.n5", pixelResolution={"unit": "angstrom", "dimensions": [40, 80, 400]})
    volume = open_volume(tmp_path / "a.n5")
    assert (volume.spacing, volume.unit) == (pytest.approx((40, 8, 4)), "nm")
    write(tmp_path / "b.n5", pixelResolution={"unit": "pixel", "dimensions": [1, 1, 5]})
    volume = open_volume(tmp_path / "b.n5")
    assert (volume.spacing, volume.unit) == ((5, 1, 1), "pixel")
