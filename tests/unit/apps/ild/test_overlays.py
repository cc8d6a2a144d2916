"""Pictures of what was predicted."""

import json

import numpy as np
import pytest

from dicom import write_dicom
from planewise.apps.ild import run
from planewise.apps.ild.options import IldRun
from planewise.data.prepared import read_patient, save_patient
from planewise.errors import PlanewiseError
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def test_the_prediction_of_a_tilted_gantry_is_drawn_on_its_upright_slices(tmp_path, monkeypatch):
    truth = np.random.default_rng(0).integers(0, 3, (6, 40, 50)).astype(np.uint8)
    write_dicom(tmp_path / "c", np.zeros((6, 40, 50), np.int16), spacing=(5, 2, 2), tilt=(-0.75, 0))
    write_labels(tmp_path / "c.nii.gz", Volume(truth, (5, 2, 2), "mm"))
    patient, _ = read_patient("c", tmp_path / "c", tmp_path / "c.nii.gz", -600, 1500)
    save_patient(tmp_path / "npz" / "c.npz", patient)
    write_labels(tmp_path / "segs" / "c.nii.gz", patient.restore(patient.labels))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1, "b": 2}}))
    drawn = []
    monkeypatch.setattr(run, "overlay_picture", lambda *given: (drawn.append(given), given[4].write_bytes(b"picture")))
    options = IldRun(dataset_path=tmp_path, work_dir=tmp_path / "work", from_scratch=True)
    for _ in range(2):  # the second time they are there
        run._overlays(options, tmp_path / "npz", {"truth": tmp_path / "segs"})
    [(images, labels, predicted, _, picture, _)] = drawn
    assert images.shape == predicted.shape == (6, 42, 50)
    assert np.array_equal(predicted, labels)
    assert picture == tmp_path / "segs" / "evaluation" / "c.png"
    picture.write_text("mine")
    with pytest.raises(PlanewiseError, match=r"c.png: was changed after it was made, and is kept"):
        run._overlays(options, tmp_path / "npz", {"truth": tmp_path / "segs"})
    assert picture.read_text() == "mine"
