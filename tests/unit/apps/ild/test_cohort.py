"""A folder of DICOM patients: which series of each is taken, and what is refused."""

import imagecodecs
import numpy as np
import pytest

from dicom import CORONAL, change, write_dicom, write_file
from planewise.apps.ild.cohort import choose_series, cts_in, dicom_cases, is_lung_kernel
from planewise.apps.ild.lungs import LEFT, RIGHT
from planewise.cli import run
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, write_manifest
from planewise.data.phantom import CHEST_SPACING_MM, chest_phantom
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume
from planewise.volumes.formats.dicom import list_series
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

SMALL = np.zeros((3, 4, 4), np.int16)


def write_series(folder, number, voxels=SMALL, *, kernel, thickness, patient="P1", **more):
    more = {"SeriesDescription": f"Thorax {thickness:g} {kernel}", "SeriesNumber": number} | more
    uid = f"1.2.3.{sum(patient.encode())}.{number}"
    return write_dicom(folder, voxels, uid=uid, PatientID=patient, ConvolutionKernel=kernel, SliceThickness=thickness,
                       **more)  # fmt: skip


@pytest.mark.parametrize(
    "kernel",
    ["LUNG", "BONEPLUS", "B50f", "B70s", "B80f", "I70f 3", "Bl57f", "BL64d", "Br59f 3", "YA", "L", "FC51", "FC86"],
)
def test_kernels_for_lung(kernel):
    assert is_lung_kernel(kernel)


@pytest.mark.parametrize(
    "kernel", ["", "STANDARD", "SOFT", "CHEST", "B30f", "B40s", "Br40d", "Br36f 3", "Bv40", "B", "C", "FC08", "FC13-H"]
)
def test_other_kernels(kernel):
    assert not is_lung_kernel(kernel)


def chosen(folder, wanted=None):
    series, why = choose_series(list_series(folder), wanted)
    return series.number, why


def test_the_thinnest_with_a_lung_kernel_is_taken(tmp_path):
    write_series(tmp_path / "a", 2, kernel="Br36f", thickness=0.75)
    write_series(tmp_path / "b", 3, kernel="Br59f", thickness=3)
    write_series(tmp_path / "c", 4, kernel="Bl57f", thickness=1)
    write_series(tmp_path / "d", 5, kernel="Bl57f", thickness=0.5, voxels=SMALL[:1])  # one slice is no chest
    write_series(tmp_path / "e", 6, kernel="BONE", thickness=0.4, Modality="PT")
    write_series(tmp_path / "f", 7, kernel="Bl57f", thickness=0.5, RescaleType="MGML")  # iodine, not HU
    assert chosen(tmp_path) == ("4", "the thinnest CT with a lung kernel")
    assert chosen(tmp_path, "3") == ("3", "--series 3")
    assert chosen(tmp_path, f"1.2.3.{sum(b'P1')}.2")[0] == "2"
    assert chosen(tmp_path, "0.75 br36F")[0] == "2"
    assert chosen(tmp_path, "thorax") == ("4", "the thinnest CT of --series thorax with a lung kernel")
    with pytest.raises(
        PlanewiseError, match=r"no series fits --series 9; there are series 2 'Thorax 0.75 Br36f' \(Br36f"
    ):
        chosen(tmp_path, "9")


def test_what_is_not_settled_is_refused(tmp_path):
    write_series(tmp_path / "a", 2, kernel="Bl57f", thickness=1)
    assert chosen(tmp_path) == ("2", "the only CT with more than one slice")
    write_series(tmp_path / "b", 3, kernel="Bl57f", thickness=1)
    with pytest.raises(PlanewiseError, match=r"2 series with a lung kernel are equally thin \(1 mm\); choose"):
        chosen(tmp_path)
    for path in (*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()):
        change(path, ConvolutionKernel="B30f")
    with pytest.raises(PlanewiseError, match="none of its CT series has a known lung kernel"):
        chosen(tmp_path)


def test_a_uid_that_mixes_orientations_is_taken_apart(tmp_path):
    write_series(tmp_path / "a", 2, kernel="Bl57f", thickness=1)
    for path in write_series(tmp_path / "b", 2, kernel="Bl57f", thickness=1, orientation=CORONAL):
        path.rename(tmp_path / "a" / f"coronal {path.name}")
    with pytest.raises(PlanewiseError, match=r"equally thin .*axial, 4 x 4: 000.dcm at 0.0 mm, .*coronal, 4 x 4: cor"):
        chosen(tmp_path)
    series, _ = choose_series(list_series(tmp_path), "coronal")
    assert (series.orientation, len(series.slices)) == ("coronal", 3)


