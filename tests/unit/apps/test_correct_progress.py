"""Which items of a work list are finished, in open cases and by the journals of those that are not."""

import numpy as np
import pytest

from planewise.apps.correct_progress import WorkList
from planewise.correction.session import Corrections
from planewise.correction.worklist import Item
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume

ITEMS = [Item(name, name[0], "look", (1,), (0, 0, 0)) for name in ("a1", "a2", "b1")]


@pytest.fixture
def volumes(tmp_path):
    paths = {name: tmp_path / f"{name}.tiff" for name in "ab"}
    for path in paths.values():
        write_volume(path, Volume(np.ones((2, 3, 4), np.uint8)))
    return paths


def test_the_next_item_is_the_next_to_do_and_then_the_first_that_was_left(volumes):
    worklist = WorkList(ITEMS, volumes)
    assert worklist.next_to_do("", None) == 0
    assert worklist.choose(1).name == "a2"
    assert worklist.next_to_do("", None) == 2
    with Corrections(volumes["b"]) as corrections:
        corrections.finish_item("b1", "skip")
        assert worklist.next_to_do("b", corrections) == 0
    assert worklist.states("", None) == {"a": {}, "b": {"b1": "skip"}}  # by the journal
    with Corrections(volumes["a"]) as corrections:
        for name in ("a1", "a2"):
            corrections.finish_item(name, "done")
        assert worklist.next_to_do("a", corrections) is None
        assert worklist.text("a", corrections) == "Item 2 of 3, 3 finished: a2 (done)\nlook"


def test_what_is_not_in_the_list_is_not_shown(volumes):
    worklist = WorkList(ITEMS, volumes)
    assert worklist.item is None
    worklist.choose(2)
    with pytest.raises(PlanewiseError, match="there is no further item"):
        worklist.choose(3)
    assert worklist.item == ITEMS[2]
    with pytest.raises(PlanewiseError, match="there is no work list"):
        WorkList([], volumes).choose(0)
