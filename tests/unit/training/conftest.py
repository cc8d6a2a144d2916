import numpy as np
import pytest
from drawn_slices import ORGAN, write_slice


@pytest.fixture
def folder(tmp_path):
    write_slice(tmp_path / "train", "a-000", (1, 2, 4))
    write_slice(tmp_path / "train", "a-001", (3,), (60, 30))
    write_slice(tmp_path / "train", "a-002", ())  # nothing left of it after resizing: passed over, not fatal
    write_slice(tmp_path / "valid", "b-000", (1,))
    return tmp_path


@pytest.fixture
def organs(folder):
    """The slices with the organ in all but a-001; c-000 shows nothing else."""
    write_slice(folder / "train", "c-000", ())
    for part in ("train", "valid"):
        (folder / part / "organs").mkdir()
        for path in (folder / part / "gts").iterdir():
            np.save(folder / part / "organs" / path.name, ORGAN * (path.stem != "a-001"))
    return folder
