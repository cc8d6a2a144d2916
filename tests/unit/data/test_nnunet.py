import json

import numpy as np
import pytest
import tifffile

from dicom import write_dicom
from planewise.data.manifest import MANIFEST, SCORES, CaseRecord, Manifest, write_manifest
from planewise.data.nnunet import open_dataset
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.errors import DatasetError, PlanewiseError
from planewise.volumes.files import volumes_in, write_volume
from planewise.volumes.volume import Volume

META = {"channel_names": {"0": "EM"}, "labels": {"background": 0, "x": 1}, "numTraining": 2, "file_ending": ".tiff"}


def write(path, shape=(4, 5, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="minisblack")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps(META))
    for case in "ab":
        write(tmp_path / "imagesTr" / f"{case}_0000.tiff")
        write(tmp_path / "instancesTr" / f"{case}.tiff")
    write(tmp_path / "imagesTs" / "t_0000.tiff")
    write(tmp_path / "instancesTs" / "t.tiff")
    return tmp_path


def test_a_good_dataset(folder):
    dataset = open_dataset(folder, need_test=True)
    assert [case.name for case in dataset.train] == ["a", "b"]
    assert [case.name for case in dataset.test] == ["t"]
    assert all(case.instances for case in dataset.train)
    assert dataset.problems == []


def test_results_of_planewise_in_the_way_are_left_out(folder, capsys):
    """Those of single planes beside a corrected one are no truths, and a folder of results is no case."""
    write(folder / "imagesTr" / "c_xy_0000.tiff")
    for name in ("a_xy", "a_xz", "c_xy"):
        write(folder / "instancesTr" / f"{name}.tiff")
    write(folder / "imagesTr" / "out" / "a.tiff", (5, 6))
    for place, names in (("instancesTr", ("a.tiff", "a_xy.tiff", "a_xz.tiff")), ("imagesTr/out", ("a.tiff",))):
        outputs = {name: fingerprint(folder / place / name) for name in names}
        record = CaseRecord({"a_0000.tiff": "1 a"}, outputs)
        manifest = Manifest(MadeFrom({"command": "mito predict"}, {}), "M.pth", {"a": record})
        write_manifest(folder / place / MANIFEST, manifest)
    dataset = open_dataset(folder)
    assert [case.name for case in dataset.train] == ["a", "b", "c_xy"]
    assert dataset.problems == []
    said = capsys.readouterr().err
    assert "instancesTr: left out results of single planes, by their manifest: a_xy.tiff, a_xz.tiff\n" in said
    assert "imagesTr/out: is passed over: it holds only results of planewise mito predict\n" in said


def test_a_manifest_in_the_way_leaves_no_case_out(folder, capsys):
    """A damaged one, in a folder of slices or beside the truth, is only a warning."""
    for case in ("c", "d"):
        for z in range(3):
            write(folder / "imagesTr" / f"{case}_0000" / f"s{z}.tiff", (5, 6))
            write(folder / "instancesTr" / case / f"s{z}.tiff", (5, 6))
    (folder / "imagesTr" / "c_0000" / MANIFEST).write_text("{}")
    (folder / "instancesTr" / "d" / "evaluation").mkdir()
    (folder / "instancesTr" / "d" / "evaluation" / SCORES).write_text("{}")
    (folder / "instancesTr" / f"c.{MANIFEST}").write_text("{}")
    (folder / "instancesTr" / MANIFEST).write_text("[]")
    assert [case.name for case in open_dataset(folder).train] == ["a", "b", "c", "d"]
    said = capsys.readouterr().err
    assert said.count("instancesTr/planewise.json: is not a manifest of planewise") == 1
    assert "is passed over: it holds" not in said


