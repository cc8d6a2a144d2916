"""Which files are which case, in every command as a user gives it: names, channels, sequences of slices, spaces."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from planewise.cli import run
from planewise.data.phantom import write_chest_dataset, write_phantom_dataset
from planewise.report import class_tables, tables
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume
from untrained import write_untrained

FLIPPED = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that was not trained: what it finds does not matter here."""
    folder = tmp_path_factory.mktemp("model")
    return write_untrained(folder)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (4, 32, 40)).astype(np.uint8)


def predict(model, source, output, *more):
    options = ["--axes", "xy", "--device", "cpu", "--precision", "32", "--min_size", "1", "--min_extent", "1"]
    files = ["--trained_model", str(model), "--input", str(source), "--output", str(output)]
    thresholds = ["--confidence_thr", "0.4", "--center_confidence_thr", "0.0005"]  # of a network that says nothing
    return run(["mito", "predict", *files, *options, *thresholds, *more])


def save(path, voxels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, voxels, **{"photometric": "minisblack"} | options)


def results(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def printed(capsys):
    """What was printed, without the places where a table folds its cells."""
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return "".join(captured.out.split()), captured.err


# ---- mito predict


def test_two_files_for_one_case_are_refused_and_the_others_predicted(model, image, tmp_path, capsys):
    for name in ("PAT_0001", "PAT_0002", "other"):
        write_volume(tmp_path / "in" / f"{name}.nii.gz", Volume(image, unit="mm"))
    for name in ("a", "a_xy"):
        save(tmp_path / "in" / f"{name}.tif", image)
    assert predict(model, tmp_path / "in", tmp_path / "out") == 1
    out, _ = printed(capsys)
    assert "PAT_0001.nii.gz,PAT_0002.nii.gz;_NNNN" in out
    assert "--channelN" in out
    assert "wouldbothbecalleda_xy" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "other.nii.gz",
        "other_xy.nii.gz",
        "other_objects.csv",
        "planewise.json",
    }
    assert predict(model, tmp_path / "in", tmp_path / "out", "--channel", "2", "--overwrite") == 1
    assert (tmp_path / "out" / "PAT.nii.gz").exists()


def test_an_image_that_looks_like_labels_is_said(model, image, tmp_path, capsys):
    save(tmp_path / "in" / "labels.tif", image % 8)
    save(tmp_path / "in" / "image.tif", image)
    assert predict(model, tmp_path / "in", tmp_path / "out") == 0
    said = capsys.readouterr().err
    doubt = "looks like labels, not like an image: it holds 8 whole numbers, 0 to 7; it is taken as an image all"
    assert said.count(f"WARNING: {tmp_path}/in/labels.tif: {doubt}") == said.count("looks like labels") == 1
    save(tmp_path / "few" / "labels.tif", image % 4)
    assert predict(model, tmp_path / "few", tmp_path / "out2") == 1
    assert "holds only 4 values, 0 to 3; the range of an image" in " ".join(capsys.readouterr().out.split())


def test_a_channel_of_a_file(model, image, tmp_path, capsys):
    colours = np.stack([np.zeros_like(image), image, np.zeros_like(image)], axis=-1)
    save(tmp_path / "c" / "v.tif", colours, photometric="rgb")
    save(tmp_path / "g" / "v.tif", image)
    assert predict(model, tmp_path / "c", tmp_path / "none") == 1
    assert "--channel" in printed(capsys)[0]
    assert predict(model, tmp_path / "c", tmp_path / "one", "--channel", "1") == 0
    assert predict(model, tmp_path / "g", tmp_path / "grey", "--channel", "0") == 0
    result, expected = (open_volume(tmp_path / name / "v.tiff").read() for name in ("one", "grey"))
    assert expected.max() > 0
    assert np.array_equal(result, expected)
    assert predict(model, tmp_path / "c", tmp_path / "none", "--channel", "3") == 1
    assert predict(model, tmp_path / "c" / "v.tif", tmp_path / "s.ome.zarr", "--channel", "1") == 0
    assert np.array_equal(open_volume(tmp_path / "s.ome.zarr").read(), expected)


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_an_image_sequence_is_one_volume(model, image, tmp_path, capsys, ending):
    import imagecodecs

    save(tmp_path / "stack" / "brain.tif", image)
    for z, plane in enumerate(image):
        path = tmp_path / "brain" / f"slice_{z:04d}.{ending}"
        save(path, plane)
        if ending == "png":
            path.write_bytes(imagecodecs.png_encode(plane))
    assert predict(model, tmp_path / "stack", tmp_path / "expected") == 0
    assert predict(model, tmp_path / "brain", tmp_path / "out") == 0
    assert "are the slices of one volume, case brain; --sequence no" in printed(capsys)[1]
    expected = open_volume(tmp_path / "expected" / "brain.tiff").read()
    assert expected.max() > 0
    assert np.array_equal(open_volume(tmp_path / "out" / "brain.tiff").read(), expected)
    assert predict(model, tmp_path / "brain", tmp_path / "s.ome.zarr") == 0
    assert np.array_equal(open_volume(tmp_path / "s.ome.zarr").read(), expected)


