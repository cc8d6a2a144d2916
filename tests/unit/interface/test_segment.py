"""planewise.segment returns what the command line writes, voxel by voxel."""

import logging
import os
import zipfile

import dask.array
import numpy as np
import pytest
import xarray
import zarr

import planewise as pw
from planewise.cli import run
from planewise.data.phantom import em_phantom
from planewise.errors import PlanewiseError
from planewise.interface.calls import name_of
from planewise.models.zoo import PUBLISHED
from planewise.progress import ON_TERMINAL, Progress
from untrained import write_untrained

EASY = {"confidence_thr": 0.49988, "center_confidence_thr": 5e-4, "min_size": 5, "min_extent": 2, "precision": "32"}
SPACING_NM = (8.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An image as a TIFF, a model that was not trained, and what the command line makes of them."""
    folder = tmp_path_factory.mktemp("segment")
    model = write_untrained(folder)
    image, _ = em_phantom((20, 48, 40), 6, 0)
    pw.write_volume(folder / "cell.tiff", pw.Volume(image, SPACING_NM, "nm"))
    options = [word for key, value in EASY.items() for word in (f"--{key}", str(value))]
    code = run([
        "mito", "predict", "--trained_model", str(model), "--input", str(folder / "cell.tiff"),
        "--output", str(folder / "out"), *options,
    ])  # fmt: skip
    assert code == 0
    written = pw.read_labels(folder / "out" / "cell.tiff")
    assert np.asarray(written).max() > 1
    return folder / "cell.tiff", model, written, image


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.delenv(ON_TERMINAL)


def same(labels, written):
    assert np.asarray(labels).dtype == np.asarray(written).dtype
    assert np.array_equal(np.asarray(labels), np.asarray(written))


def test_a_prediction_is_no_image(files, quiet):
    path, model, _, _ = files
    with pytest.raises(PlanewiseError, match=rf"cell.tiff: is a result of .* give what was segmented, {path}$"):
        pw.segment(path.parent / "out" / "cell.tiff", model, **EASY)


def test_a_folder_of_volumes_is_refused_and_it_is_said_what_takes_one(quiet, tmp_path):
    for name, depth in (("a.tiff", 2), ("b.tiff", 2)):
        pw.write_volume(tmp_path / "volumes" / name, pw.Volume(np.zeros((depth, 8, 8), np.uint8)))
    with pytest.raises(
        PlanewiseError, match=r"volumes: is a folder of volumes, a.tiff, b.tiff, .* for each; the commands"
    ):
        pw.segment(tmp_path / "volumes", "MitoNet_v1")
    pw.write_volume(tmp_path / "slices" / "1.tiff", pw.Volume(np.zeros((1, 8, 8), np.uint8)))
    pw.write_volume(tmp_path / "slices" / "3.tiff", pw.Volume(np.zeros((1, 8, 8), np.uint8)))
    with pytest.raises(PlanewiseError, match="lacks number 2"):
        pw.segment(tmp_path / "slices", "MitoNet_v1")


def test_a_path_an_array_and_a_volume_give_what_the_command_line_writes(files, quiet, capfd):
    path, model, written, image = files
    for given in (str(path), pw.open(image, spacing=SPACING_NM, unit="nm"), pw.open(path)):
        labels = pw.segment(given, model, **EASY)
        same(labels, written)
        assert (labels.spacing, labels.unit) == (SPACING_NM, "nm")
    same(pw.segment(image, pw.load_model(model), **EASY), written)  # even spacing or none: the same planes
    assert capfd.readouterr() == ("", "")


def test_other_libraries_arrays_give_the_same(files, quiet, tmp_path):
    _, model, written, image = files
    array = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, chunks=(8, 16, 16), dtype=image.dtype)
    array[...] = image
    same(pw.segment(array, model, **EASY), written)
    same(pw.segment(xarray.DataArray(image, dims=("z", "y", "x")), model, **EASY), written)
    layer = (image, {"scale": SPACING_NM, "units": ("nm",) * 3, "name": "cell"}, "image")
    same(pw.segment(layer, model, **EASY), written)


def test_one_plane_is_what_the_command_line_calls_by_it(files, quiet):
    path, model, _, _ = files
    same(pw.segment(path, model, axes=("xy",), **EASY), pw.read_labels(path.parent / "out" / "cell_xy.tiff"))


@pytest.mark.slow
def test_a_volume_that_needs_more_memory_is_refused_and_streamed_to_a_store_on_request(files, quiet, tmp_path):
    path, model, written, image = files
    array = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, chunks=(8, 16, 16), dtype=image.dtype)
    array[...] = image
    with pytest.raises(PlanewiseError, match=r"output=\"labels\.ome\.zarr\""):
        pw.segment(array, model, memory="10KB", **EASY)
    for given, name in ((array, "a"), (path, "b")):
        labels = pw.segment(given, model, output=tmp_path / f"{name}.ome.zarr", memory="1MB", **EASY)
        assert not isinstance(labels.voxels, np.ndarray)
        same(np.asarray(labels).astype(np.asarray(written).dtype), written)
    assert not (tmp_path / "a_input.ome.zarr").exists()
    with pytest.raises(PlanewiseError, match=r"must end in \.ome\.zarr"):
        pw.segment(path, model, output=tmp_path / "labels.tiff")


def test_progress_is_called_to_the_end_of_every_plane(files, quiet, capfd):
    path, model, _, _ = files
    seen: list[Progress] = []
    pw.segment(path, model, progress=seen.append, **EASY)
    ends = {state.what: (state.done, state.total) for state in seen}
    assert ends == {"cell xy": (20, 20), "cell xz": (48, 48), "cell yz": (40, 40)}
    assert all(0 < state.done <= state.total for state in seen)
    assert capfd.readouterr() == ("", "")


def test_what_progress_raises_ends_the_work(files, quiet):
    path, model, _, _ = files

    def stop(state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pw.segment(path, model, progress=stop, **EASY)


def test_messages_are_logged_or_printed_where_that_is_asked(files, quiet, caplog, capsys):
    path, model, _, _ = files
    with caplog.at_level(logging.INFO, "planewise"):
        pw.segment(path, model, **EASY)
    assert "planes xy, xz, yz" in caplog.text
    assert capsys.readouterr().err == ""
    pw.segment(path, model, progress=True, **EASY)
    assert "planes xy, xz, yz" in capsys.readouterr().err
    assert ON_TERMINAL not in os.environ


def test_the_least_size_is_that_of_the_models_objects_and_published_is_as_published(files, quiet, tmp_path, caplog):
    path, _, _, _ = files
    model = write_untrained(tmp_path, object_sizes={"voxels": 40.0, "objects": 9, "whole": True})
    easy = {name: value for name, value in EASY.items() if name != "min_size"}
    with caplog.at_level(logging.INFO, "planewise"):
        same(pw.segment(path, model, **easy), pw.segment(path, model, min_size=10, **easy))
        assert "objects under 10 voxels (5.1e-06 um^3) are left out" in caplog.text
        same(pw.segment(path, model, published=True), pw.segment(path, model, min_size=500))
    assert "--published: --confidence_thr 0.5" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_siz": 3}, "min_siz: is no option here; did you mean min_size?"),
        ({"min_size": -1}, "min_size=-1: "),
        ({"axes": ("xx",)}, "axes=xx"),
        ({"published": True, "min_size": 50}, "published: says min_size 500, and min_size 50 is given"),
        ({"confidence_volume": True}, "confidence_volume: objects have no confidence: the model was not calibrated"),
        ({"prompts": "auto"}, "boxes are for SAM2's models"),
        ({"workers": 2}, "workers and scheduler go with an output"),
        ({"channel": 3}, "channel"),
        ({"overwrite": True}, "overwrite: is no option here. There are channel"),
        ({"intensity": (7, 7)}, "must be LOW HIGH, the first less than the second; invert=True turns contrast round"),
        ({"output": 5}, "output: is int; it must be a path"),
    ],
)
def test_what_cannot_be_used_is_named_as_python_has_it(files, quiet, options, words):
    path, model, _, _ = files
    with pytest.raises(PlanewiseError) as refused:
        pw.segment(path, model, **options)
    assert words in str(refused.value)
    assert "--" not in str(refused.value)


def test_models_that_are_not_there(quiet, tmp_path):
    for name in ("nonesuch.yaml", "nonesuch", "nonesuch.pth"):
        with pytest.raises(PlanewiseError, match="nonesuch"):
            pw.load_model(tmp_path / name)
    for given in (None, 5, np.zeros(3)):
        with pytest.raises(PlanewiseError, match=r"model: is .*; it must be a path"):
            pw.load_model(given)
    with pytest.raises(PlanewiseError, match="no such file"):
        pw.segment("nonesuch.tiff", "MitoNet_v1.yaml")


def test_of_a_name_that_is_no_model_s_all_names_of_models_are_listed(quiet):
    for call in (lambda: pw.load_model("Nope"), lambda: pw.segment(np.zeros((3, 8, 8)), "Nope")):
        with pytest.raises(PlanewiseError, match="Nope: no such file") as refused:
            call()
        assert {model.name for model in PUBLISHED} <= set(str(refused.value).replace(",", "").split())


def test_only_names_that_somebody_gave_are_names_of_volumes(tmp_path):
    image = np.zeros((2, 3, 4), np.uint8)
    lazy, stored = dask.array.from_array(image), zarr.create_array(tmp_path / "a.zarr", data=image)
    labelled = {"dims": ("z", "y", "x")}
    named = xarray.DataArray(image, **labelled, name="cell"), (image, {"name": "cell"}, "image"), "a/cell.tiff"
    unnamed = xarray.DataArray(image, **labelled), xarray.DataArray(lazy, **labelled), (image, {}), image, lazy, stored
    assert [name_of(given, "volume") for given in named] == ["cell"] * 3
    assert [name_of(given, "volume") for given in unnamed] == ["volume"] * 6


def test_a_model_says_what_it_is_and_its_folder_means_it(files):
    _, path, _, _ = files
    model = pw.load_model(path.parent)
    assert (model.kind, model.classes, model.path) == ("MitoNet", {1: "mito"}, path)


def test_an_archive_is_a_mitonet_as_on_the_command_line(files, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _, path, _, _ = files
    with zipfile.ZipFile(tmp_path / "Mine.empanada", "w") as archive:
        for member in (path, path.with_suffix(".pth")):
            archive.write(member, member.name)
    model = pw.load_model(tmp_path / "Mine.empanada")
    assert (model.kind, model.classes) == ("MitoNet", {1: "mito"})