def test_cases_are_paired_by_name_whatever_the_listing_and_the_ending(folder):
    (folder / "instancesTr" / "a.tiff").rename(folder / "instancesTr" / "a.tif")
    (folder / "imagesTr" / "a_0000.tiff").rename(folder / "imagesTr" / "a.tif")
    write(folder / "imagesTr" / "a1_0000.tiff")  # would shift every pair that is made by order
    dataset = open_dataset(folder)
    assert [(case.image.name, case.truth.name) for case in dataset.train] == [
        ("a.tif", "a.tif"),
        ("b_0000.tiff", "b.tiff"),
    ]
    assert [problem.what for problem in dataset.problems] == ["has no instancesTr/a1.tiff"]


def test_every_problem_is_listed_at_once(folder):
    write(folder / "imagesTr" / "c_0000.tiff")
    write(folder / "instancesTr" / "d.tiff")
    write(folder / "imagesTr" / "e_0000.tiff")
    write(folder / "instancesTr" / "e.tiff", (4, 5, 7))
    write(folder / "imagesTr" / "f_0000.tiff")
    (folder / "instancesTr" / "f.tiff").write_bytes(b"II*\0")
    write(folder / "instancesTr" / "b.tif")
    write(folder / "imagesTr" / "g_0000.tiff")
    write(folder / "imagesTr" / "g_0001.tiff")
    write(folder / "instancesTr" / "g.tiff")
    dataset = open_dataset(folder)
    assert [case.name for case in dataset.train] == ["a"]
    messages = " | ".join(f"{problem.where} {problem.what}" for problem in dataset.problems)
    for words in ("c_0000.tiff has no instancesTr/c.tiff", "d.tiff has no image", "(4, 5, 7)", "f.tiff cannot be read",
                  "several files for one case, b: b.tif, b.tiff; keep one",
                  "several files for one case, g: g_0000.tiff, g_0001.tiff; _NNNN"):  # fmt: skip
        assert words in messages
    assert len(dataset.problems) == 6


def test_without_instances_the_semantic_labels_are_taken(folder):
    (folder / "instancesTr").rename(folder / "labelsTr")
    assert not any(case.instances for case in open_dataset(folder).train)


def test_a_test_case_needs_no_truth(folder):
    (folder / "instancesTs" / "t.tiff").unlink()
    (folder / "instancesTs").rmdir()
    dataset = open_dataset(folder, need_test=True)
    assert dataset.test[0].truth is None
    assert dataset.problems == []


def test_a_version_1_dataset_is_named(folder):
    (folder / "dataset.json").write_text(json.dumps({"modality": {"0": "EM"}, "training": []}))
    with pytest.raises(DatasetError, match=r"version 1.*channel_names"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing"),
        ("{", "not a JSON file"),
        ("[]", "JSON object"),
        (json.dumps({**META, "file_ending": ".jpg"}), r"\.jpg"),
        (json.dumps({**META, "channel_names": "EM"}), "channel_names is 'EM'"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (json.dumps({**META, "name": "\ud800"}), "lone surrogate"),
        (json.dumps({**META, "labels": {"x": 10**30}}), "labels: x is 1000.*up to 65535"),
        (json.dumps({**META, "labels": {"x": 1e30}}), "labels: x is 1e.30"),
        (json.dumps({**META, "labels": {"x": True}}), "labels: x is True"),
        (json.dumps({**META, "labels": {"x": [[1]]}}), "labels: x is"),
        (json.dumps({**META, "labels": [1]}), "labels must be an object"),
        (json.dumps({**META, "dataset": []}), "dataset must be an object"),
        (json.dumps({**META, "channel_names": {"0": "a", "1": "b"}}), "2 channels .0 a, 1 b.*--channel N"),
    ],
    ids=lambda value: value[-60:] if isinstance(value, str) else None,
)
def test_a_bad_dataset_json_is_named(folder, content, words):
    (folder / "dataset.json").unlink()
    if content is not None:
        (folder / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"dataset\.json.*{words}"):
        open_dataset(folder)


def test_a_dataset_with_nothing_usable_is_refused_with_the_reasons(folder):
    for path in (folder / "instancesTr").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"no usable case(.|\n)*a_0000\.tiff: has no instancesTr/a\.tiff"):
        open_dataset(folder)