def test_a_sequence_that_may_be_volumes_is_refused_naming_the_option(model, image, tmp_path, capsys):
    for z in (0, 1):
        save(tmp_path / "in" / f"slice_{z:04d}.tif", image[z])
    assert predict(model, tmp_path / "in", tmp_path / "out") == 2
    assert "--sequence yes or --sequence no" in printed(capsys)[1]
    assert not (tmp_path / "out").exists()
    assert predict(model, tmp_path / "in", tmp_path / "out", "--sequence", "yes") == 0
    assert open_volume(tmp_path / "out" / "in.tiff").shape == (2, 32, 40)
    assert predict(model, tmp_path / "in", tmp_path / "none", "--sequence", "no") == 1


def test_a_missing_slice_is_named_and_no_option_pretends_to_mend_it(model, image, tmp_path, capsys):
    for z in (1, 2, 3, 5, 10):
        save(tmp_path / "in" / f"s{z}.tif", image[0])
    assert predict(model, tmp_path / "in", tmp_path / "out") == 2
    message = printed(capsys)[1]
    assert "number 4 is missing" in message
    assert "--sequence yes" not in message


def test_folders_of_pictures_beside_volumes_are_passed_over_and_said(model, image, tmp_path, capsys):
    save(tmp_path / "in" / "a.tif", image)
    for z in range(3):
        for name, ending in (("photos", "jpg"), ("rgb", "png")):
            (tmp_path / "in" / name).mkdir(exist_ok=True)
            Image.fromarray(np.stack([image[z]] * 3, axis=-1)).save(tmp_path / "in" / name / f"s_{z:03d}.{ending}")
    assert predict(model, tmp_path / "in", tmp_path / "out") == 0
    message = printed(capsys)[1]
    assert "photos: is passed over: its 3 files, s_000.jpg" in message
    assert "rgb: is passed over: its 3 files, s_000.png" in message


def test_one_2d_image_is_a_volume_of_one_slice(model, image, tmp_path):
    """Its objects are as thick as they can be, whatever --min_extent says."""
    save(tmp_path / "in" / "flat.tif", image[0])
    assert predict(model, tmp_path / "in", tmp_path / "one") == 0
    assert predict(model, tmp_path / "in", tmp_path / "out", "--min_extent", "2") == 0
    assert predict(model, tmp_path / "in" / "flat.tif", tmp_path / "s.ome.zarr", "--min_extent", "2") == 0
    result = open_volume(tmp_path / "out" / "flat.tiff").read()
    assert result.shape == (1, 32, 40)
    assert result.max() > 0
    assert np.array_equal(result > 0, open_volume(tmp_path / "s.ome.zarr").read() > 0)


# ---- evaluation


@pytest.fixture
def pair(tmp_path):
    """A truth stored flipped, and its identical voxels without the header."""
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:2, :3, :3] = 1
    dataset = tmp_path / "Dataset001_X"
    write_labels(dataset / "labelsTs" / "a.nii.gz", Volume(labels, (3.0, 2.0, 2.0), "mm", (0.0, 9.0, 9.0), FLIPPED))
    write_labels(dataset / "imagesTs_m" / "a_pred.nii.gz", Volume(labels))
    (dataset / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "x": 1}}))
    return dataset


