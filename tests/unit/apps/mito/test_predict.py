"""One case of mito, in memory and streamed, with a network that reads labels instead of guessing them."""

import csv
import errno
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from perfect_network import ReadsLabels, slice_outputs
from planewise.apps.mito import out_of_core
from planewise.apps.mito.case import VolumeToPredict
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.out_of_core import Unfinished, remove_work
from planewise.apps.mito.predict import predict_case
from planewise.apps.mito.predict_settings import decisive, grouping_of, settled
from planewise.data.intensity import IntensityRange
from planewise.data.phantom import em_phantom
from planewise.errors import PlanewiseError
from planewise.inference.memory import need_in_memory
from planewise.inference.out_of_core import segment, tasks
from planewise.inference.planes import SliceOptions
from planewise.inference.repair import undo_cuts
from planewise.models.model_file import Calibration, ModelFile, ObjectSizes
from planewise.volumes import volume as volumes
from planewise.volumes.atomic import refused_when_full
from planewise.volumes.files import open_volume, volumes_in, write_volume
from planewise.volumes.formats import result_ending
from planewise.volumes.volume import Volume

MODEL = ModelFile(model="M.pth", norms={"mean": 0.5, "std": 0.2})
TURNED = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
AS_IT_IS = SliceOptions(IntensityRange(0.0, 1.0), 0.0, 1.0, 16)
LITTLE = "100KB"  # less than the volumes here need, enough for a few slices


@pytest.fixture(scope="module")
def image():
    return em_phantom((20, 60, 52), 8, 3)[1].astype(np.uint16)


class Quiet(ReadsLabels):
    """A network without noise, whose objects are in one piece; ``scale``: by which what it sees is shrunk."""

    def __init__(self, scale=1):
        self.scale = scale

    def _outputs(self, ids):
        return slice_outputs(ids.astype(np.int32), self.scale)


def predict(path, output, memory="auto", axes=("xy", "xz", "yz"), network=None, model=MODEL, **more):
    given = {"min_size": 60, "min_extent": 2, "batch_size": 2} | more
    options = MitoPredict(trained_model=Path("M.yaml"), input=path, output=output, axes=axes, memory=memory, **given)
    case = VolumeToPredict.open(path, model, options)
    options = case.sized(model, options)
    results = case.results(output, "case", result_ending(path), options)
    predict_case(
        "case", case, AS_IT_IS, results, network or ReadsLabels(), options, {"model": "M", "inputs": [str(path)]}
    )
    remove_work(results)


def names(folder):
    return sorted(item.name for item in folder.iterdir())


def write_zlib(path, volume):
    tifffile.imwrite(path, volume.read(), photometric="minisblack", compression="zlib")


def write_raw(path, volume):
    tifffile.imwrite(path, volume.read(), photometric="minisblack")


def write_big_endian(path, volume):
    tifffile.imwrite(path, volume.read().astype(">u2"), photometric="minisblack", byteorder=">")


@pytest.mark.parametrize("axes", [("xy",), ("xy", "xz", "yz")], ids=["one plane", "three planes"])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("case.tif", write_raw),
        ("case.tif", write_big_endian),
        ("case.tif", write_zlib),
        ("case.nii.gz", write_volume),
        ("case.nrrd", write_volume),
        ("case.ome.zarr", write_volume),
    ],
    ids=["rows", "big endian", "pages", "nii.gz", "nrrd", "store"],
)
def test_streamed_is_the_same_as_in_memory(tmp_path, image, name, write, axes, capsys):
    write(tmp_path / name, Volume(image, (3.0, 2.0, 2.0), "mm", (1.0, 2.0, 3.0), TURNED))
    predict(tmp_path / name, tmp_path / "memory", axes=axes)
    assert "is streamed" not in capsys.readouterr().err
    predict(tmp_path / name, tmp_path / "streamed", LITTLE, axes)
    printed = " ".join(capsys.readouterr().err.split())
    assert f"beside the network more than --memory {LITTLE}: it is streamed" in printed
    assert ("reads it as a whole" in printed) == (name in ("case.nii.gz", "case.nrrd"))
    assert names(tmp_path / "memory") == names(tmp_path / "streamed")
    tables = [(tmp_path / folder / "case_objects.csv").read_text() for folder in ("memory", "streamed")]
    assert tables[0] == tables[1]
    for result in volumes_in(tmp_path / "memory"):
        one, other = (open_volume(tmp_path / folder / result.name) for folder in ("memory", "streamed"))
        assert np.array_equal(one.read(), other.read())
        assert one.voxels.dtype == other.voxels.dtype == np.uint8
        assert (one.spacing, one.unit, one.origin, one.direction) == (
            other.spacing,
            other.unit,
            other.origin,
            other.direction,
        )
        assert one.read().max() >= 5