def test_a_file_that_is_no_volume_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PlanewiseError, match=r"notes\.txt: is neither a folder nor a volume.*\.tiff"):
        volumes_in(tmp_path / "notes.txt")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


def test_a_series_with_results_in_its_folder_is_an_image_and_a_folder_of_results_is_none(tmp_path, capsys):
    (tmp_path / "dataset.json").write_text(json.dumps({**META, "channel_names": {"0": "CT"}, "file_ending": ".dcm"}))
    write_dicom(tmp_path / "imagesTr" / "a_0000", np.zeros((4, 5, 6), np.int16))
    truth = Volume(np.zeros((4, 5, 6), np.uint8), (5, 2.5, 2.5), "mm")
    write_volume(tmp_path / "labelsTr" / "a.nii.gz", truth)
    for folder in ("a_0000", "out"):
        write_volume(result := tmp_path / "imagesTr" / folder / "a.nii.gz", truth)
        record = CaseRecord({"a": "1 a"}, {"a.nii.gz": fingerprint(result)})
        write_manifest(
            result.with_name(MANIFEST), Manifest(MadeFrom({"command": "ild predict"}, {}), "M.pth", {"a": record})
        )
    dataset = open_dataset(tmp_path)
    assert ([case.name for case in dataset.train], dataset.problems) == (["a"], [])
    said = capsys.readouterr().err
    assert said.count("is passed over: it holds only results") == 1
    assert f"{tmp_path}/imagesTr/out: is passed over: it holds only results of planewise ild predict\n" in said


def test_images_are_folders_with_one_dicom_series_each(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({**META, "channel_names": {"0": "CT"}, "file_ending": ".dcm"}))
    voxels = np.zeros((4, 5, 6), np.int16)
    for case in ("good_0000", "gap", "two", "other"):
        files = write_dicom(tmp_path / "imagesTr" / case / "deep", voxels)
        if case == "gap":
            files[1].unlink()
    write_dicom(tmp_path / "imagesTr" / "two" / "second", voxels, uid="1.5", SeriesNumber=2)
    for case, depth in (("good", 4), ("gap", 3), ("two", 4), ("other", 3)):
        write_volume(
            tmp_path / "labelsTr" / f"{case}.nii.gz", Volume(np.zeros((depth, 5, 6), np.uint8), (5, 2.5, 2.5), "mm")
        )
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.train] == ["good"]
    problems = {problem.where.rpartition("/")[2]: problem.what for problem in dataset.problems}
    assert "1 slice of 5 mm missing" in problems["gap"]
    assert "holds 2 DICOM series: series 1 (CT, 4 slices of 5 mm); series 2" in problems["two"]
    assert "(3, 5, 6)" in problems["other.nii.gz"]


def test_without_dataset_json_one_to_paste_is_given(folder):
    (folder / "dataset.json").unlink()
    write(folder / "imagesTr" / "a_0001.tiff")
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder)
    messages, _, pasted = str(caught.value).partition("\n")
    assert "dataset.json: is missing" in messages
    meta = json.loads(pasted.partition("\n")[2])
    assert (meta["file_ending"], meta["numTraining"], list(meta["channel_names"])) == (".tiff", 2, ["0", "1"])
    (folder / "imagesTr" / "a_0001.tiff").unlink()
    meta["channel_names"].popitem()
    (folder / "dataset.json").write_text(json.dumps(meta))
    assert len(open_dataset(folder).train) == 2


def test_a_channel_is_chosen_by_the_number_of_the_file(folder):
    (folder / "dataset.json").write_text(json.dumps({**META, "channel_names": {"0": "a", "1": "b"}}))
    for case in "ab":
        write(folder / "imagesTr" / f"{case}_0001.tiff")
    dataset = open_dataset(folder, channel=1)
    assert [(case.image.name, case.channel) for case in dataset.train] == [("a_0001.tiff", None), ("b_0001.tiff", None)]
    assert [case.image.name for case in open_dataset(folder, channel=0).train] == ["a_0000.tiff", "b_0000.tiff"]
    with pytest.raises(DatasetError, match="none of them is of --channel 2"):
        open_dataset(folder, channel=2)


