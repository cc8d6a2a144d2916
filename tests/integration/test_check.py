"""planewise check: what is there is said on one screen and as JSON, and what is wrong ends with exit code 1."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dicom import write_dicom
from planewise.apps.mito.train_options import MitoTrain
from planewise.apps.mito.training_plan import plan_training
from planewise.cli import run
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, write_manifest
from planewise.data.phantom import em_phantom, write_chest_dataset, write_phantom_dataset
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from untrained import write_untrained


def check(*arguments, tmp_path):
    """Return the exit code and what was written as JSON."""
    code = run(["check", *map(str, arguments), "--json_file", str(tmp_path / "check.json")])
    return code, json.loads((tmp_path / "check.json").read_text())


@pytest.fixture(scope="module")
def em(tmp_path_factory):
    folder = tmp_path_factory.mktemp("em") / "Dataset001_Phantom"
    write_phantom_dataset(folder, 0, (32, 64, 72), (24, 40, 56), 2, bodies=8)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    seen = {"low": 0.25, "high": 0.8, "polarity": "dark"}
    norms = {"mean": 0.57, "std": 0.13}
    return write_untrained(folder, norms=norms, intensities=seen, planes=("xy",))


def test_the_demos_dataset_is_in_order(em, model, tmp_path, capsys):
    code, (content,) = check(em, "--model", model, tmp_path=tmp_path)
    assert code == 0, content["problems"]
    assert [(case["case"], case["part"], case["shape"]) for case in content["cases"]] == [
        ("phantom_train1", "Tr", [32, 64, 72]),
        ("phantom_train2", "Tr", [32, 64, 72]),
        ("phantom_test1", "Ts", [24, 40, 56]),
    ]
    first = content["cases"][0]
    truth = tifffile.imread(em / "instancesTr" / "phantom_train1.tiff")
    assert first["classes"]["objects"]["objects"] == truth.max()
    assert first["classes"]["objects"]["voxels"] == (truth > 0).sum()
    assert (first["spacing"], first["unit"], first["planes"]) == ([8, 8, 8], "nm", ["xy", "xz", "yz"])
    output = capsys.readouterr()
    assert "fine structures" in output.out
    assert "planes xy (spacing 8 x 8 x 8 nm; the model was trained in xy)" in output.err
    assert "on this CPU" in output.err


def test_a_chest_dataset_says_patients_and_split(tmp_path, capsys):
    write_chest_dataset(tmp_path / "chest", 0, (12, 48, 48), 3)
    code, (content,) = check(tmp_path / "chest", tmp_path=tmp_path)
    assert code == 0, content["problems"]
    assert "patients, as planewise ild prepare splits them: train" in capsys.readouterr().err
    assert content["cases"][0]["classes"]["honeycombing"]["voxels"] > 0
    assert content["cases"][0]["patient"] == "CT_phantom1"


def test_what_is_wrong_is_found(em, model, tmp_path, capsys):
    """What nnU-Net's own check finds, and what it does not."""
    folder = tmp_path / "Dataset002_Wrong"
    shutil.copytree(em, folder)
    shutil.rmtree(folder / "instancesTr")
    meta = json.loads((folder / "dataset.json").read_text())
    meta |= {"numTraining": 3, "labels": {"background": 0, "mito": 1, "er": 3}}
    (folder / "dataset.json").write_text(json.dumps(meta))
    labels = tifffile.imread(folder / "labelsTr" / "phantom_train1.tiff")
    labels[0, 0, 0] = 7
    tifffile.imwrite(folder / "labelsTr" / "phantom_train1.tiff", labels, photometric="minisblack")
    (folder / "labelsTr" / "phantom_train2.json").unlink()
    rng = np.random.default_rng(0)
    folds = ndimage.gaussian_filter(rng.standard_normal((24, 160, 160)), (4, 9, 9))
    bright = np.where(np.abs(folds) < 0.08 * folds.std(), 195.0, 95.0) + rng.normal(0, 12, folds.shape)
    tifffile.imwrite(
        folder / "imagesTs" / "bright_0000.tiff",
        np.clip(ndimage.gaussian_filter(bright, 0.7), 0, 255).astype(np.uint8),
        photometric="minisblack",
    )
    test = tifffile.imread(folder / "imagesTr" / "phantom_train1_0000.tiff")[3:27, 5:45, 7:63]
    tifffile.imwrite(folder / "imagesTs" / "phantom_test1_0000.tiff", test, photometric="minisblack")
    code, (content,) = check(folder, "--model", model, tmp_path=tmp_path)
    assert code == 1
    printed = " | ".join(f"{problem['where']}: {problem['what']}" for problem in content["problems"])
    for words in (
        "phantom_train1.tiff: holds 7 (1 voxel), which no label of dataset.json names; those are mito (1), er (3)",
        "this truth belongs in instancesTr",
        "its contrast is inverted",
        "no training case has er: it cannot be learned",
        "a leak",
    ):
        assert words in printed
    of_nnunet = " | ".join(note for note in content["notes"] if note.startswith("nnU-Net would refuse it: "))
    for words in (
        "numTraining is 3; imagesTr holds 2 cases",
        "labels are 1, 3; nnU-Net wants 1, 2, ... without a gap, and ignore to be the next after them",
    ):
        assert words in of_nnunet
        assert words not in printed
    assert content["leaks"][0]["share"] > 0.9
    assert "phantom_train2.json" not in printed
    (note,) = [n for n in content["notes"] if "nnU-Net would take a spacing of 1 x 1 x 1 for 1 of 4 TIFFs" in n]
    assert str(folder / "labelsTr" / "phantom_train2.json") in note
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_advised_of_a_value_without_a_name_is_no_error_once_it_is_done(em, tmp_path):
    folder = tmp_path / "Dataset004_Unnamed"
    shutil.copytree(em, folder)
    shutil.rmtree(folder / "instancesTr")
    path = folder / "labelsTr" / "phantom_train1.tiff"
    labels = tifffile.imread(path)
    labels[0] = 255
    tifffile.imwrite(path, labels, photometric="minisblack")
    code, (content,) = check(folder, tmp_path=tmp_path)
    assert code == 1
    (problem,) = content["problems"]
    assert problem["where"] == str(path)
    assert 'whatever is unlabelled is named "ignore": 255 under labels (nnU-Net takes 2 alone' in problem["what"]
    meta = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(meta | {"labels": meta["labels"] | {"ignore": 255}}))
    code, (content,) = check(folder, tmp_path=tmp_path)
    assert (code, content["problems"]) == (0, [])
    (note,) = [note for note in content["notes"] if note.startswith("nnU-Net would refuse it: ")]
    assert "labels are 1, and ignore 255; nnU-Net wants 1, 2, ... without a gap, and ignore to be the next" in note
    labels[0] = 2  # what nnU-Net takes
    tifffile.imwrite(path, labels, photometric="minisblack")
    (folder / "dataset.json").write_text(json.dumps(meta | {"labels": meta["labels"] | {"ignore": 2}}))
    code, (content,) = check(folder, tmp_path=tmp_path)
    assert (code, [note for note in content["notes"] if "nnU-Net would refuse" in note]) == (0, [])