@pytest.mark.parametrize("memory", ["auto", LITTLE], ids=["in memory", "streamed"])
def test_what_is_left_out_follows_from_the_objects_that_were_trained_on(tmp_path, memory):
    """Of 1600 voxels of 10 nm, 0.0016 um^3: a quarter is 400 voxels, and in voxels of 20 nm 50."""
    image = np.zeros((20, 60, 52), np.uint16)
    image[2:18, 4:24, 4:24], image[6:13, 40:47, 40:46] = 1, 2  # the second of 294 voxels
    sizes = ObjectSizes(voxels=1600, um3=0.0016, objects=9, whole=True)
    model = MODEL.model_copy(update={"object_sizes": sizes})
    for side, least, objects in ((10.0, 400, 1), (20.0, 50, 2)):
        write_volume(tmp_path / f"{side}.tiff", Volume(image, (side,) * 3, "nm"))
        left = []
        for given in (None, least):
            out = tmp_path / f"{side} {given}"
            predict(tmp_path / f"{side}.tiff", out, memory, network=Quiet(), model=model, min_size=given)
            left.append(open_volume(out / "case.tiff").read())
        assert np.array_equal(left[0], left[1])
        assert left[0].max() == objects


def test_streamed_is_the_same_of_shrunk_slices(tmp_path, image):
    write_raw(tmp_path / "case.tif", Volume(image))
    for folder, memory in (("memory", "auto"), ("streamed", LITTLE)):
        predict(tmp_path / "case.tif", tmp_path / folder, memory, network=Quiet(2), downsampling=2)
    for result in volumes_in(tmp_path / "memory"):
        one, other = (open_volume(tmp_path / folder / result.name).read() for folder in ("memory", "streamed"))
        assert np.array_equal(one, other)
        assert one.max() >= 3


@pytest.mark.parametrize("name", ["case.tif", "case.nii.gz"])
def test_a_streamed_run_that_stopped_goes_on(tmp_path, image, name, monkeypatch):
    write_volume(tmp_path / name, Volume(image))
    predict(tmp_path / name, tmp_path / "memory")

    class Dies(ReadsLabels):
        slices = 0

        def _outputs(self, ids):
            Dies.slices += 1
            if Dies.slices > 40:
                raise RuntimeError("the device is gone")
            return super()._outputs(ids)

    with pytest.raises(Unfinished, match=r"the device is gone; .* are kept in .*case\.\S+\.unfinished: run"):
        predict(tmp_path / name, tmp_path / "out", LITTLE, network=Dies())
    assert [Path(left).suffix for left in names(tmp_path / "out")] == [".unfinished"]
    with pytest.raises(
        PlanewiseError, match=r"case\.\S+\.unfinished: holds .* work of a run with other options \(vote: 2 -> 1\)"
    ):
        predict(tmp_path / name, tmp_path / "out", LITTLE, pixel_vote_thr=1)
    predicted = []
    task = segment.predict_slab
    monkeypatch.setattr(segment, "predict_slab", lambda *given: predicted.append(given[2:]) or task(*given))
    predict(tmp_path / name, tmp_path / "out", LITTLE)
    assert ("xy", 0) not in [slab[:2] for slab in predicted]
    assert predicted
    assert names(tmp_path / "out") == names(tmp_path / "memory")
    for result in volumes_in(tmp_path / "out"):
        assert np.array_equal(*(open_volume(tmp_path / folder / result.name).read() for folder in ("memory", "out")))


