"""What ild prepare makes of labels: small components, the ignore label, and what is refused."""

import json

import numpy as np
import pytest

from planewise.apps.ild.options import IldPrepare
from planewise.cli import run
from planewise.data.prepared import IGNORED, load_patient
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SPACING = (3.0, 2.0, 2.0)  # 12 mm3, 4 mm2


def make(folder, of_case, labels):
    """A dataset of label volumes by case, on CTs of nothing."""
    for case, voxels in of_case.items():
        write_volume(
            folder / "imagesTr" / f"{case}_0000.nii.gz", Volume(np.full(voxels.shape, -900, np.int16), SPACING, "mm")
        )
        write_labels(folder / "labelsTr" / f"{case}.nii.gz", Volume(voxels, SPACING, "mm"))
    meta = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": len(of_case), "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(meta))
    return folder


def drawn():
    """A cord of 30 pixels in every slice, as no published filter leaves it, and a speck of 2 x 2 x 2 voxels, 96 mm3."""
    labels = np.zeros((12, 32, 32), np.uint8)
    labels[:, 4:9, 4:10] = 1
    labels[3:5, 20:22, 20:22] = 2
    return labels


def prepare(data, work, *options):
    return run(["ild", "prepare", str(data), str(work), "--num_workers", "0", *options])


def labels_of(work, case, part="train"):
    return load_patient(work / f"npz_{part}" / "CT_ILD" / f"{case}.npz").labels


def test_small_components_are_measured_in_millimetres():
    options = IldPrepare(dataset_path="d", work_dir="w")
    assert options.smallest((3.0, 2.0, 2.0)) == (9, 3)  # 100 / 12 and 10 / 4, upwards
    assert options.smallest((1.0, 0.5, 0.5)) == (400, 40)
    assert options.model_copy(update={"min_voxels": 1000}).smallest((3.0, 2.0, 2.0)) == (1000, 3)
    assert options.model_copy(update={"min_pixels": 100}).smallest((3.0, 2.0, 2.0)) == (9, 100)


def test_a_thin_class_stays_and_one_that_vanishes_is_told(tmp_path, capsys):
    data = make(tmp_path / "d", {"P1": drawn()}, {"background": 0, "cord": 1, "nodule": 2})
    assert prepare(data, tmp_path / "w") == 0
    out = capsys.readouterr()
    assert set(np.unique(labels_of(tmp_path / "w", "P1"))) == {0, 1}
    assert "WARNING: P1: nodule vanishes from its labels: all 8 voxels (0.096 ml)" in out.err
    assert "WARNING: nodule vanishes from all cases" in out.err
    assert "cord vanishes" not in out.err
    rows = [line.split() for line in out.out.splitlines() if line.strip()[:4] in ("cord", "nodu")]
    assert rows == [
        ["cord", "360", "4.3", "1", "360", "4.3", "1", "1"],
        ["nodule", "8", "0.1", "1", "0", "0.0", "0", "1"],
    ]
    assert prepare(data, tmp_path / "v", "--min_pixels", "100", "--min_voxels", "0", "--slices", "all") == 2
    assert "WARNING: cord vanishes from all cases" in capsys.readouterr().err


def test_the_ignore_label_stays_as_255(tmp_path, capsys):
    labels = drawn()
    labels[:, 28:] = 3
    data = make(tmp_path / "d", {"P1": labels}, {"background": 0, "cord": 1, "nodule": 2, "ignore": 3})
    assert prepare(data, tmp_path / "w", "--slices", "all") == 0
    assert ((labels_of(tmp_path / "w", "P1") == IGNORED) == (labels == 3)).all()
    out = capsys.readouterr()
    assert "Voxels of the ignore label (3) are not trained on or scored" in out.err
    assert "255" not in out.out


@pytest.mark.parametrize(
    ("value", "what"), [(0, "are background;"), (3, "are the ignore label (3);")], ids=["empty", "ignored"]
)
def test_labels_without_an_object_are_refused_before_anything_is_prepared(tmp_path, capsys, value, what):
    empty = np.full((6, 16, 16), value, np.uint8)
    data = make(tmp_path / "d", {"P1": empty}, {"background": 0, "cord": 1, "ignore": 3})
    assert prepare(data, tmp_path / "w") == 2
    err = capsys.readouterr().err
    assert f"labels hold no object, all their voxels {what} give patients that have some (classes: cord (1))" in err
    assert "small" not in err
    assert not (tmp_path / "w").exists()


def test_labels_whose_objects_are_all_removed_are_refused_with_the_options_that_removed_them(tmp_path, capsys):
    speck = np.zeros((6, 16, 16), np.uint8)
    speck[2, 2, 2] = 1
    data = make(tmp_path / "d", {"P1": speck}, {"background": 0, "cord": 1})
    assert prepare(data, tmp_path / "w") == 2
    assert "after small components were removed, see the table above; lower --min_volume_mm3" in capsys.readouterr().err


def test_regions_are_refused_by_name(tmp_path, capsys):
    data = make(tmp_path / "d", {"P1": drawn()}, {"background": 0, "cord": 1, "both": [1, 2]})
    assert prepare(data, tmp_path / "w") == 2
    assert "both [1, 2]: is a region" in capsys.readouterr().err