def test_a_mask_given_as_instances_is_said(em, tmp_path):
    folder = tmp_path / "Dataset003_Mask"
    shutil.copytree(em, folder)
    path = folder / "instancesTr" / "phantom_train1.tiff"
    tifffile.imwrite(path, (tifffile.imread(path) > 0).astype(np.uint8), photometric="minisblack")
    code, (found,) = check(folder, tmp_path=tmp_path)
    assert code == 0, found["problems"]
    (note,) = [note for note in found["notes"] if "separate pieces" in note]
    assert note.startswith(f"WARNING: {path} has one id for ")


def test_a_mark_of_what_is_not_labelled_among_objects_is_said(em, tmp_path):
    """And once it is marked as is advised, nothing is left to say; if its name is forgotten, that is."""
    folder = tmp_path / "Dataset003_Mark"
    shutil.copytree(em, folder)
    path, beside = (folder / kind / "phantom_train1.tiff" for kind in ("instancesTr", "labelsTr"))
    ids, labels = tifffile.imread(path), tifffile.imread(beside)
    ids[-8:] = 255
    tifffile.imwrite(path, ids, photometric="minisblack")
    code, (found,) = check(folder, tmp_path=tmp_path)
    assert (code, found["problems"]) == (0, [])
    (note,) = [note for note in found["notes"] if "255" in note]
    assert note.startswith(f"WARNING: {path}: value 255, the highest of its type, holds ")
    assert (
        'have the ignore label, "ignore": 2 under labels in dataset.json, in the file of that name in labelsTr' in note
    )
    ids[-8:], labels[-8:] = 0, 2
    tifffile.imwrite(path, ids, photometric="minisblack")
    tifffile.imwrite(beside, labels, photometric="minisblack")
    code, (found,) = check(folder, tmp_path=tmp_path)
    assert code == 0
    (note,) = [note for note in found["notes"] if note.startswith("WARNING")]
    assert note.startswith(f"WARNING: {beside}: holds 2 (")
    meta = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(meta | {"labels": meta["labels"] | {"ignore": 2}}))
    code, (found,) = check(folder, tmp_path=tmp_path)
    assert (code, [note for note in found["notes"] if note.startswith("WARNING")]) == (0, [])
    labels[0] = 7
    tifffile.imwrite(beside, labels, photometric="minisblack")
    code, (found,) = check(folder, tmp_path=tmp_path)
    assert (code, [problem["where"] for problem in found["problems"]]) == (1, [str(beside)])