def test_a_full_disk_names_the_output_and_what_it_needs(tmp_path, image, monkeypatch):
    write_volume(tmp_path / "case.tif", Volume(image))

    def full(array, block, voxels):
        with refused_when_full(Path(array.store.root), voxels.nbytes):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tasks, "fill_block", full)
    words = (
        r"^the disk of \S+/out is full: \S+case\.tiff\.unfinished/\S+: cannot be written \(No space .* free.*\. "
        r"All results take at most 0\.001 GB uncompressed, .* Make room there; finished parts are kept in \S+: run the "
    )
    with pytest.raises(Unfinished, match=words):
        predict(tmp_path / "case.tif", tmp_path / "out", LITTLE)
    monkeypatch.undo()
    predict(tmp_path / "case.tif", tmp_path / "out", LITTLE)
    assert names(tmp_path / "out")


def test_a_run_stopped_while_it_removes_its_work_leaves_nothing_to_go_on_with(tmp_path, image, monkeypatch):
    """The stores have been delivered: who went on with what is left would write new ones, of some blocks alone."""
    for module in ("volumes.formats.ome_zarr", "inference.out_of_core.job"):
        monkeypatch.setattr(f"planewise.{module}.CHUNK", 32)
    write_volume(tmp_path / "case.ome.zarr", Volume(image))
    predict(tmp_path / "case.ome.zarr", tmp_path / "memory")

    def stops(folder, **options):
        (work,) = tmp_path.glob("out/*.unfinished")
        sorted((work / "counts").iterdir())[0].unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(out_of_core, "write_confidence", lambda *given: patch.setattr(shutil, "rmtree", stops))
        with pytest.raises(KeyboardInterrupt):
            predict(tmp_path / "case.ome.zarr", tmp_path / "out", LITTLE)
    predict(tmp_path / "case.ome.zarr", tmp_path / "out", LITTLE)
    assert names(tmp_path / "out") == names(tmp_path / "memory")
    for result in volumes_in(tmp_path / "out"):
        assert np.array_equal(*(open_volume(tmp_path / folder / result.name).read() for folder in ("memory", "out")))


def test_too_little_memory_is_refused_and_leaves_nothing(tmp_path, image):
    write_raw(tmp_path / "case.tif", Volume(image))
    with pytest.raises(PlanewiseError, match="--memory"):
        predict(tmp_path / "case.tif", tmp_path / "out", "10KB", ("xy",))
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("memory", ["auto", LITTLE])
def test_the_result_of_one_plane_is_a_file_of_its_own(tmp_path, image, memory):
    write_raw(tmp_path / "case.tif", Volume(image))
    predict(tmp_path / "case.tif", tmp_path / "out", memory, ("xy",))
    final, plane = tmp_path / "out" / "case.tiff", tmp_path / "out" / "case_xy.tiff"
    before = open_volume(plane).read()
    assert np.array_equal(open_volume(final).read(), before)
    with final.open("r+b") as file:  # as other programs save
        file.truncate(0)
    assert np.array_equal(open_volume(plane).read(), before)


@pytest.mark.parametrize(
    ("axes", "scale"),
    [(("xy",), 1), (("xy", "xz", "yz"), 1), (("xy", "xz", "yz"), 2)],
    ids=["one plane", "three planes", "three planes, shrunk"],
)
def test_no_more_than_three_times_the_volume_is_held(tmp_path, axes, scale, monkeypatch):
    """Beside what waits for the network; as Python counts, so that no other process disturbs it."""
    monkeypatch.setattr(volumes, "SLAB_BYTES", 2**16)
    image = np.tile(em_phantom((64, 96, 96), 8, 3)[1].astype(np.uint8), (3, 2, 1))
    tifffile.imwrite(tmp_path / "case.tif", image, photometric="minisblack")
    predict(tmp_path / "case.tif", tmp_path / "compiled", axes=axes, network=Quiet(scale), downsampling=scale)
    tracemalloc.start()
    try:
        predict(tmp_path / "case.tif", tmp_path / "out", axes=axes, network=Quiet(scale), downsampling=scale)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    waiting = need_in_memory(Volume(image), axes, 2, 1, "cuda").network
    assert image.nbytes < peak < 3 * image.nbytes + waiting