@pytest.mark.parametrize(
    ("command", "table", "score"),
    [("mito", tables.RESULTS, "voxel_dice"), ("ild", class_tables.RESULTS, "dsc")],
)
def test_evaluate_another_space_is_a_row_and_never_a_score(pair, tmp_path, capsys, command, table, score):
    folders = [str(pair / "imagesTs_m"), str(pair / "labelsTs"), "--output"]
    assert run([command, "evaluate", *folders, str(tmp_path / "a")]) == 1
    assert "--ignore_geometry" in printed(capsys)[0]
    row = results(tmp_path / "a", table)[0]
    assert "does not lie in the space of" in row["status"]
    assert row["status"].endswith("counted as an empty prediction")
    assert float(row[score]) == 0
    assert run([command, "evaluate", *folders, str(tmp_path / "b"), "--ignore_geometry"]) == 0
    row = results(tmp_path / "b", table)[0]
    assert (row["status"], float(row[score])) == ("ok", 1)


def test_a_prediction_whose_axes_run_otherwise_is_said(tmp_path, balls, capsys):
    for folder, voxels in (("truth", balls), ("predicted", balls.transpose(2, 1, 0))):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", voxels.astype(np.uint8), photometric="minisblack")
    assert run(["mito", "evaluate", str(tmp_path / "predicted"), str(tmp_path / "truth")]) == 1
    text = printed(capsys)[0]  # without its spaces
    assert "Itsaxesseemtorunx,y,z,withwhichtheshapeswouldagree;nooptiondoesthat" in text
    assert "array.transpose(2,1,0)" in text
    assert "unusable:scoredasempty" in text


def test_a_result_stores_its_axes_otherwise_than_its_image_and_that_is_no_doubt(model, tmp_path, capsys):
    cube = np.random.default_rng(0).integers(0, 255, (32, 32, 32)).astype(np.uint8)
    blocks = np.zeros(cube.shape, np.uint8)
    blocks[4:20, 4:20, 4:20], blocks[4:20, 24:30, 4:20] = 1, 2
    metadata = {"axes": "XYZ"}
    save(tmp_path / "images" / "a.tif", cube, metadata=metadata)
    save(tmp_path / "truth" / "a.tif", blocks, metadata=metadata)
    image, truth, result = tmp_path / "images" / "a.tif", tmp_path / "truth", tmp_path / "out"
    assert open_volume(image).stored_axes == "xyz"
    assert predict(model, image, result) == 0
    capsys.readouterr()
    assert run(["mito", "evaluate", str(result), str(truth)]) == 0
    assert run(["mito", "measure", str(result), "--image", str(image)]) == 0
    assert "stores its axes" not in capsys.readouterr().err
    save(tmp_path / "images" / "a.tif", cube)  # the image no longer says so, and the truth still does
    assert predict(model, image, result, "--overwrite") == 0
    capsys.readouterr()
    assert run(["mito", "evaluate", str(result), str(truth)]) == 0
    said = capsys.readouterr().err
    assert f"a.tiff was made from {image}, which does not say so, and is read as z, y, x; {truth}/a.tif says" in said


def test_compare_another_space_is_scored_as_nothing_predicted(pair, tmp_path, capsys):
    assert run(["compare", str(pair), "--output", str(tmp_path / "a")]) == 1
    assert "--ignore_geometry" in printed(capsys)[0]
    value = {row["metric"]: row["value"] for row in results(tmp_path / "a", "results.csv")}
    assert (float(value["dsc"]), value["delivered"]) == (0, "0")
    assert run(["compare", str(pair), "--output", str(tmp_path / "b"), "--ignore_geometry"]) == 0
    value = {row["metric"]: row["value"] for row in results(tmp_path / "b", "results.csv")}
    assert (float(value["dsc"]), value["delivered"]) == (1, "1")


