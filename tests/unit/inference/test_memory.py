import numpy as np
import pytest

from planewise.inference.memory import need_in_memory
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.machine import _limits, machine_memory
from planewise.volumes.volume import Volume


class Stored:
    """Voxels that are read in chunks, of which nothing is read here."""

    shape, chunks = (200, 3000, 3000), (1, 1, 1)

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)


def test_what_is_needed_grows_with_type_planes_and_batch():
    one = need_in_memory(Volume(Stored(np.uint8)), ("xy",), 4, 1, "cpu")
    assert one.volume == 1_800_000_000
    assert one.objects == 900_000_000
    assert one.network == 4 * 9_000_000 * (270 + 6 * 4)
    assert one.total == one.volume + one.objects + one.network
    assert "about 13 GB of memory (the volume 1.8, its objects 0.9, the network 11)" in str(one)
    three = need_in_memory(Volume(Stored(np.float32)), ("xy", "xz", "yz"), 4, 1, "cpu")
    assert (three.volume, three.objects, three.network) == (4 * one.volume, 3 * one.objects, one.network)
    assert need_in_memory(Volume(Stored(np.uint8)), ("xz",), 4, 1, "cpu").network == one.network // 15
    assert need_in_memory(Volume(Stored(np.uint8)), ("xy",), 2, 1, "cpu").network == one.network // 2


def test_the_network_sees_shrunk_slices_and_a_gpu_has_its_own_memory():
    volume = Volume(Stored(np.uint8))
    assert need_in_memory(volume, ("xy",), 1, 2, "cpu").network == 9_000_000 * 270 // 4 + 6 * 9_000_000 * 4
    assert need_in_memory(volume, ("xy",), 1, 1, "cuda").network == 6 * 9_000_000 * 4


def test_the_estimate_stays_within_three_times_the_volume():
    for planes in (("xy",), ("xy", "xz", "yz")):
        need = need_in_memory(Volume(Stored(np.uint8)), planes, 4, 1, "cpu")
        assert need.beside_network <= 3 * need.volume


def test_a_format_that_is_read_as_a_whole_is_held_twice(tmp_path):
    voxels = np.zeros((4, 5, 6), np.int16)
    needs = {}
    for name in ("a.nii.gz", "a.tiff", "a.ome.zarr"):
        write_volume(tmp_path / name, Volume(voxels))
        needs[name] = need_in_memory(open_volume(tmp_path / name), ("xy",), 1, 1, "cpu").volume
    assert needs == {"a.nii.gz": 480, "a.tiff": 240, "a.ome.zarr": 240}


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/slurm/job/step", {"slurm/job/memory.max": "8000", "slurm/job/step/memory.max": "max"}, [8000]),
        ("0::/a/b", {"memory.max": "500", "a/memory.max": "900", "a/b/memory.max": "700"}, [700, 900, 500]),
        ("9:memory:/docker/x\n8:cpu:/", {"memory/docker/x/memory.limit_in_bytes": "123"}, [123]),
        ("9:cpu,memory:/inner", {"memory/memory.limit_in_bytes": "77"}, [77]),
        ("0::/", {}, []),
    ],
    ids=["a job's limit holds its steps", "all above count", "version 1", "version 1 in a container", "none"],
)
def test_limits_of_control_groups(tmp_path, membership, files, expected):
    root = tmp_path / "cgroup"
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    (tmp_path / "membership").write_text(membership + "\n")
    assert _limits(root, tmp_path / "membership") == expected


def test_where_there_are_no_control_groups_the_machine_s_memory_counts(tmp_path, monkeypatch):
    assert _limits(tmp_path, tmp_path / "missing") == []
    assert machine_memory() > 10**8
    monkeypatch.setattr("planewise.volumes.machine._limits", lambda *given: pytest.fail("read again"))
    machine_memory()