def test_how_far_planes_must_agree_says_the_option_or_else_the_model_or_else_the_published_tool():
    asked = MitoPredict(trained_model=Path("M.yaml"), input=Path("i"), output=Path("o"))
    ours = MODEL.model_copy(update={"min_agreement": 0.2})
    for model, given, least in ((MODEL, None, 0.0), (ours, None, 0.2), (ours, 0.0, 0.0), (MODEL, 0.3, 0.3)):
        options = settled(asked.model_copy(update={"min_agreement": given}), model)
        assert grouping_of(options).min_agreement == least
        printed = decisive(options, model, half=False)
        assert printed.get("min_agreement") == (least or None)  # nothing is printed that manifests of before do not say


def test_a_streamed_case_leaves_the_same_out_by_agreement(tmp_path, image):
    path = tmp_path / "case.tiff"
    write_volume(path, Volume(image))

    def labels(memory, **more):
        folder = tmp_path / f"{memory}_{'_'.join(more)}"
        folder.mkdir()
        predict(path, folder, memory, **more)
        return tifffile.imread(folder / "case.tiff")

    whole = labels("auto")
    left = labels("auto", min_agreement=1.0)
    assert left.max() < whole.max()
    assert np.array_equal(labels(LITTLE, min_agreement=1.0), left)


def test_whether_objects_are_repaired_says_the_option_or_else_the_model_or_else_the_published_tool():
    asked = MitoPredict(trained_model=Path("M.yaml"), input=Path("i"), output=Path("o"))
    ours = MODEL.model_copy(update={"repair": True})
    for model, given, repaired in (
        (MODEL, "auto", False),
        (MODEL, "on", True),
        (ours, "auto", True),
        (ours, "off", False),
        (ours, "on", True),
    ):
        options = settled(asked.model_copy(update={"repair": given}), model)
        assert grouping_of(options).repair is repaired
        assert decisive(options, model, half=False).get("repair") == (repaired or None)


class Porous(Quiet):
    """A network that leaves holes, elsewhere in xy than in xz, so that the planes' objects have little in common."""

    def _outputs(self, ids):
        computed = super()._outputs(ids)
        computed.logits[::2, int(len(ids) == 20) :: 3] = -4
        return computed


