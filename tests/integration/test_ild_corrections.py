"""Classes of a CT corrected with boxes and lines through SAM2, undone, and trained on, as a user runs it."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from dicom import write_dicom
from planewise.cli import run
from planewise.correction.actions import read_action
from planewise.correction.journal import JOURNAL, corrections_folder, live, read_journal
from planewise.correction.worklist import read_worklist
from planewise.data.manifest import MANIFEST
from planewise.data.phantom import CHEST_CLASSES, write_chest_dataset
from planewise.data.prepared import IGNORED, load_patient, read_patient, save_slices
from planewise.data.run import Run
from planewise.data.window import apply_window
from planewise.inference.drawn import Drawn, mask_of
from planewise.inference.encoder import Encoder
from planewise.models.sam2 import BoxSegmenter, ClassTokens, build_sam2, initialise
from planewise.models.sam2_files import Sam2Weights, load_sam2, save_published
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import list_series
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import read_labels, write_labels

SHAPE = (10, 64, 64)
CASES = ("CT_phantom1", "CT_phantom2")  # the file of the second runs backwards along y and x
WINDOW = (-600.0, 1500.0)
TRAIN = ["--epochs", "1", "--batch_size", "4", "--num_workers", "0", "--device", "cpu", "--precision", "32"]


@pytest.fixture
def result(tmp_path):
    """What a model could have predicted of two phantoms: their truth. It says of every class that it is there."""
    write_chest_dataset(tmp_path / "data", 0, SHAPE, train_cases=2)
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    network.mask_decoder.pred_obj_score_head.proj_out.bias.data += 100
    names = {value: name for name, value in CHEST_CLASSES.items()}
    save_published(
        tmp_path / "model.pth", Sam2Weights(network, "mini", tokens=ClassTokens(names, 64), window=WINDOW), 0
    )
    folder = tmp_path / "result"
    made = Run.begin(
        folder / MANIFEST, "ild predict", {"window": WINDOW, "bbox_shift": 2}, tmp_path / "model.pth", CASES, False
    )
    for case in CASES:
        image = tmp_path / "data" / "imagesTr" / f"{case}_0000.nii.gz"
        with made.making(case, [image], [folder / f"{case}.nii.gz"]):
            write_labels(folder / f"{case}.nii.gz", read_labels(tmp_path / "data" / "labelsTr" / f"{case}.nii.gz"))
    return folder


def correct(result, *rows):
    path = result.parent / "actions.csv"
    path.write_text("case,action,arguments\n" + "".join(f"{row}\n" for row in rows))
    return run(["correct", str(result), "--actions", str(path)])


def canonical(path):
    return to_canonical(open_volume(path)).read()


@pytest.mark.parametrize("case", CASES)
def test_a_box_goes_through_sam2_and_lies_where_it_was_drawn(result, case, capsys):
    path = result / f"{case}.nii.gz"
    before, bytes_before = canonical(path), path.read_bytes()
    z, y, x = (4, 5), (20, 36), (14, 30)  # canonical
    stored = (z, y, x) if case == CASES[0] else (z, (64 - 36, 64 - 20), (64 - 30, 64 - 14))
    at = (4, 28, 22) if case == CASES[0] else (4, 63 - 28, 63 - 22)
    box = " ".join(f"{a} {b}" for a, b in stored)
    assert correct(result, f"{case},segment,2 box {box} in {' '.join(map(str, at))}") == 0
    weights = load_sam2(result.parent / "model.pth", None)
    image = canonical(result.parent / "data" / "imagesTr" / f"{case}_0000.nii.gz")
    windowed = np.clip((image - (WINDOW[0] - WINDOW[1] / 2)) / WINDOW[1], 0, 1)
    encoder = Encoder(BoxSegmenter(weights.network, weights.tokens).frozen(), (windowed * 255).astype(np.uint8))
    mask = mask_of(encoder, Drawn(4, 2, (14.0, 20.0, 30.0, 36.0), inside=((22.5, 28.5),)), 2.0)
    expected = before.copy()
    expected[4][mask] = 2
    assert mask.any()
    assert (canonical(path) != expected).mean() < 0.001  # but for a grey value that was rounded otherwise
    [entry] = live(read_journal(corrections_folder(path) / JOURNAL)[1])
    action = read_action(entry.arguments)
    assert action.drawn.box == stored
    assert action.model.startswith("model.pth (sha256 ")
    (result.parent / "model.pth").unlink()  # which replay has no need of
    assert run(["correct", str(path), "--replay"]) == 0
    assert (canonical(path) != before).any()
    assert run(["correct", str(path), "--undo", "1"]) == 0
    assert path.read_bytes() == bytes_before
    capsys.readouterr()


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ("1 box 4 6 20 36 14 30", "does not lie in one slice; slices are along the file's axis z"),
        ("1 line 4 20 20 5 20 20", "does not lie in one slice"),
        ("1 box 4 5 20 36 14 65", "lies beyond the volume, whose shape (z, y, x) is"),
    ],
)
def test_what_cannot_be_segmented_is_said(result, drawn, message, capsys):
    before = (result / "CT_phantom1.nii.gz").read_bytes()
    assert correct(result, f"CT_phantom1,segment,{drawn}") == 1
    printed = capsys.readouterr()
    assert message in " ".join((printed.out + printed.err).split())
    assert (result / "CT_phantom1.nii.gz").read_bytes() == before


def test_without_a_manifest_the_model_is_given(result, capsys):
    (result / MANIFEST).unlink()
    assert correct(result, "CT_phantom1,segment,1 box 4 5 20 36 14 30") == 1
    printed = capsys.readouterr()
    assert "no planewise.json that says which model made it; give --model" in " ".join(
        (printed.out + printed.err).split()
    )


def test_what_was_confirmed_is_trained_on_alone(result, capsys):
    truth = canonical(result / "CT_phantom1.nii.gz")
    slices = np.flatnonzero((truth > 0).any(axis=(1, 2))).tolist()
    rows = [f"CT_phantom1,confirm,box {z} {z + 1} 0 64 0 64" for z in (*slices[:3], slices[-1])]
    assert correct(result, *rows) == 0
    work = result.parent / "round1"
    capsys.readouterr()
    assert run(["ild", "train", str(work), "--corrections", str(result), *TRAIN]) == 0
    message = capsys.readouterr().err
    assert f"The training starts from {result.parent / 'model.pth'}" in message
    assert "The model segments classes without boxes too" in message
    assert "classes 1, 2, 3 are known, and 40.0% of the voxels" in message
    assert "no record of what" not in message
    assert "On the held-out part" in message
    train, valid = (sorted((work / "npy" / part / "gts").glob("*.npy")) for part in ("train", "valid"))
    assert (len(train), len(valid)) == (3, 1)
    assert not any((np.load(path) == IGNORED).any() for path in (*train, *valid))
    assert json.loads((work / "dataset.json").read_text())["labels"] == {"background": 0, **CHEST_CLASSES}
    folder = work / "MedSAM2-Tiny-ILD"
    assert load_sam2(folder / "medsam_model_best.pth", None).window == WINDOW
    items = read_worklist(folder / "worklist.csv")
    assert items
    assert not {item.place[0] for item in items} & {*slices[:3], slices[-1]}
    assert f"planewise correct {result} --worklist" in message
    assert run(["correct", str(result), "--worklist", str(folder / "worklist.csv"), "--replay"]) == 0
    with (folder / "worklist.csv").open(newline="") as file:
        pixels = [int(row["what"].split()[-2]) for row in csv.DictReader(file)]
    assert pixels == sorted(pixels, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize(("score", "gained"), [(0.2, True), (0.9, False)])
def test_where_to_go_on_is_said_by_the_model_that_is_kept(result, monkeypatch, capsys, score, gained):
    """Where nothing was gained it is the one before; a training that was stopped after its end says the same."""
    monkeypatch.setattr("planewise.apps.ild.train.score_before", lambda *_: {"score": score, "loss": 1.0})
    monkeypatch.setattr("planewise.training.boxes.BoxTask.validate", lambda *_: {"score": 0.5, "loss": 1.0})
    assert correct(result, "CT_phantom1,confirm,box 4 6 0 64 0 64") == 0
    work = result.parent / "round1"
    folder = work / "MedSAM2-Tiny-ILD"
    kept = folder / "medsam_model_best.pth" if gained else result.parent / "model.pth"
    capsys.readouterr()
    for more in ((), ("--resume",)):
        assert run(["ild", "train", str(work), "--corrections", str(result), *TRAIN, *more]) == 0
        message = capsys.readouterr().err
        assert (f"no gain: keep the previous model, {kept}, and correct more" in message) is not gained
        assert json.loads((folder / "predicted" / MANIFEST).read_text())["model"] == str(kept)
        assert f", by {kept}: planewise correct {result} --worklist" in message
        assert ("CT_phantom1: done already, by the same model" in message) is bool(more)  # not predicted again
    assert "holds what was known when this training began" in message
    again = ["ild", "train", str(work), *TRAIN, "--resume", "--corrections"]
    assert run([*again, str(result), "--margin_mm", "7"]) == 2
    assert "--margin_mm 7: the resumed training began with 20 (" in capsys.readouterr().err
    shutil.copytree(result, result.parent / "other")
    assert run([*again, str(result.parent / "other")]) == 2
    refused = f"began with those of {result / 'CT_phantom1.nii.gz'} ({work / 'corrections.json'}); give that result"
    assert refused in capsys.readouterr().err
    again = ["--corrections", str(result), "--base", str(folder / "medsam_model_best.pth"), "--overwrite", *TRAIN]
    assert run(["ild", "train", str(work), *again]) == 2
    assert (
        "which it starts from and is compared with; give another name, or another work_dir" in capsys.readouterr().err
    )
    assert run(["ild", "train", str(work), "--base", str(result.parent / "model.pth"), "--task_name", "B", *TRAIN]) == 0
    message = capsys.readouterr().err
    assert f"was made from the corrections of {result / 'CT_phantom1.nii.gz'}" in message
    assert "no record of what" not in message


def test_a_class_that_the_model_has_not_is_said(result, capsys):
    assert correct(result, "CT_phantom2,paint,9 box 4 6 10 20 10 20") == 0
    work = result.parent / "round1"
    capsys.readouterr()
    assert run(["ild", "train", str(work), "--corrections", str(result), *TRAIN]) == 0
    message = capsys.readouterr().err
    assert (
        "WARNING: class 9: the model has only 1 ground_glass, 2 reticulation, 3 honeycombing; it is learned" in message
    )
    assert "CT_phantom2: class 9 is known" in message
    names = load_sam2(work / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth", None).tokens.names
    assert names == {1: "ground_glass", 2: "reticulation", 3: "honeycombing", 9: "class 9"}


def test_what_nobody_looked_at_is_ignored(result, capsys):
    assert correct(result, "CT_phantom2,paint,1 box 4 6 10 20 10 20") == 0
    work = result.parent / "round1"
    arguments = ["ild", "train", str(work), "--corrections", str(result), "--margin_mm", "5", *TRAIN]
    assert run(arguments) == 0
    [path] = sorted((work / "npy" / "train" / "gts").glob("*.npy"))
    labels = np.load(path)
    assert set(np.unique(labels)) == {0, 1, IGNORED}
    assert (labels == 1).sum() == 10 * 10 * (256 // 64) ** 2
    assert (labels == IGNORED).mean() > 0.9
    (work / "corrections.json").unlink()
    assert run([*arguments, "--overwrite"]) == 2
    assert "holds slices that were not made from corrections" in capsys.readouterr().err


def test_slices_that_were_not_all_made_are_not_trained_on(result, monkeypatch, capsys):
    assert correct(result, *(f"{case},confirm,box 3 7 0 64 0 64" for case in CASES)) == 0
    work, calls = result.parent / "round1", []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save_slices(*arguments)

    monkeypatch.setattr("planewise.apps.ild.corrections.save_slices", stop_at_the_third)
    arguments = ["ild", "train", str(work), *TRAIN]
    assert run([*arguments, "--corrections", str(result)]) == 130
    monkeypatch.undo()
    made = {path.name for path in (work / "npy" / "train" / "gts").iterdir()}
    assert made
    capsys.readouterr()
    assert run([*arguments, "--base", str(result.parent / "model.pth")]) == 2
    assert "an older version made the slices, or it was interrupted; give --corrections" in capsys.readouterr().err
    assert run([*arguments, "--corrections", str(result)]) == 0
    assert {path.name for path in (work / "npy" / "train" / "gts").iterdir()} > made


@pytest.fixture
def of_dicom(result, tmp_path):
    """The same result, of the first phantom, as if predicted from a DICOM series that lies beside another one."""
    hu = canonical(tmp_path / "data" / "imagesTr" / "CT_phantom1_0000.nii.gz")
    spacing = open_volume(result / "CT_phantom1.nii.gz").spacing
    files = write_dicom(tmp_path / "patients" / "P1", hu, spacing=spacing)
    write_dicom(tmp_path / "patients" / "P1" / "thick", hu[::2], uid="1.2.3.5", kernel="B30f")
    folder = tmp_path / "of_dicom"
    made = Run.begin(
        folder / MANIFEST, "ild predict", {"window": WINDOW, "bbox_shift": 2}, tmp_path / "model.pth", ["P1"], False
    )
    labels = to_canonical(read_labels(result / "CT_phantom1.nii.gz"), labels=True).read()
    series = list_series(tmp_path / "patients" / "P1")[0]
    patient, _ = read_patient("P1", series, None, *WINDOW)
    with made.making("P1", files, [folder / "P1.nii.gz"]):
        write_labels(folder / "P1.nii.gz", patient.restore(labels))
    return folder


def test_a_result_of_a_dicom_series_is_corrected_and_trained_on(of_dicom, tmp_path, capsys):
    stored = open_volume(of_dicom / "P1.nii.gz").read()
    shown = np.flatnonzero((stored > 0).any(axis=(1, 2))).tolist()
    rows = [f"P1,confirm,box {z} {z + 1} 0 64 0 64" for z in shown[:3]]
    assert correct(of_dicom, *rows, f"P1,segment,2 box {shown[3]} {shown[3] + 1} 20 36 14 30") == 0
    capsys.readouterr()
    assert run(["ild", "train", str(tmp_path / "round1"), "--corrections", str(of_dicom), *TRAIN]) == 0
    message = capsys.readouterr().err
    assert "On the held-out part" in message
    patient = load_patient(tmp_path / "round1" / "npz_corrected" / "P1.npz")
    hu = canonical(tmp_path / "data" / "imagesTr" / "CT_phantom1_0000.nii.gz")
    np.testing.assert_array_equal(patient.images, apply_window(hu, *WINDOW))
    np.testing.assert_array_equal(patient.labels, canonical(of_dicom / "P1.nii.gz"))
    assert read_worklist(tmp_path / "round1" / "MedSAM2-Tiny-ILD" / "worklist.csv")


def test_a_series_that_is_gone_is_given(of_dicom, tmp_path, capsys):
    assert correct(of_dicom, "P1,confirm,box 4 6 0 64 0 64") == 0
    (tmp_path / "patients" / "P1" / "thick").rename(tmp_path / "thick")
    (tmp_path / "patients" / "P1").rename(tmp_path / "moved")
    arguments = ["ild", "train", str(tmp_path / "round1"), "--corrections", str(of_dicom), *TRAIN]
    assert run(arguments) == 2
    assert "say with --image where it is now" in " ".join(capsys.readouterr().err.split())
    assert run([*arguments, "--image", str(tmp_path / "moved")]) == 0


def test_results_in_different_windows_are_refused(result, tmp_path, capsys):
    assert correct(result, "CT_phantom1,confirm,1", "CT_phantom2,confirm,1") == 0
    of_second = Run.begin(
        result / f"CT_phantom2.{MANIFEST}", "ild predict", {"window": (-500.0, 1500.0)}, tmp_path / "model.pth",
        ["CT_phantom2"], False,
    )  # fmt: skip
    labels = read_labels(result / "CT_phantom2.nii.gz")
    (result / "CT_phantom2.nii.gz").unlink()
    (result / "CT_phantom2.nii.gz.corrections").rename(result / "kept")
    image = tmp_path / "data" / "imagesTr" / "CT_phantom2_0000.nii.gz"
    with of_second.making("CT_phantom2", [image], [result / "CT_phantom2.nii.gz"]):
        write_labels(result / "CT_phantom2.nii.gz", labels)
    assert correct(result, "CT_phantom2,confirm,1") == 0
    assert run(["ild", "train", str(tmp_path / "round1"), "--corrections", str(result), *TRAIN]) == 2
    assert "CT_phantom1 in -600/1500; CT_phantom2 in -500/1500" in " ".join(capsys.readouterr().err.split())
