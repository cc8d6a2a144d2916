import json
import os

import pytest

from planewise.data.case import Case
from planewise.data.preparation import (
    MadeFrom,
    Record,
    check_same,
    fingerprint,
    fingerprints,
    read_record,
    write_record,
)
from planewise.errors import PlanewiseError

MADE = MadeFrom({"planes": ("xy",), "split": {"train": ["a"]}, "size": 5}, {"a": "1", "b": "2"})


def test_a_fingerprint_is_of_content_not_of_name_or_age(tmp_path):
    for name in ("a_0000.tiff", "b_0000.tiff"):
        (tmp_path / name).write_bytes(b"voxels")
    os.utime(tmp_path / "b_0000.tiff", (0, 0))
    first = fingerprint(tmp_path / "a_0000.tiff")
    assert first == fingerprint(tmp_path / "b_0000.tiff")
    assert first.startswith("6 ")
    (tmp_path / "a_0000.tiff").write_bytes(b"voxelz")
    assert fingerprint(tmp_path / "a_0000.tiff") != first


def test_a_fingerprint_knows_the_unit_of_the_sidecar(tmp_path):
    """It stands in the dataset.json above; a volume without a sidecar has its spacing to itself."""
    (tmp_path / "labels").mkdir()
    for name in ("a.tiff", "b.tiff", "a.json"):
        (tmp_path / "labels" / name).write_text('{"spacing": [1, 1, 1]}')
    volumes = [tmp_path / "labels" / name for name in ("a.tiff", "b.tiff")]
    before = [fingerprint(path) for path in volumes]
    (tmp_path / "dataset.json").write_text('{"spacing_unit": "nm"}')
    assert [fingerprint(path) for path in volumes] == before
    (tmp_path / "dataset.json").write_text('{"spacing_unit": "um"}')
    after = [fingerprint(path) for path in volumes]
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize("position", [0, 4_500_000, 8_999_999])
def test_one_byte_of_a_large_file_is_seen_wherever_it_is(tmp_path, position):
    path = tmp_path / "a.nii"
    with path.open("wb") as file:
        file.truncate(9_000_000)
    before = fingerprint(path)
    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"\1")
    assert fingerprint(path) != before


def test_what_lies_beside_a_file_and_within_a_folder_counts(tmp_path):
    image = tmp_path / "a_0000.tiff"
    image.write_bytes(b"voxels")
    alone = fingerprint(image)
    (tmp_path / "a.json").write_text('{"spacing": [1, 1, 1]}')
    assert fingerprint(image) != alone
    store = tmp_path / "a.ome.zarr"
    (store / "0").mkdir(parents=True)
    (store / "0" / "c").write_bytes(b"chunk")
    before = fingerprint(store)
    (store / "0" / "c").rename(store / "0" / "d")
    assert fingerprint(store) != before


def test_what_cannot_be_read_says_so(tmp_path):
    assert fingerprint(tmp_path / "none.tiff") == "unreadable: No such file or directory"


def test_fingerprints_of_cases_have_image_and_truth_and_how_they_are_read(tmp_path):
    image, truth = tmp_path / "a_0000.tiff", tmp_path / "a.tiff"
    image.write_bytes(b"voxels")
    truth.write_bytes(b"labels")
    seen = []
    instances = fingerprints([Case("a", image, truth, True), Case("b", image, None, True)], seen.append)
    assert set(instances) == {"a", "a (truth)", "b"}
    assert seen == ["a", "b"]
    assert fingerprints([Case("a", image, truth, False)], seen.append)["a"] != instances["a"]


def test_the_key_is_that_of_options_and_data_in_any_order():
    same = MadeFrom({"size": 5, "split": {"train": ["a"]}, "planes": ["xy"]}, {"b": "2", "a": "1"})
    assert same.key == MADE.key
    assert len(same.key) == 32
    assert MadeFrom({**MADE.options, "size": 6}, MADE.data).key != MADE.key
    assert MadeFrom(MADE.options, {"a": "1", "b": "3"}).key != MADE.key


def test_differences_are_named():
    now = MadeFrom({"planes": ("xy", "xz"), "split": {"train": ["b"]}, "size": 5}, {"a": "9", "c": "3"})
    assert MADE.differences(now) == ("planes: xy -> xy xz; another split; data changed: a; data new: c; data gone: b")
    assert MADE.differences(MADE) == ""


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "prepared.json"
    assert read_record(path) is None
    write_record(path, Record(MADE, {"slices": 3}))
    record = read_record(path)
    assert record.made_from.key == MADE.key
    assert record.written == {"slices": 3}
    assert record.made_from.differences(MADE) == ""


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[" * 100_000, '{"key": 5, "options": 5, "data": 5, "written": 5}']
)
def test_a_damaged_record_is_refused_by_name(tmp_path, content):
    path = tmp_path / "prepared.json"
    path.write_text(content)
    with pytest.raises(PlanewiseError, match="is not the record") as refusal:
        read_record(path)
    assert str(refusal.value).startswith(str(path))


def test_a_record_that_was_edited_is_refused(tmp_path):
    path = tmp_path / "prepared.json"
    write_record(path, Record(MADE))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"data": {"a": "1"}}))
    with pytest.raises(PlanewiseError, match="its key does not fit"):
        read_record(path)


def test_a_training_goes_on_with_what_it_began_with_only(tmp_path, capsys):
    check_same(tmp_path / "prepared.json", Record(MADE))
    assert "has no record" in capsys.readouterr().err
    write_record(tmp_path / "prepared.json", Record(MADE))
    check_same(tmp_path / "prepared.json", Record(MADE, {"slices": 3}))
    with pytest.raises(PlanewiseError, match=r"size: 5 -> 6"):
        check_same(tmp_path / "prepared.json", Record(MadeFrom({**MADE.options, "size": 6}, MADE.data)))
    with pytest.raises(PlanewiseError, match="these have none"):
        check_same(tmp_path / "prepared.json", None)


def test_what_a_model_states_is_one_clause_if_the_model_differs():
    before = MadeFrom({"model": "A", "axes": ["xy"], "min_size": "by the objects", "repair": True}, {})
    now = MadeFrom({"model": "B", "axes": ["xy", "xz"], "min_size": 500, "repair": False}, {})
    said = "axes: xy -> xy xz; model: A -> B; and with the model what it states: min_size, repair"
    assert before.differences(now, of_model={"min_size", "repair"}) == said
    assert before.differences(now, of_model={"repair"}).startswith(
        "axes: xy -> xy xz; min_size: by the objects -> 500; "
    )
    same = MadeFrom(now.options | {"model": "A"}, {})
    assert before.differences(same, of_model={"repair"}).endswith("repair: yes -> no")  # a file that was edited