def test_patients_and_dates_are_cases(tmp_path):
    write_series(tmp_path / "x", 1, kernel="LUNG", thickness=1, patient="ILD/07", StudyDate="20200102")
    write_series(tmp_path / "y", 2, kernel="LUNG", thickness=1, patient="ILD/07", StudyDate="20210304",
                 StudyInstanceUID="1.9")  # fmt: skip
    write_series(tmp_path / "z", 3, kernel="LUNG", thickness=1, patient="P 8")
    problems = []
    cases = dicom_cases(tmp_path, None, problems)
    assert {case: series.number for case, series in cases.items()} == {
        "ILD_07_20200102": "1",
        "ILD_07_20210304": "2",
        "P_8": "3",
    }
    assert problems == []
    write_series(tmp_path / "v", 4, kernel="LUNG", thickness=1, patient="P/8")
    write_series(tmp_path / "w", 5, kernel="LUNG", thickness=1, patient="")
    assert set(dicom_cases(tmp_path, None, problems)) == {"ILD_07_20200102", "ILD_07_20210304"}
    reasons = sorted(problem.what for problem in problems)
    assert reasons[0].startswith("'P 8' and 'P/8' become one case name, P_8")
    assert reasons[1] == reasons[0]
    assert "has no PatientID" in reasons[2]


def test_folders_that_are_named_as_nnunet_names_images_are_cases(tmp_path):
    write_series(tmp_path / "CT_7_0000" / "deep", 1, kernel="LUNG", thickness=1, patient="ANON")
    write_series(tmp_path / "CT_8_0000", 2, kernel="LUNG", thickness=1, patient="ANON", StudyDate="20250101")
    problems = []
    assert list(dicom_cases(tmp_path, None, problems)) == ["CT_7", "CT_8"]
    assert problems == []


def test_only_a_channel_s_number_names_a_case_after_its_folder(tmp_path):
    write_series(tmp_path / "scans_2019", 1, kernel="LUNG", thickness=1, patient="A")
    write_series(tmp_path / "P_pred", 2, kernel="LUNG", thickness=1, patient="B")
    write_series(tmp_path / "P_0000", 3, kernel="LUNG", thickness=1, patient="C")
    assert sorted(dicom_cases(tmp_path, None, [])) == ["A", "B", "P"]


def test_two_patients_whose_folders_end_in_numbers_are_no_channels_of_one(tmp_path):
    for number in (3, 4):
        write_series(tmp_path / f"PAT_{number:04d}", number, kernel="LUNG", thickness=1)
    problems = []
    assert dicom_cases(tmp_path / "PAT_0003", None, problems) == {}
    assert "several files for one case, PAT: PAT_0003, PAT_0004" in problems[0].what
    (tmp_path / "PAT_0004").rename(tmp_path / "second")
    assert list(dicom_cases(tmp_path / "PAT_0003", None, [])) == ["PAT_0003"]


def test_a_picture_beside_dicom_is_no_volume(tmp_path):
    write_series(tmp_path / "scan", 1, kernel="LUNG", thickness=1)
    (tmp_path / "scan" / "preview.png").write_bytes(imagecodecs.png_encode(np.zeros((4, 4), np.uint8)))
    assert list(dicom_cases(tmp_path / "scan", None, [])) == ["scan"]
    for file in (tmp_path / "scan").glob("*.dcm"):
        file.unlink()
    assert list(cts_in(tmp_path / "scan", None, None)[0]) == ["preview"]


def test_what_planewise_predicted_is_no_ct(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, Volume(np.zeros((4, 6, 8), np.uint8)))
    record = CaseRecord({"/scans/a": "1"}, {"a.nii.gz": fingerprint(tmp_path / "a.nii.gz")})
    manifest = Manifest(MadeFrom({"command": "ild predict"}, {}), "m.pth", {"a": record})
    write_manifest(tmp_path / MANIFEST, manifest)
    assert list(cts_in(tmp_path, None, None)[0]) == ["b"]
    with pytest.raises(
        PlanewiseError, match=r"is a result of planewise ild predict.* give what was segmented, /scans/a"
    ):
        cts_in(tmp_path / "a.nii.gz", None, None)


def test_one_series_is_named_after_its_folder(tmp_path):
    write_series(tmp_path / "scan_0000" / "study" / "series", 1, kernel="STANDARD", thickness=5)
    [(case, series)] = dicom_cases(tmp_path / "scan_0000", None, []).items()
    assert (case, series.number) == ("scan", "1")
    problems = []
    assert dicom_cases(tmp_path / "scan_0000", "2", problems) == {}
    assert "no series fits --series 2" in problems[0].what


# ---- the command


@pytest.fixture(scope="module")
def hu():
    return np.round(chest_phantom((16, 96, 96), 5)[0]).astype(np.int16)


def write_patient(folder, number, voxels, **more):
    return write_series(folder, number, voxels, spacing=CHEST_SPACING_MM, thickness=CHEST_SPACING_MM[0], **more)