@pytest.mark.parametrize("ending", ["tiff", "ome.zarr"])
def test_a_streamed_case_is_repaired_alike_and_it_is_undone_by_its_table(tmp_path, ending):
    """Two bodies touch in a face across x: in yz, they are one by its linking; in xy and xz they are apart."""
    ids = np.zeros((20, 40, 72), np.uint16)
    ids[2:18, 4:24, 4:32], ids[2:18, 4:24, 32:68], ids[2:18, 28:38, 10:60] = 1, 2, 3
    write_volume(tmp_path / f"case.{ending}", Volume(ids))

    def predicted(memory, repair):
        folder = tmp_path / f"{memory}_{repair}"
        folder.mkdir()
        predict(tmp_path / f"case.{ending}", folder, memory, network=Porous(), repair=repair)
        with (folder / "case_objects.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return open_volume(folder / f"case.{ending}").read(), rows

    published, before = predicted("auto", "off")
    assert [row["cut_from"] for row in before] == ["", ""]
    for memory in ("auto", LITTLE):
        labels, rows = predicted(memory, "on")
        assert [row["cut_from"] for row in rows] == ["", "", "1"]
        assert [int(row["voxels"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()
        for label, body in ((1, 2), (2, 3), (3, 1)):  # to cells of 4 pixels at the face
            shared = np.bincount(ids[labels == label], minlength=4)[1:]
            assert shared[body - 1] > 0.99 * shared.sum()
        cut_from = np.array([int(row["cut_from"] or 0) for row in rows])
        assert np.array_equal(undo_cuts(labels, cut_from), published)


CALIBRATED = MODEL.model_copy(
    update={"calibration": Calibration(slope=4.0, offset=-1.0, planes=("xy", "xz", "yz"), right=3, wrong=2)}
)


@pytest.mark.parametrize("memory", ["auto", LITTLE], ids=["in memory", "streamed"])
def test_every_object_and_every_voxel_has_its_confidence(tmp_path, image, memory):
    path, out = tmp_path / "case.tiff", tmp_path / "out"
    write_volume(path, Volume(image, (3.0, 2.0, 2.0), "mm"))
    predict(path, out, memory, model=CALIBRATED, confidence_volume=True)
    with (out / "case_objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = open_volume(out / "case.tiff").read()
    assert [int(row["voxels"]) for row in rows] == np.bincount(labels.ravel())[1:].tolist()
    given = np.sum([open_volume(out / f"case_{plane}.tiff").read() > 0 for plane in ("xy", "xz", "yz")], axis=0)
    certain = open_volume(out / "confidence" / "case.tiff")
    assert certain.spacing == (3.0, 2.0, 2.0)
    assert not certain.read()[labels == 0].any()
    for label, row in enumerate(rows, 1):
        share = (given[labels == label] == 3).mean()
        assert float(row["given_by_all"]) == pytest.approx(share, abs=1e-4)
        assert float(row["confidence"]) == pytest.approx(1 / (1 + np.exp(1 - 4 * share)), abs=1e-4)
        assert np.unique(certain.read()[labels == label]) == pytest.approx([float(row["confidence"])], abs=1e-4)


@pytest.mark.parametrize(
    ("model", "more", "why"),
    [
        (MODEL, {}, "the model was not calibrated"),
        (CALIBRATED, {"axes": ("xy", "xz")}, "the model was calibrated for planes xy, xz, yz together"),
        (CALIBRATED, {"axes": ("xz",)}, "the model was calibrated for planes xy, xz, yz together"),
        (CALIBRATED, {"pixel_vote_thr": 1}, "the model was calibrated for voxels that 2 planes agree on"),
    ],
    ids=["not calibrated", "two planes", "one plane", "other votes"],
)
def test_objects_without_a_confidence_are_said_to_have_none(tmp_path, image, model, more, why):
    path, out = tmp_path / "case.tiff", tmp_path / "out"
    write_volume(path, Volume(image))
    predict(path, out, model=model, **more)
    assert not (out / "confidence").exists()
    with (out / "case_objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert {row["confidence"] for row in rows} == {""}
    assert [int(row["voxels"]) for row in rows] == np.bincount(open_volume(out / "case.tiff").read().ravel())[
        1:
    ].tolist()
    options = MitoPredict(trained_model=Path("M"), input=path, output=out, **more)
    case = VolumeToPredict.open(path, model, options)
    assert why in case.uncertain
    assert why in " ".join(case.notes(options, model))


@pytest.mark.parametrize(
    ("model", "more"),
    [(MODEL, {}), (CALIBRATED, {"axes": ("xy", "xz")}), (CALIBRATED, {"pixel_vote_thr": 1})],
    ids=["not calibrated", "two planes", "other votes"],
)
def test_a_confidence_that_is_not_known_is_refused_before_any_work(tmp_path, image, model, more):
    path = tmp_path / "case.tiff"
    write_volume(path, Volume(image))
    wanted = MitoPredict(trained_model=Path("M"), input=path, output=tmp_path, confidence_volume=True, **more)
    with pytest.raises(PlanewiseError, match=r"^--confidence_volume: objects have no confidence"):
        settled(wanted, model)
    with pytest.raises(PlanewiseError, match=r"^--confidence_volume: objects have no confidence"):
        VolumeToPredict.open(path, model, wanted)


def test_the_calibration_and_the_volume_decide_on_the_results():
    asked = MitoPredict(trained_model=Path("M.yaml"), input=Path("i"), output=Path("o"))
    plain = decisive(asked, MODEL, half=False)
    assert not plain.keys() & {"calibration", "confidence_volume"}  # nothing that manifests of before do not say
    assert decisive(asked, CALIBRATED, half=False)["calibration"]["slope"] == 4
    wanted = asked.model_copy(update={"confidence_volume": True})
    assert decisive(wanted, MODEL, half=False) == plain | {"confidence_volume": True}
