"""ild on patients whom nobody has marked, as a user runs it."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from dicom import CORONAL, write_dicom
from planewise.apps.ild.lungs import find_lungs, near_lungs
from planewise.cli import run
from planewise.data.phantom import CHEST_SPACING_MM, chest_phantom, write_chest_dataset
from planewise.inference.executor import SchedulerGone, ThisProcess
from planewise.report.class_tables import PRESENCE, RESULTS, ROC
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

TRAIN = ["--from_scratch", "--image_size", "64", "--epochs", "1", "--batch_size", "4", "--num_workers", "0",
         "--device", "cpu", "--min_voxels", "0", "--min_pixels", "0"]  # fmt: skip
SHAPE = (10, 64, 64)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A dataset with a class that no slice shows, and everything that ``ild run`` leaves."""
    folder = tmp_path_factory.mktemp("auto")
    write_chest_dataset(folder / "data", 0, SHAPE, train_cases=2)
    meta = json.loads((folder / "data" / "dataset.json").read_text())
    meta["labels"]["consolidation"] = 4
    (folder / "data" / "dataset.json").write_text(json.dumps(meta))
    arguments = ["ild", "run", str(folder / "data"), str(folder / "work"), "--train_prompts", "mixed", "--prompts",
                 "truth", "lungs", "auto", *TRAIN]  # fmt: skip
    assert run(arguments) == 0
    return folder