def test_compare_pairs_cases_that_end_in_a_number(tmp_path, capsys):
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:2, :3, :3] = 1
    for name in ("PAT_0001.tiff", "PAT_0002.tiff"):
        for folder in ("instancesTs", "imagesTs_m", "imagesTs_n"):
            write_labels(tmp_path / "D" / folder / name, Volume(labels))
    write_labels(tmp_path / "D" / "imagesTs_m" / "PAT_0002_pred.tiff", Volume(labels))
    (tmp_path / "D" / "imagesTs_n" / "PAT_0001.tiff").unlink()
    assert run(["compare", str(tmp_path / "D"), "--output", str(tmp_path / "r")]) == 1
    assert "severalfilesforonecase,PAT_0002:PAT_0002.tiff,PAT_0002_pred.tiff" in printed(capsys)[0]
    rows = results(tmp_path / "r", "results.csv")
    delivered = {(row["method"], row["case"]): row["value"] for row in rows if row["metric"] == "delivered"}
    assert delivered == {("m", "PAT_0001"): "1", ("m", "PAT_0002"): "0", ("n", "PAT_0001"): "0", ("n", "PAT_0002"): "1"}


# ---- training


def test_train_on_slices_and_on_a_channel_of_them(tmp_path, capsys):
    data = tmp_path / "data"
    write_phantom_dataset(data, 0, (24, 48, 48), (16, 32, 32), 1, bodies=6)
    meta = json.loads((data / "dataset.json").read_text()) | {"file_ending": ".tif"}
    (data / "dataset.json").write_text(json.dumps(meta))
    for part in ("imagesTr", "instancesTr"):
        file = next((data / part).glob("*.tiff"))
        whole = open_volume(file).read()
        file.unlink()
        for z, plane in enumerate(whole):
            pixels = np.stack([np.zeros_like(plane), plane], axis=-1) if part == "imagesTr" else plane
            save(data / part / "slices_0000" / f"z{z:03d}.tif", pixels, planarconfig="contig")
    command = ["mito", "train", str(data), str(tmp_path / "m"), "--model_config", "MitoNet_small.yaml", "--iterations",
               "2", "--from_scratch", "--patch_size", "32", "--batch_size", "2", "--num_workers", "0", "--device",
               "cpu", "--output_data_path", str(tmp_path / "2d")]  # fmt: skip
    assert run(command) == 2
    assert "--channel" in printed(capsys)[1]
    assert run([*command, "--channel", "1"]) == 0
    cut = tifffile.imread(next((tmp_path / "2d" / "train" / "images").glob("slices_xy_*.tiff")))
    assert cut.max() > 0


def test_a_truth_without_its_header_is_not_trained_on(tmp_path, capsys):
    data = tmp_path / "data"
    write_chest_dataset(data, 0, (8, 48, 48), train_cases=2)
    path = data / "labelsTr" / "CT_phantom2.nii.gz"
    labels = read_labels(path)
    assert labels.direction == FLIPPED
    write_labels(path, Volume(labels.read(), labels.spacing, "mm"))
    command = ["ild", "prepare", str(data), str(tmp_path / "w"), "--num_workers", "0", "--valid_share", "0"]
    assert run(command) == 1
    assert "doesnotlieinthespaceof" in printed(capsys)[0]
    assert {path.stem for path in (tmp_path / "w" / "npz_train").rglob("*.npz")} == {"CT_phantom1"}
    assert run([*command[:3], str(tmp_path / "v"), *command[4:], "--ignore_geometry"]) == 0
    assert {path.stem for path in (tmp_path / "v" / "npz_train").rglob("*.npz")} == {"CT_phantom1", "CT_phantom2"}


def test_lungs_of_two_files_for_one_patient(tmp_path, capsys):
    write_chest_dataset(tmp_path / "data", 0, (8, 48, 48), train_cases=1)
    source = tmp_path / "data" / "imagesTr" / "CT_phantom1_0000.nii.gz"
    (tmp_path / "in").mkdir()
    for name in ("PAT_0001", "PAT_0002", "other"):
        shutil.copy(source, tmp_path / "in" / f"{name}.nii.gz")
    assert run(["ild", "lungs", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert "severalfilesforonecase,PAT:PAT_0001.nii.gz,PAT_0002.nii.gz" in printed(capsys)[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other.nii.gz", "planewise.json"]
    assert run(["ild", "lungs", str(tmp_path / "in"), str(tmp_path / "second"), "--channel", "2"]) == 1
    assert "has1channel,whichis0;--channel2isnotoneofthem" in printed(capsys)[0]
    assert [path.name for path in (tmp_path / "second").glob("*.nii.gz")] == ["PAT.nii.gz"]
