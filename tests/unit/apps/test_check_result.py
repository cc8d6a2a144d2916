import json

import numpy as np
import pytest

from planewise.apps.check_result import Checked, as_json, print_checked, written_by_check
from planewise.data.check import CheckedCase, CheckedClass, check_image
from planewise.data.leaks import Leak
from planewise.errors import Problem
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume


@pytest.fixture
def checked(tmp_path):
    image = Volume(np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8), (30.0, 8.0, 8.0), "nm")
    write_volume(tmp_path / "a.tif", image)
    classes = {"cell": CheckedClass(48, 0.25, 3)}
    nothing = {"cell": CheckedClass(0, 0.0, None)}
    cases = [CheckedCase("a", "Tr", check_image(tmp_path / "a.tif"), classes), CheckedCase("b", "Ts", None, nothing)]
    problem = Problem("b.tif", "cannot be read")
    return Checked(tmp_path, "dataset", cases, {"a": "P1"}, [Leak("a", "b", 96, 0.5, (0, 0, 2))], ["a note"], [problem])


def test_tables_say_what_is_there_and_what_cannot_be_used(checked, capsys):
    print_checked(checked)
    printed = capsys.readouterr()
    lines = [" ".join(line.split()) for line in printed.out.splitlines()]
    (first,) = [line for line in lines if " P1 " in line]
    assert "4 x 6 x 8" in first
    assert "30 x 8 x 8 nm" in first
    assert any("cannot be used" in line for line in lines)
    (of_class,) = [line for line in lines if "1 of 2" in line]
    assert "48" in of_class
    assert "12.50%" in of_class  # the mean of a quarter and of nothing
    assert "not counted" in of_class
    assert "a note" in printed.err


def test_the_json_holds_the_same_and_is_known_as_ours(checked, tmp_path):
    content = as_json(checked)
    first, second = content["cases"]
    assert (first["shape"], first["spacing"], first["unit"], first["patient"]) == ((4, 6, 8), (30, 8, 8), "nm", "P1")
    assert first["classes"] == {"cell": {"voxels": 48, "share": 0.25, "objects": 3}}
    assert "image" not in second
    assert content["leaks"] == [{"train": "a", "test": "b", "share": 0.5, "offset": (0, 0, 2)}]
    assert content["problems"] == [{"where": "b.tif", "what": "cannot be read"}]
    (tmp_path / "ours.json").write_text(json.dumps([content]))
    (tmp_path / "another.json").write_text('[{"cases": []}]')
    (tmp_path / "torn.json").write_text("[")
    assert [written_by_check(tmp_path / f"{name}.json") for name in ("ours", "another", "torn")] == [True, False, False]