def test_lungs_of_a_cohort(tmp_path, hu, capfd):
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    write_patient(cohort / "1", 2, hu, kernel="LUNG", patient="A")
    write_patient(cohort / "1", 3, hu, kernel="STANDARD", patient="A", ending=".soft")
    gap = write_patient(cohort / "2" / "deep", 2, hu, kernel="LUNG", patient="B")
    gap[8].unlink()
    write_patient(cohort / "3", 7, hu, kernel="LUNG", patient="C")
    write_file(cohort / "scout.dcm", np.zeros((4, 4)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (cohort / "DICOMDIR").write_bytes(b"not one that can be read")
    (cohort / "README").write_text("patients")
    assert run(["ild", "lungs", str(cohort), str(out)]) == 1
    printed = capfd.readouterr()
    assert sorted(path.name for path in out.iterdir()) == ["A.nii.gz", "C.nii.gz", "planewise.json"]
    assert "4 DICOM series in" in printed.out
    assert "A: series 2 'Thorax 5 LUNG' (LUNG, 16 slices of 5 mm): the thinnest CT with a lung kernel" in printed.err
    assert "left out localizers (1)" in printed.err
    assert "1 slice of 5 mm missing between slice 8 (007.dcm, 35.00 mm) and slice 9 (009.dcm, 45.00 mm)" in printed.out
    assert "1 problem" in printed.out
    assert "Warning" not in printed.out + printed.err
    labels = read_labels(out / "A.nii.gz")
    assert set(np.unique(labels.voxels)) == {0, LEFT, RIGHT}
    assert labels.shape == hu.shape
    assert run(["ild", "lungs", str(cohort / "1"), str(tmp_path / "one"), "--series", "standard"]) == 0
    assert "--series standard" in capfd.readouterr().err
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"A.nii.gz", "planewise.json"}


def test_lungs_of_a_tilted_gantry_lie_on_the_original_slices(tmp_path, hu, capfd):
    write_patient(tmp_path / "flat", 1, hu, kernel="LUNG")
    pixel = CHEST_SPACING_MM[1]
    moved = np.stack([np.roll(slice_, z, axis=0) for z, slice_ in enumerate(hu)])  # one pixel further in each slice,
    write_patient(tmp_path / "tilted", 1, moved, kernel="LUNG", tilt=(-pixel, 0))  # which lies one pixel further back
    assert run(["ild", "lungs", str(tmp_path / "flat"), str(tmp_path)]) == 0
    assert "tilted" not in capfd.readouterr().err
    assert run(["ild", "lungs", str(tmp_path / "tilted"), str(tmp_path)]) == 0
    assert "the gantry was tilted by" in capfd.readouterr().err
    flat, tilted = (read_labels(tmp_path / f"{name}.nii.gz") for name in ("flat", "tilted"))
    assert tilted.shape == hu.shape
    expected = np.stack([np.roll(slice_, z, axis=0) for z, slice_ in enumerate(flat.read())])
    assert np.array_equal(tilted.read(), expected)
    geometry = open_volume(tmp_path / "tilted")
    assert (tilted.spacing, tilted.origin) == (pytest.approx(geometry.spacing), pytest.approx(geometry.origin))


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (lambda folder: folder.mkdir(), [], "is an empty folder"),
        (lambda folder: folder.mkdir() or write_file(folder / "a", None, Modality="SR"), [], "SR objects (1)"),
        (lambda folder: write_series(folder, 1, kernel="LUNG", thickness=1)[0].rename(folder / "a.bin"),
         ["--series", "nothing like it"], "no series fits --series nothing like it"),
        (lambda folder: folder.mkdir() or (folder / "a.dcm").write_bytes(b"x"), [], "a.dcm is a damaged DICOM file"),
        (lambda folder: folder.mkdir() or (folder / "notes.txt").write_text("x"), [],
         "in: holds neither a DICOM series nor an image sequence"),
        (lambda folder: None, ["--series", "1"], "in: no such file or folder"),
        (lambda folder: write_series(folder, 1, kernel="LUNG", thickness=1), ["--channel", "1"],
         "a DICOM series has 1 channel, which is 0"),
    ],
    ids=["empty", "no images", "series", "damaged", "neither", "nothing", "channel"],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_plain_words(tmp_path, capfd, make, arguments, words):
    make(tmp_path / "in")
    assert run(["ild", "lungs", str(tmp_path / "in"), str(tmp_path / "out"), *arguments]) in (1, 2)
    printed = capfd.readouterr()
    assert words in printed.out + printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_series_are_chosen_among_dicom_only(tmp_path, capsys):
    [file, *_] = write_series(tmp_path / "in", 1, kernel="LUNG", thickness=1)
    assert run(["ild", "lungs", str(file), str(tmp_path)]) == 2
    assert "give the folder of the whole series" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.nii.gz").write_bytes(b"")
    assert run(["ild", "lungs", str(tmp_path / "other"), str(tmp_path), "--series", "1"]) == 2
    assert "--series 1: chooses among DICOM series" in capsys.readouterr().err
