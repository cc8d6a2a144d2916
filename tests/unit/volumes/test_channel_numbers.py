import pytest

from planewise.volumes import channel_numbers
from planewise.volumes.channel_numbers import is_channel


def test_dataset_json_is_read_once_for_a_folder_and_again_once_it_has_changed(tmp_path, monkeypatch):
    read = []
    content = channel_numbers.read_json
    monkeypatch.setattr(channel_numbers, "read_json", lambda path: read.append(path) or content(path))
    meta, images = tmp_path / "dataset.json", tmp_path / "imagesTs"

    def channels():
        return [is_channel(images / f"a_{number:04d}.tif", f"{number:04d}") for number in range(4)]

    assert channels() == [True, None, None, None]
    meta.write_text('{"channel_names": {"0": "EM", "1": "ER"}}')
    assert channels() == [True, True, False, False]
    assert read == [meta]
    meta.write_text('{"channel_names": {"0": "EM", "1": "ER", "2": "nuclei"}}')
    assert channels() == [True, True, True, False]
    assert read == [meta, meta]


@pytest.mark.parametrize("folder", ["imagesTs_m", "labelsTr", "labelsTs", "instancesTs", "paintedTr"])
def test_labels_in_a_dataset_have_no_channels(tmp_path, folder):
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "EM", "1": "ER"}}')
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a_0000.tif").touch()
    assert [is_channel(tmp_path / folder / f"a_000{n}.tif", f"000{n}") for n in range(3)] == [True, False, False]


def test_dataset_json_says_nothing_of_other_folders(tmp_path):
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "EM", "1": "ER"}}')
    assert is_channel(tmp_path / "out" / "a_0001.tif", "0001") is None
