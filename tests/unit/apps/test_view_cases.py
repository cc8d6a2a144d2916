"""What a path means to ``planewise view``."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from dicom import write_dicom
from planewise.apps.view import chosen_viewer, scene_of
from planewise.apps.view_cases import shown_of
from planewise.apps.view_options import View
from planewise.data.manifest import MANIFEST
from planewise.data.run import Run
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.formats.dicom import list_series
from planewise.volumes.itk_snap import write_label_description
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

IMAGE = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
LABELS = (IMAGE % 3).astype(np.uint8)


@pytest.fixture
def dataset(tmp_path):
    """Two test cases and a training case; method m has both, n has one."""
    folder = tmp_path / "Dataset001_A"
    for split, case in (("Ts", "a"), ("Ts", "b"), ("Tr", "c")):
        write_volume(folder / f"images{split}" / f"{case}_0000.tiff", Volume(IMAGE, (4.0, 2.0, 1.0), "nm"))
        write_labels(folder / f"labels{split}" / f"{case}.tiff", Volume(LABELS, (4.0, 2.0, 1.0), "nm"))
    for method, cases in (("m", "ab"), ("n", "a")):
        for case in cases:
            write_labels(folder / f"imagesTs_{method}" / f"{case}.tiff", Volume(LABELS, (4.0, 2.0, 1.0), "nm"))
    write_labels(folder / "imagesTs_m" / "a_xy.tiff", Volume(LABELS))
    meta = {"labels": {"background": 0, "spot": 1, "ring": 2}, "file_ending": ".tiff", "channel_names": {"0": "EM"}}
    (folder / "dataset.json").write_text(json.dumps(meta))
    return folder


def shown(path, **options):
    return shown_of(View(path=path, **options))


def test_a_case_of_a_dataset_with_everything(dataset):
    of_case = shown(dataset, case="a")
    assert (of_case.image, of_case.truth) == (dataset / "imagesTs" / "a_0000.tiff", dataset / "labelsTs" / "a.tiff")
    assert of_case.methods == {name: dataset / f"imagesTs_{name}" / "a.tiff" for name in "mn"}
    assert shown(dataset / "imagesTs" / "a_0000.tiff") == of_case
    assert list(shown(dataset, case="b").methods) == ["m"]
    training = shown(dataset / "imagesTr" / "c_0000.tiff")
    assert (training.truth, training.methods) == (dataset / "labelsTr" / "c.tiff", {})


def test_predictions_that_end_in_numbers_are_of_cases_of_that_name(dataset, tmp_path):
    meta = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(meta | {"channel_names": {"0": "EM", "1": "ER"}}))
    for folder in (tmp_path / "out", dataset / "imagesTs_m"):
        for case in ("pat_0001", "pat_0002"):
            write_labels(folder / f"{case}.tiff", Volume(LABELS))
            assert shown(folder, case=case).case == shown(folder / f"{case}.tiff").case == case


def test_several_cases_are_refused_by_name(dataset):
    with pytest.raises(PlanewiseError, match=r"holds 3 cases \(a, b, c\): choose one with --case"):
        shown(dataset)
    with pytest.raises(PlanewiseError, match=r"--case d: .* has none of that name; it has a, b, c"):
        shown(dataset, case="d")
    with pytest.raises(PlanewiseError, match=r"imagesTs_m: holds 2 cases \(a, b\)"):  # a_xy is a plane's result
        shown(dataset / "imagesTs_m")


def test_the_cases_of_a_folder_of_images_are_those_in_it(dataset):
    assert shown(dataset / "imagesTr").case == "c"
    with pytest.raises(PlanewiseError, match=r"imagesTs: holds 2 cases \(a, b\): choose one with --case"):
        shown(dataset / "imagesTs")
    with pytest.raises(PlanewiseError, match=r"--case c: .*imagesTs has none of that name; it has a, b"):
        shown(dataset / "imagesTs", case="c")


def test_with_errors_the_cases_are_those_that_they_list(dataset, tmp_path):
    def write(path, *cases, of=dataset.name):
        entries = [{"dataset": of, "method": "m", "case": case, "mistakes": []} for case in cases]
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(json.dumps({"results": entries}))

    write(tmp_path / "elsewhere" / "results.json", "b")
    assert shown(dataset, errors=(tmp_path / "elsewhere",)).case == "b"
    assert shown(dataset / "imagesTs", errors=(tmp_path / "elsewhere",)).case == "b"
    assert shown(dataset / "imagesTs_m", errors=(tmp_path / "elsewhere" / "results.json",)).case == "b"
    assert shown(dataset, errors=(tmp_path / "elsewhere",), case="a").case == "a"
    write(dataset / "report" / "results.json", "a", "b")
    with pytest.raises(PlanewiseError, match=r"--errors lists 2 cases of it \(a, b\): choose one with --case"):
        shown(dataset, errors=())
    write(dataset / "report" / "results.json", "a")
    assert shown(dataset, errors=()).case == "a"
    write(tmp_path / "elsewhere" / "results.json", "x")
    with pytest.raises(PlanewiseError, match=r"holds 3 cases \(a, b, c\)"):
        shown(dataset, errors=(tmp_path / "elsewhere",))


def test_a_result_with_its_image_and_truth(dataset):
    of_folder = shown(dataset / "imagesTs_n")
    assert of_folder == shown(dataset / "imagesTs_n" / "a.tiff")
    assert of_folder.image == dataset / "imagesTs" / "a_0000.tiff"
    assert of_folder.truth == dataset / "labelsTs" / "a.tiff"
    assert (of_folder.methods, of_folder.named) == ({"n": dataset / "imagesTs_n" / "a.tiff"}, "n")
    truth = shown(dataset / "labelsTs" / "a.tiff")
    assert (truth.methods, truth.named, truth.image) == ({}, "truth", of_folder.image)


def test_the_manifest_beside_a_result_names_its_image(dataset, tmp_path):
    result = tmp_path / "out" / "x.ome.zarr"
    write_labels(result, Volume(LABELS, (4.0, 2.0, 1.0), "nm"))
    image = str(dataset / "imagesTs" / "b_0000.tiff")
    record = {"inputs": {image: "1 a"}, "outputs": {"x.ome.zarr": "1 b"}, "decided": {}}
    manifest = {"options": {"command": "mito predict"}, "model": "", "cases": {"x": record}}
    (tmp_path / "out" / "x.planewise.json").write_text(json.dumps({"version": "1", **manifest}))
    of_store = shown(result)
    assert (str(of_store.image), of_store.named) == (image, "out")
    (tmp_path / "out" / "x.planewise.json").unlink()
    assert shown(result).image is None  # what it is says the store itself, not what it was made from


def test_a_result_of_a_dicom_series_is_shown_over_it_until_it_is_gone(tmp_path, capsys):
    hu = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    files = write_dicom(tmp_path / "patient", hu)
    write_dicom(tmp_path / "patient" / "other", hu + 1, uid="1.2.3.5")
    result = tmp_path / "predicted" / "patient.nii.gz"
    made = Run.begin(tmp_path / "predicted" / MANIFEST, "ild predict", {}, None, ["patient"], overwrite=False)
    with made.making("patient", files, [result]):
        write_labels(result, replace(open_volume(list_series(tmp_path / "patient")[0]), voxels=LABELS))
    scene = scene_of(shown(result), View(path=result))
    assert [layer.name for layer in scene.layers] == ["patient", "predicted"]
    np.testing.assert_array_equal(scene.layers[0].read(scene.layers[0].levels[0], ...), hu)
    np.testing.assert_array_equal(scene.layers[1].read(scene.layers[1].levels[0], ...), LABELS)
    (tmp_path / "patient").rename(tmp_path / "elsewhere")
    capsys.readouterr()
    assert shown(result).image is None
    assert "which no longer exists; say with --image where it is now" in " ".join(capsys.readouterr().err.split())


def test_any_volume_and_labels_that_are_named(dataset, tmp_path, capsys):
    image = tmp_path / "b.tiff"
    write_volume(image, Volume(IMAGE, (4.0, 2.0, 1.0), "nm"))
    of_volume = shown(image, labels=("mine=" + str(dataset / "imagesTs_m"), str(dataset / "imagesTs_m" / "b.tiff")))
    assert of_volume.methods == dict.fromkeys(("mine", "m"), dataset / "imagesTs_m" / "b.tiff")
    assert "nothing marks" not in capsys.readouterr().err
    assert shown(image).methods == {}
    assert "nothing marks it as labels" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(PlanewiseError, match=r"--labels .*: m is shown already; give it another name, NAME=PATH"):
        shown(image, labels=(str(dataset / "imagesTs_m"), str(dataset / "imagesTs_m" / "b.tiff")))
    with pytest.raises(PlanewiseError, match=r"b\.\*: is missing"):
        shown(image, labels=(str(dataset / "imagesTs_n"),))
    with pytest.raises(PlanewiseError, match="--labels nowhere: no such file or folder"):
        shown(image, labels=("nowhere",))


def test_a_folder_that_is_one_volume(tmp_path):
    (tmp_path / "stack").mkdir()
    for z, plane in enumerate(IMAGE):
        tifffile.imwrite(tmp_path / "stack" / f"s{z:03d}.tif", plane)
    write_dicom(tmp_path / "series", IMAGE.astype(np.int16), spacing=(4.0, 2.0, 1.0))
    for name in ("stack", "series"):
        of_folder = shown(tmp_path / name)
        assert (of_folder.case, of_folder.image, of_folder.methods) == (name, tmp_path / name, {})
        scene = scene_of(of_folder, View(path=tmp_path / name))
        assert np.array_equal(np.asarray(scene.layers[0].levels[0].voxels[...]), IMAGE)


def test_a_scene_of_it(dataset):
    options = View(path=dataset, case="a", object=2)
    scene = scene_of(shown_of(options), options)
    assert [layer.name for layer in scene.layers] == ["a", "truth", "m", "n"]
    assert [layer.shown for layer in scene.layers] == [True, False, True, False]
    assert [layer.volume.labels.names for layer in scene.layers[1:]] == [{1: "spot", 2: "ring"}] * 3
    assert scene.chosen == {"m": 2}
    assert LABELS[scene.at] == 2
    given = View(path=dataset, case="a", labels=("mine=" + str(dataset / "imagesTs_m" / "a.tiff"),))
    assert [layer.name for layer in scene_of(shown_of(given), given).layers if layer.shown] == ["a", "mine"]
    assert scene_of(shown_of(options), View(path=dataset, case="a", at=(3, 4, 5))).at == (3, 4, 5)
    with pytest.raises(PlanewiseError, match=r"--at 4 0 0: lies outside; the shape z y x is \(4, 5, 6\)"):
        scene_of(shown_of(options), View(path=dataset, case="a", at=(4, 0, 0)))
    with pytest.raises(PlanewiseError, match=r"--errors: there is no results.json"):
        scene_of(shown_of(options), View(path=dataset, case="a", errors=()))


def test_mistakes_are_those_of_the_evaluation_beside_or_of_a_comparison(dataset):
    def write(path, method, voxels):
        mistake = {"kind": "missed", "truth": [1], "predicted": [], "voxels": voxels, "centre": [1, 2, 3]}
        entry = {"dataset": dataset.name, "method": method, "case": "a", "mistakes": [mistake]}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"results": [entry]}))

    def places(path, **options):
        made = View(path=path, case="a", errors=(), **options)
        return [place.what for place in scene_of(shown_of(made), made).places]

    write(dataset / "report" / "results.json", "m", 30)
    assert places(dataset) == ["m, missed: truth 1; 30 voxels"]
    write(dataset / "imagesTs_n" / "evaluation" / "results.json", "imagesTs_n", 10)
    write(dataset / "imagesTs_m" / "evaluation" / "results.json", "imagesTs_m", 20)
    assert places(dataset) == ["m, missed: truth 1; 20 voxels", "n, missed: truth 1; 10 voxels"]
    assert places(dataset / "imagesTs_n") == ["missed: truth 1; 10 voxels"]


def test_without_a_viewer_the_extras_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PlanewiseError, match=r"no viewer is installed: pip install planewise\[neuroglancer\]"):
        chosen_viewer("auto")
    with pytest.raises(PlanewiseError, match=r"--viewer napari: is not installed; pip install planewise\[napari\]"):
        chosen_viewer("napari")


def test_napari_needs_a_screen(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("planewise.apps.view.has_screen", lambda: False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    assert chosen_viewer("auto") == "neuroglancer"
    with pytest.raises(PlanewiseError, match="there is no screen here"):
        chosen_viewer("napari")
    monkeypatch.setattr("planewise.apps.view.has_screen", lambda: True)
    assert chosen_viewer("auto") == "napari"


def test_errors_are_of_one_file():
    assert View(path="a", errors=()).errors == ()
    with pytest.raises(PlanewiseError, match=r"--errors a b: must be one results\.json"):
        View(path="a", errors=("a", "b"))


def test_names_in_an_itk_snap_description_beside_a_result(dataset, tmp_path):
    write_labels(tmp_path / "out" / "a.nii.gz", Volume(LABELS, (4.0, 2.0, 1.0), "nm"))
    write_label_description(tmp_path / "out" / "itksnap_labels.txt", LabelNames({1: "dot", 2: "circle"}))
    options = View(path=dataset, case="a", labels=(str(tmp_path / "out"),))
    layers = {layer.name: layer.volume.labels.names for layer in scene_of(shown_of(options), options).layers[1:]}
    assert layers["out"] == {1: "dot", 2: "circle"}
    assert layers["m"] == {1: "spot", 2: "ring"}