@pytest.fixture(scope="module")
def eager(job):
    """The model, made to say that every class is in every slice: what it draws matters little here, that it does."""
    path = job / "eager.pth"
    content = torch.load(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth", weights_only=True)
    last = "sam2_model.sam_mask_decoder.pred_obj_score_head.layers.2.bias"
    content["model"][last] += 100
    torch.save(content, path)
    return path


def predict(image, output, model, *more):
    return run(["ild", "predict", str(image), str(output), "--prompts", "auto", "--trained_model", str(model),
                "--device", "cpu", "--precision", "32", *more])  # fmt: skip


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_ct(path, voxels, spacing=CHEST_SPACING_MM, **about):
    write_volume(path, Volume(np.ascontiguousarray(voxels), spacing, "mm", **about))


def test_run_puts_the_kinds_of_prompts_side_by_side(job):
    segs = job / "work" / "segs"
    assert {path.name for path in segs.iterdir()} == {f"MedSAM2-Tiny-ILD{kind}" for kind in ("", "_lungs", "_auto")}
    results = segs / "MedSAM2-Tiny-ILD" / "evaluation"
    kinds = ["truth (an oracle)", "lungs (each slice by itself)", "auto"]
    rows = table(results / RESULTS)
    assert list(dict.fromkeys(row["prompts"] for row in rows)) == kinds
    assert {row["case"] for row in rows} == {"CT_phantomtest", "CT_phantomhealthy"}
    presence = table(results / PRESENCE)
    assert len(presence) == 3 * 4
    assert all(int(row["n_with"]) + int(row["n_without"]) == 2 * SHAPE[0] for row in presence)
    assert {row["auc"] == "" for row in presence if row["prompts"] == "truth (an oracle)"} == {True}
    assert all(row["auc"] for row in presence if row["prompts"] == "auto" and row["name"] != "consolidation")
    assert (results / ROC).exists()
    page = (results / "report.html").read_text()
    assert all(kind in page for kind in kinds)


def test_a_class_that_was_never_seen_has_a_token_and_is_told(job, capsys, tmp_path):
    content = torch.load(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth", weights_only=True)
    assert content["class_tokens"]["names"][4] == "consolidation"
    shutil.copytree(job / "work" / "npy", tmp_path / "npy")
    shutil.copy(job / "work" / "dataset.json", tmp_path)
    assert run(["ild", "train", str(tmp_path), "--train_prompts", "lungs", *TRAIN[:-4]]) == 0
    assert "no training slice shows consolidation" in capsys.readouterr().err


def test_one_command_on_one_file(job, eager, tmp_path):
    image = job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz"
    assert predict(image, tmp_path, eager) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "CT_phantomtest.nii.gz",
        "CT_phantomtest.html",
        "CT_phantomtest_presence.csv",
        "planewise.json",
        "itksnap_labels.txt",
    }
    assert open_volume(tmp_path / "CT_phantomtest.nii.gz").shape == SHAPE
    page = (tmp_path / "CT_phantomtest.html").read_text()
    assert "not a diagnosis" in page
    assert "honeycombing" in page
    rows = table(tmp_path / "CT_phantomtest_presence.csv")
    assert len(rows) == SHAPE[0] * 4
    assert {row["name"] for row in rows} == {"ground_glass", "reticulation", "honeycombing", "consolidation"}


def test_boxes_around_the_models_classes_in_a_ct_by_itself(job, eager, tmp_path, capsys):
    """No dataset.json is near it: what classes are called, the model says."""
    shutil.copy(job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz", tmp_path / "ref.nii.gz")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("case,class,slice,x0,y0,x1,y1\nref,reticulation,3,5,20,20,40\nref,emphysema,3,5,20,20,40\n")
    assert predict(tmp_path / "ref.nii.gz", tmp_path / "out", eager, "--prompts", str(boxes)) == 1
    assert set(np.unique(read_labels(tmp_path / "out" / "ref.nii.gz").read())) <= {0, 2}
    assert "line 3: there is no class emphysema; there are" in " ".join(capsys.readouterr().out.split())


def test_a_dicom_folder(eager, tmp_path):
    hu, _ = chest_phantom(SHAPE, 5)
    write_dicom(tmp_path / "P1", hu)
    assert predict(tmp_path / "P1", tmp_path / "out", eager) == 0
    assert open_volume(tmp_path / "out" / "P1.nii.gz").shape == SHAPE
    assert "not a diagnosis" in (tmp_path / "out" / "P1.html").read_text()


def test_a_cohort_of_dicom_patients(eager, tmp_path, capfd):
    hu, _ = chest_phantom(SHAPE, 5)
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    write_dicom(cohort / "a" / "soft", hu, uid="1.1", PatientID="A", ConvolutionKernel="B30f", SeriesNumber=2)
    write_dicom(cohort / "a" / "lung", hu, uid="1.2", PatientID="A", ConvolutionKernel="B70f", SeriesNumber=3)
    write_dicom(cohort / "b", hu, uid="1.3", PatientID="B", tilt=(-1.25, 0))
    write_dicom(cohort / "c", hu, uid="1.4", PatientID="C")[4].unlink()
    assert predict(cohort, out, eager) == 1
    printed = capfd.readouterr()
    assert "A: series 3 (B70f, 10 slices of 5 mm): the thinnest CT with a lung kernel" in printed.err
    assert "B: the gantry was tilted by 14.0 degrees" in printed.err
    assert "1 slice of 5 mm missing between slice 4 (003.dcm, 15.00 mm)" in printed.out
    assert "arning" not in printed.out + printed.err
    for case in "AB":
        labels = open_volume(out / f"{case}.nii.gz")
        assert labels.shape == SHAPE  # the slices as they were acquired
        assert labels.read().any()
    assert not (out / "C.nii.gz").exists()
    assert predict(cohort / "a", tmp_path / "soft", eager, "--series", "2", "--devices", "2") == 0
    assert "A: series 2 (B30f, 10 slices of 5 mm): --series 2" in capfd.readouterr().err
    assert predict(cohort / "b", tmp_path / "none", eager, "--series", "7") == 1
    assert "no series fits --series 7; there are series 1" in capfd.readouterr().out


def test_dicom_segmentations_of_a_cohort(eager, tmp_path, capsys):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom", reason="DICOM objects are written by highdicom: pip install planewise[dicom]")
    hu, _ = chest_phantom(SHAPE, 5)
    write_dicom(tmp_path / "in" / "a", hu, uid="1.1", PatientID="A", FrameOfReferenceUID="1.9", tilt=(-1.25, 0))
    write_dicom(tmp_path / "in" / "b", hu, uid="1.2", PatientID="B", FrameOfReferenceUID="1.9", orientation=CORONAL)
    write_dicom(tmp_path / "in" / "c", hu, uid="1.3", PatientID="C")  # has no frame of reference
    assert predict(tmp_path / "in", tmp_path / "out", eager, "--format", "dicom-seg") == 1
    message = capsys.readouterr()
    assert "has no FrameOfReferenceUID" in " ".join(message.out.split())
    assert not (tmp_path / "out" / "C.html").exists()  # which is written before the labels: nothing was predicted
    assert not (tmp_path / "out" / "C.seg.dcm").exists()
    back = open_volume(tmp_path / "out" / "A.seg.dcm")
    assert back.shape == SHAPE
    assert back.tilt == pytest.approx((-1.25, 0))
    assert back.read().any()
    assert back.labels.names == {1: "ground_glass", 2: "reticulation", 3: "honeycombing", 4: "consolidation"}
    (segment, *_) = pydicom.dcmread(tmp_path / "out" / "A.seg.dcm").SegmentSequence
    (made_by,) = segment.SegmentationAlgorithmIdentificationSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert made_by.AlgorithmName == "planewise ild predict"
    assert "eager.pth" in str(made_by.AlgorithmParameters)
    image = tmp_path / "ct_0000.nii.gz"
    write_ct(image, hu)
    assert predict(image, tmp_path / "none", eager, "--format", "dicom-seg") == 2
    assert "needs a DICOM series" in capsys.readouterr().err


def test_a_patient_with_a_class_that_was_never_seen_is_scored_as_missed(job, tmp_path):
    hu, labels = chest_phantom(SHAPE, 5, (1,))
    truth = np.where(labels == 1, 4, 0).astype(np.uint8)
    write_ct(tmp_path / "in" / "a_0000.nii.gz", hu)
    write_labels(tmp_path / "truth" / "a.nii.gz", Volume(truth, CHEST_SPACING_MM, "mm"))
    shutil.copy(job / "data" / "dataset.json", tmp_path)
    model = job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"
    assert predict(tmp_path / "in", tmp_path / "out", model) == 0
    assert run(["ild", "evaluate", str(tmp_path / "out"), str(tmp_path / "truth")]) == 0
    rows = {row["name"]: row for row in table(tmp_path / "out" / "evaluation" / RESULTS)}
    assert float(rows["consolidation"]["dsc"]) == 0
    assert float(rows["consolidation"]["slice_sensitivity"]) == 0


def test_another_window_than_that_of_the_training_is_told(job, eager, tmp_path, capsys):
    image = job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz"
    assert predict(image, tmp_path / "a", eager) == 0
    assert "was trained in the window" not in " ".join(capsys.readouterr().err.split())
    assert predict(image, tmp_path / "b", eager, "--window", "soft-tissue") == 0
    assert "was trained with the window -600/1500, but is used with 40/400" in " ".join(capsys.readouterr().err.split())


def test_no_disease_is_an_answer(job, eager, tmp_path):
    content = torch.load(eager, weights_only=True)
    content["model"]["sam2_model.sam_mask_decoder.pred_obj_score_head.layers.2.bias"] -= 200
    torch.save(content, tmp_path / "shy.pth")
    image = job / "data" / "imagesTs" / "CT_phantomhealthy_0000.nii.gz"
    assert predict(image, tmp_path / "out", tmp_path / "shy.pth") == 0
    assert not read_labels(tmp_path / "out" / "CT_phantomhealthy.nii.gz").read().any()
    assert "Nothing was segmented" in (tmp_path / "out" / "CT_phantomhealthy.html").read_text()


def test_what_is_no_chest_is_a_row_and_the_others_are_done(job, eager, tmp_path, capsys):
    hu, labels = chest_phantom(SHAPE, 5)
    write_ct(tmp_path / "in" / "labels_0000.nii.gz", labels.astype(np.uint8))
    abdomen = np.where(hu > -950, 40, hu)
    write_ct(tmp_path / "in" / "abdomen_0000.nii.gz", abdomen)
    write_ct(tmp_path / "in" / "units_0000.nii.gz", ((hu + 1024) // 16).astype(np.uint8))
    write_ct(tmp_path / "in" / "fine_0000.nii.gz", hu)
    write_ct(tmp_path / "in" / "slice_0000.nii.gz", hu[4:5], (5.0, 5.0, 5.0))
    (tmp_path / "in" / "torn_0000.nii.gz").write_bytes(b"\x1f\x8b torn")
    assert predict(tmp_path / "in", tmp_path / "out", eager) == 1
    printed = capsys.readouterr()
    doubted = [line for line in printed.err.splitlines() if "looks like labels, not like an image" in line]
    assert len(doubted) == 1
    assert "labels_0000.nii.gz" in doubted[0]
    out = "".join(printed.out.split())
    assert "nolungswerefound" in out
    assert "whichisnotHU" in out
    assert "4problems" in out
    done = {path.name for path in (tmp_path / "out").glob("*.nii.gz")}
    assert done == {"fine.nii.gz", "slice.nii.gz"}
    assert open_volume(tmp_path / "out" / "slice.nii.gz").shape == (1, *SHAPE[1:])


def test_a_volume_that_is_stored_upside_down_gives_the_same(eager, tmp_path):
    hu, _ = chest_phantom(SHAPE, 5)
    write_ct(tmp_path / "up_0000.nii.gz", hu)
    down = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    write_ct(tmp_path / "down_0000.nii.gz", hu[::-1], direction=down)
    for name in ("up", "down"):
        assert predict(tmp_path / f"{name}_0000.nii.gz", tmp_path / "out", eager) == 0
    up, turned = (read_labels(tmp_path / "out" / f"{name}.nii.gz").read() for name in ("up", "down"))
    assert up.any()
    assert np.array_equal(up, turned[::-1])
    pages = [(tmp_path / "out" / f"{name}.html").read_text() for name in ("up", "down")]
    assert pages[0].replace("up", "") == pages[1].replace("down", "").replace("up", "")


@pytest.mark.slow
def test_a_thousand_slices(job, eager, tmp_path):
    hu, _ = chest_phantom((40, 48, 48), 5)
    write_ct(tmp_path / "long_0000.nii.gz", np.repeat(hu, 25, axis=0), (0.3, 6.0, 6.0))
    assert predict(tmp_path / "long_0000.nii.gz", tmp_path / "out", eager) == 0
    volume = read_labels(tmp_path / "out" / "long.nii.gz").read()
    assert volume.shape == (1000, 48, 48)
    assert volume.any()


def test_lungs_of_another_tool_are_taken(eager, tmp_path):
    hu, _ = chest_phantom(SHAPE, 5)
    write_ct(tmp_path / "a_0000.nii.gz", hu)
    lungs = find_lungs(hu, CHEST_SPACING_MM)
    upper = lungs * np.uint8(9)
    upper[:5] = 0
    write_labels(tmp_path / "masks" / "a.nii.gz", Volume(upper, CHEST_SPACING_MM, "mm"))
    assert predict(tmp_path / "a_0000.nii.gz", tmp_path / "out", eager, "--lungs", str(tmp_path / "masks")) == 0
    rows = table(tmp_path / "out" / "a_presence.csv")
    asked = {int(row["slice"]) for row in rows if row["score"] != "-inf"}
    assert asked == set(np.flatnonzero(upper.any(axis=(1, 2))).tolist())


def test_a_model_of_drawn_boxes_is_refused_and_so_are_two_kinds_of_prompts_in_one_folder(job, eager, tmp_path, capsys):
    tests = job / "work" / "npz_test" / "CT_ILD"
    content = torch.load(eager, weights_only=True)
    del content["class_tokens"]
    torch.save(content, tmp_path / "drawn.pth")
    assert predict(tests, tmp_path / "out", tmp_path / "drawn.pth") == 2
    assert "--train_prompts" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert predict(tests, tmp_path / "out", eager) == 0
    assert predict(tests, tmp_path / "out", eager, "--prompts", "truth") == 2
    assert "--prompts auto -> truth (an oracle)" in capsys.readouterr().err
    assert predict(tests, tmp_path / "out", eager, "--prompts", "truth", "--overwrite") == 0


def test_a_damaged_table_of_presence_is_a_problem_and_the_masks_are_scored(job, tmp_path, capsys):
    segs = tmp_path / "segs"
    shutil.copytree(job / "work" / "segs" / "MedSAM2-Tiny-ILD_auto", segs)
    (segs / "CT_phantomtest_presence.csv").write_text("slice,class,score\n99,1,2\n")
    assert run(["ild", "evaluate", str(segs), str(job / "data" / "labelsTs")]) == 1
    assert "predict the case again" in " ".join(capsys.readouterr().out.split())
    assert all(row["dsc"] for row in table(segs / "evaluation" / RESULTS) if row["truth_ml"] != "0.000000")


@pytest.mark.slow
def test_patients_are_shared_by_the_workers_of_a_scheduler(job, eager, tmp_path, capsys, monkeypatch):
    from distributed import LocalCluster

    tests = tmp_path / "in"
    shutil.copytree(job / "work" / "npz_test" / "CT_ILD", tests)
    assert predict(tests, tmp_path / "here", eager) == 0
    (tests / "bad.npz").write_bytes(b"no archive")
    monkeypatch.chdir(tmp_path)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        assert predict("in", "there", eager, "--scheduler", cluster.scheduler_address) == 1
    assert "bad.npz" in "".join(capsys.readouterr().out.split())
    for name in ("CT_phantomtest", "CT_phantomhealthy"):
        a, b = (read_labels(tmp_path / where / f"{name}.nii.gz").read() for where in ("here", "there"))
        assert np.array_equal(a, b)
        assert (tmp_path / "there" / f"{name}.html").exists()


def test_what_a_worker_finishes_after_its_scheduler_died_is_not_of_somebody_else(job, eager, tmp_path, monkeypatch):
    late = []

    class Deaf(ThisProcess):
        size = 1

        def submit_loaded(self, work, *arguments):
            late.append(lambda: work(self._loaded, *arguments))
            return len(late)

        def result(self, submitted):
            raise SchedulerGone("the scheduler no longer answers")

    tests = job / "work" / "npz_test" / "CT_ILD"
    with monkeypatch.context() as patch:
        patch.setattr("planewise.apps.ild.predict.executor", lambda source, device, *_, **__: Deaf(source, device))
        assert predict(tests, tmp_path / "out", eager) == 1
    late[0]()
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1
    assert predict(tests, tmp_path / "out", eager) == 0
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2


def test_labels_are_written_as_what_viewers_open(job, eager, tmp_path, capsys):
    image = job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz"
    assert predict(image, tmp_path / "nifti", eager) == 0
    expected = read_labels(tmp_path / "nifti" / "CT_phantomtest.nii.gz")
    description = (tmp_path / "nifti" / "itksnap_labels.txt").read_text()
    assert '"reticulation"' in description
    assert predict(image, tmp_path / "nifti", eager, "--format", "seg.nrrd") == 2  # made differently
    capsys.readouterr()
    for ending in ("seg.nrrd", "ome.zarr"):
        assert predict(image, tmp_path / ending, eager, "--format", ending) == 0
        assert not (tmp_path / ending / "itksnap_labels.txt").exists()
        labels = open_volume(tmp_path / ending / f"CT_phantomtest.{ending}")
        assert np.array_equal(labels.read(), expected.voxels)
        assert labels.labels.names == {1: "ground_glass", 2: "reticulation", 3: "honeycombing", 4: "consolidation"}
        assert labels.labels.colours[2] == "#56B4E9"
    (tmp_path / "nifti" / "itksnap_labels.txt").write_text("of somebody else")
    assert predict(image, tmp_path / "nifti", eager) == 0
    assert (tmp_path / "nifti" / "itksnap_labels.txt").read_text() == "of somebody else"


def test_what_lies_away_from_the_lungs_is_cut_and_said(job, eager, tmp_path, capsys):
    hu, _ = chest_phantom(SHAPE, 5)
    write_ct(tmp_path / "a_0000.nii.gz", hu)
    lungs = find_lungs(hu, CHEST_SPACING_MM)
    small = np.zeros_like(lungs)
    small[5, 26:38, 10:20] = (lungs == 2)[5, 26:38, 10:20]  # a piece of one lung, whose box the masks go beyond
    assert small.any()
    write_labels(tmp_path / "masks" / "a.nii.gz", Volume(small, CHEST_SPACING_MM, "mm"))
    for kind in ("auto", "lungs"):
        out = tmp_path / kind
        more = ["--lungs", str(tmp_path / "masks"), "--prompts", kind]
        assert predict(tmp_path / "a_0000.nii.gz", out, eager, *more) == 0
        volume = read_labels(out / "a.nii.gz").read() > 0
        assert volume.any()
        assert not (volume & ~near_lungs(small, CHEST_SPACING_MM)).any()
        message = " ".join(capsys.readouterr().err.split())
        decided = json.loads((out / "planewise.json").read_text())["cases"]["a"]["decided"]
        assert decided["outside_the_lungs_ml"] > 0
        assert "more than 5 mm outside the lungs, and were removed" in message
        assert any("more than 5 mm outside" in warning for warning in decided["warnings"])
    assert "more than 5 mm outside the lungs" in (tmp_path / "auto" / "a.html").read_text()


def test_a_model_knows_its_training_and_what_is_far_from_it_is_said(job, eager, tmp_path, capsys):
    content = torch.load(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth", weights_only=True)
    hub = json.loads((job / "work" / "MedSAM2-Tiny-ILD" / "hub" / "planewise.json").read_text())
    assert content["seen"] == hub["seen"]
    assert content["seen"]["thickness_mm"] == [5.0, 5.0]
    assert "seen" not in torch.load(job / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_latest.pth", weights_only=True)
    curve = {"presence": {"slope": 0.02, "offset": -1.0}, "dice": {"slope": 0.0, "offset": 0.0}}
    content["reliability"] = {1: {**curve, "with_class": 9, "without": 9}}
    content["model"]["sam2_model.sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 100
    torch.save(content, tmp_path / "known.pth")
    hu, _ = chest_phantom(SHAPE, 5)
    write_ct(tmp_path / "usual_0000.nii.gz", hu)
    assert predict(tmp_path / "usual_0000.nii.gz", tmp_path / "usual", tmp_path / "known.pth") == 0
    assert "far from" not in capsys.readouterr().err
    rows = table(tmp_path / "usual" / "usual_presence.csv")
    asked = [row for row in rows if row["score"] != "-inf"]
    assert all(0.6 < float(row["probability"]) < 0.85 for row in asked if row["class"] == "1")  # 0.02 * 100 - 1, about
    assert {row["expected_dice"] for row in asked if row["class"] == "1"} == {"0.5000"}
    assert {row["probability"] for row in asked if row["class"] != "1"} == {""}
    noisy = hu + np.random.default_rng(0).normal(0, 150, hu.shape).round().astype(np.int16)
    lungs = Volume(find_lungs(hu, CHEST_SPACING_MM), (12.0, 2.5, 2.5), "mm")
    write_labels(tmp_path / "masks" / "far.nii.gz", lungs)
    write_ct(tmp_path / "far_0000.nii.gz", noisy, (12.0, 2.5, 2.5))
    more = ["--lungs", str(tmp_path / "masks")]
    assert predict(tmp_path / "far_0000.nii.gz", tmp_path / "far", tmp_path / "known.pth", *more) == 0
    message = " ".join(capsys.readouterr().err.split())
    assert "WARNING: far: is far from what the model was trained on" in message
    decided = json.loads((tmp_path / "far" / "planewise.json").read_text())["cases"]["far"]["decided"]
    assert decided["novelty"]["intensities"] > 1
    assert "slices are 12 mm apart, in the training 5 mm" in decided["warnings"][-1]
    assert "far from what the model was trained on" in (tmp_path / "far" / "far.html").read_text()