def test_an_empty_folder_and_an_empty_imagests(em, tmp_path):
    (tmp_path / "empty").mkdir()
    code, (content,) = check(tmp_path / "empty", tmp_path=tmp_path)
    assert (code, content["problems"][0]["what"][:47]) == (1, "holds no dataset, volume, image or DICOM series")
    folder = tmp_path / "Dataset003"
    shutil.copytree(em, folder)
    shutil.rmtree(folder / "imagesTs")
    (folder / "imagesTs").mkdir()
    code, (content,) = check(folder, tmp_path=tmp_path)
    assert code == 0
    assert len(content["cases"]) == 2


def test_truth_without_images_is_no_dataset_to_train_on(em, tmp_path):
    folder = tmp_path / "Dataset003_NoImages"
    shutil.copytree(em, folder)
    shutil.rmtree(folder / "imagesTr")
    code, (content,) = check(folder, tmp_path=tmp_path)
    assert code == 1
    assert "imagesTr: no such folder" in json.dumps(content["problems"])


def test_volumes_dicom_and_nothing(tmp_path, capsys):
    (tmp_path / "volumes").mkdir()
    image, _ = em_phantom((16, 40, 48), 3, 0)
    tifffile.imwrite(tmp_path / "volumes" / "cell.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "volumes" / "mask.tif", image > 100, photometric="minisblack")
    voxels = np.arange(6 * 10 * 12).reshape(6, 10, 12).astype(np.int16)
    write_dicom(tmp_path / "ct" / "good", voxels)
    files = write_dicom(tmp_path / "ct" / "gap", voxels, uid="1.9", SeriesNumber=2)
    files[2].unlink()
    code, content = check(tmp_path / "volumes", tmp_path / "ct", tmp_path / "nowhere", tmp_path=tmp_path)
    assert code == 1
    assert [entry["kind"] for entry in content] == ["volumes", "DICOM folder", "unusable"]
    printed = [problem["what"] for entry in content for problem in entry["problems"]]
    assert any("holds two values" in what for what in printed)
    assert any("missing" in what for what in printed)
    assert "no such file or folder" in printed
    assert "2 DICOM series" in " ".join(capsys.readouterr().out.split())


def test_a_folder_of_results_is_said_once(tmp_path, capsys):
    labels = np.zeros((4, 32, 32), np.uint8)
    labels[:, 4:20, 4:20] = 1
    made = {}
    for name in ("a.tiff", "b.tiff"):
        write_labels(tmp_path / name, Volume(labels))
        made[name] = fingerprint(tmp_path / name)
    record = CaseRecord({"/images/a_0000.tiff": "1 a"}, made)
    manifest = Manifest(MadeFrom({"command": "mito predict"}, {}), "/models/M.pth", {"a": record})
    write_manifest(tmp_path / MANIFEST, manifest)
    assert run(["check", str(tmp_path)]) == 1
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "1 problem " in shown
    assert "holds only results of planewise mito predict, made with /models/M.pth" in shown


def test_voxels_smaller_than_atoms_are_a_problem(tmp_path):
    """Of a sidecar in micrometres that says no unit: nanometres are taken."""
    voxels = np.random.default_rng(0).integers(0, 255, (4, 40, 40), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", voxels, photometric="minisblack")
    (tmp_path / "a.json").write_text('{"spacing": [0.03, 0.005, 0.005]}')
    code, (found,) = check(tmp_path / "a.tif", tmp_path=tmp_path)
    assert code == 1
    assert "are 0.03 x 0.005 x 0.005 nm, smaller than atoms" in found["problems"][0]["what"]


def test_em_whose_nanometres_were_stored_as_millimetres_is_said(em, tmp_path):
    """A problem where dataset.json says that it is EM, and a note where it does not say what the images are."""
    what = "its voxels (z, y, x) are 8 x 8 x 8 mm, far too large for EM: is the unit wrong?"
    for kind in ("images", "instances"):
        volume = open_volume(next((em / f"{kind}Tr").glob("*1*.tiff"))).read()
        name = "a_0000" if kind == "images" else "a"
        write_volume(tmp_path / "D" / f"{kind}Tr" / f"{name}.nii.gz", Volume(volume, (8.0, 8.0, 8.0), "mm"))
    path = tmp_path / "D" / "imagesTr" / "a_0000.nii.gz"
    said = {
        "ssTEM": [str(path)],
        "MRI": [],
        "T2": [],
        "image": [f"{path.name}: if it is EM"],
        "0": [f"{path.name}: if it is EM"],
        "": [f"{path.name}: if it is EM"],
        None: [f"{path.name}: if it is EM"],
    }
    for channel, expected in said.items():
        meta = {"channel_names": {"0": channel}, "labels": {"background": 0, "mito": 1}, "file_ending": ".nii.gz"}
        if channel is None:
            del meta["channel_names"]
        (tmp_path / "D" / "dataset.json").write_text(json.dumps(meta | {"numTraining": 1}))
        _, (found,) = check(tmp_path / "D", tmp_path=tmp_path)
        problems = [problem["where"] for problem in found["problems"] if problem["what"].startswith(what)]
        notes = [note.split(f", {what}")[0] for note in found["notes"] if what in note]
        assert problems + notes == expected, channel
    code, (found,) = check(path, tmp_path=tmp_path)
    assert code == 0
    for doubt in ("if it is a CT, its values", f"if it is EM, {what}"):
        assert any(note.startswith(f"{path.name}: {doubt}") for note in found["notes"])


def test_a_ct_that_is_not_in_hu_is_said(tmp_path):
    write_chest_dataset(tmp_path / "chest", 0, (12, 48, 48), 1)
    path = next((tmp_path / "chest" / "imagesTr").glob("*.nii.gz"))
    volume = open_volume(path)
    write_volume(path, volume.with_voxels((volume.read() + 1024).astype(np.uint16)))
    code, (found,) = check(tmp_path / "chest", tmp_path=tmp_path)
    assert code == 1
    (problem,) = [problem for problem in found["problems"] if "are not HU" in problem["what"]]
    assert problem["where"] == str(path)
    code, (found,) = check(path, tmp_path=tmp_path)
    assert code == 0
    assert any(note.startswith(f"{path.name}: if it is a CT, its values, 0 to ") for note in found["notes"])


def test_a_truth_that_is_a_prediction_nobody_reviewed_is_warned_of(em, model, tmp_path, capsys):
    """By check and by the training; one that was confirmed is a truth."""
    folder = tmp_path / "Dataset004_Predicted"
    shutil.copytree(em, folder)
    truths = folder / "instancesTr"
    names = ("phantom_train1.tiff", "phantom_train2.tiff")
    records = {name[:-5]: CaseRecord({"/images": "1"}, {name: fingerprint(truths / name)}) for name in names}
    write_manifest(truths / MANIFEST, Manifest(MadeFrom({"command": "mito predict"}, {}), "/models/M.pth", records))

    def warned(which):
        what = "predicted by planewise mito predict with /models/M.pth, according to the manifest, and nobody corrected"
        return f"WARNING: {truths}: {which}: {what} or confirmed it"

    code, (found,) = check(folder, tmp_path=tmp_path)
    assert (code, found["problems"]) == (0, [])
    assert [note for note in found["notes"] if note.startswith(warned(", ".join(names)))]
    plan_training(MitoTrain(dataset_path=folder, model_dir=tmp_path / "m", base_model=str(model), device="cpu"))
    assert warned(", ".join(names)) in capsys.readouterr().err
    table = tmp_path / "actions.csv"
    table.write_text("case,action,arguments,item\nphantom_train1,confirm,1,\n")
    assert run(["correct", str(truths), "--actions", str(table)]) == 0
    _, (found,) = check(folder, tmp_path=tmp_path)
    assert [note for note in found["notes"] if note.startswith(warned(names[1]))]
