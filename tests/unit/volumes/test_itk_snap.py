import re

from planewise.volumes.itk_snap import is_label_description_of_ours, read_label_description, write_label_description
from planewise.volumes.label_names import LabelNames


def test_a_description_reads_as_itk_snap_reads_it(tmp_path):
    path = tmp_path / "labels.txt"
    write_label_description(path, LabelNames({1: "ground glass", 7: 'the "rest"\n'}, {7: "#010203"}))
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    row = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([01])\s+([01])\s+"([^"]*)"')
    read = [row.fullmatch(line).groups() for line in lines]
    assert read[0] == ("0", "0", "0", "0", "0", "0", "0", "Clear Label")
    assert read[1:] == [
        ("1", "230", "159", "0", "1", "1", "1", "ground glass"),
        ("7", "1", "2", "3", "1", "1", "1", "the 'rest'"),
    ]
    assert is_label_description_of_ours(path)
    path.write_text("################################################\n# ITK-SnAP Label Description File\n")
    assert not is_label_description_of_ours(path)


def test_a_description_is_read_back(tmp_path):
    names = LabelNames({1: "ground glass", 7: "rest"}, {7: "#010203"})
    write_label_description(tmp_path / "labels.txt", names)
    read = read_label_description(tmp_path / "labels.txt")
    assert (read.names, read.colours) == (names.names, names.colours)
    assert read_label_description(tmp_path / "none.txt") == LabelNames()
    (tmp_path / "other.txt").write_text(
        '# ITK-SNAP\n  3  255 0 16  0.5  1 0  "Label 3"\n 4 999 0 0 1 1 1 "x"\nnonsense\n'
    )
    assert read_label_description(tmp_path / "other.txt") == LabelNames({3: "Label 3"}, {3: "#FF0010"})