def test_a_channel_is_chosen_within_a_file(folder):
    for path in (folder / "imagesTr").iterdir():
        tifffile.imwrite(path, np.zeros((4, 5, 6, 3), np.uint8), photometric="rgb")
    with pytest.raises(DatasetError, match=r"3 channels.*--channel"):
        open_dataset(folder)
    assert [case.channel for case in open_dataset(folder, channel=2).train] == [2, 2]


def test_cases_that_end_in_a_number_are_no_channels(folder):
    for path in [*(folder / "imagesTr").iterdir(), *(folder / "instancesTr").iterdir()]:
        path.unlink()
    for number in range(1, 4):
        write(folder / "imagesTr" / f"PAT_{number:04d}_0000.tiff")
        write(folder / "instancesTr" / f"PAT_{number:04d}.tiff")
    dataset = open_dataset(folder)
    assert [(c.name, c.truth.name) for c in dataset.train] == [(f"PAT_{n:04d}", f"PAT_{n:04d}.tiff") for n in (1, 2, 3)]
    assert dataset.problems == []


def test_folders_of_slices_are_cases(folder):
    for case, part in (("c_0000", "imagesTr"), ("c", "instancesTr"), ("d", "imagesTr"), ("d", "instancesTr")):
        for z in range(4):
            if not (case == "d" and z == 2):
                write(folder / part / case / f"slice_{z:04d}.tif", (5, 6))
    dataset = open_dataset(folder)
    assert [case.name for case in dataset.train] == ["a", "b", "c"]
    assert len(dataset.problems) == 1
    assert "lacks number 2" in dataset.problems[0].what


def test_cases_that_dataset_json_lists(folder):
    (folder / "instancesTr").rename(folder / "labels")
    (folder / "imagesTr").rename(folder / "scans")
    listed = {
        "one": {"images": ["scans/a_0000.tiff"], "label": "labels/a.tiff"},
        "two": {"images": ["scans/b_0000.tiff"], "label": str(folder / "labels" / "b.tiff")},
        "three": {"images": ["scans/gone.tiff"], "label": "labels/b.tiff"},
        "four": {"images": "scans/a_0000.tiff"},
        "../five": {"images": ["scans/a_0000.tiff"], "label": "labels/a.tiff"},
    }
    (folder / "dataset.json").write_text(json.dumps({**META, "dataset": listed}))
    dataset = open_dataset(folder)
    assert [(c.name, c.image.name, c.truth.name, c.instances) for c in dataset.train] == [
        ("one", "a_0000.tiff", "a.tiff", False),
        ("two", "b_0000.tiff", "b.tiff", False),
    ]
    messages = " | ".join(problem.what for problem in dataset.problems)
    for words in ("no such file", "four must be", "'../five' is no name of a case"):
        assert words in messages


def test_image_and_truth_lie_in_one_space(folder):
    """A truth whose header was lost, of identical voxels, would be trained flipped."""
    meta = {**META, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(meta))
    for part in ("imagesTr", "instancesTr"):
        for path in (folder / part).iterdir():
            path.unlink()
    voxels = np.zeros((4, 5, 6), np.uint8)
    ras = Volume(voxels, (3, 2, 2), "mm", direction=((1, 0, 0), (0, -1, 0), (0, 0, -1)))
    for case in "ab":
        write_volume(folder / "imagesTr" / f"{case}_0000.nii.gz", ras)
    write_volume(folder / "instancesTr" / "a.nii.gz", ras)
    write_volume(folder / "instancesTr" / "b.nii.gz", Volume(voxels, (3, 2, 2), "mm"))
    dataset = open_dataset(folder)
    assert [case.name for case in dataset.train] == ["a"]
    assert "does not lie in the space of" in dataset.problems[0].what
    assert "--ignore_geometry" in dataset.problems[0].what
    dataset = open_dataset(folder, ignore_geometry=True)
    assert [(case.name, case.ignore_geometry) for case in dataset.train] == [("a", True), ("b", True)]
