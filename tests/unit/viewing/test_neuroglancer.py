"""What neuroglancer gets: chunks and meshes in x, y, z, and the state of the viewer."""

import io
import re
import struct
import zlib

import neuroglancer.static
import numpy as np
import pytest

from planewise.viewing.neuroglancer_client import SET, UNSET, Client
from planewise.viewing.neuroglancer_server import segment_names, state_of
from planewise.viewing.neuroglancer_source import VolumeSource, position_of, view_of
from planewise.volumes.volume import Volume
from scenes import CODED, LABELS, SHAPE, em_scene

NM = 1e-9


def chunk(source, start, end, step="1,1,1"):
    """A chunk as the browser decodes it: axes x, y, z, of which x is the fastest."""
    data, kind = source.get_encoded_subvolume("npz", np.array(start), np.array(end), step)
    assert kind == "application/octet-stream"
    voxels = np.load(io.BytesIO(zlib.decompress(data)))
    assert voxels.flags.f_contiguous
    return voxels


@pytest.mark.parametrize("ending", [".tiff", ".ome.zarr"])
def test_a_chunk_is_the_voxels_that_were_asked_for(tmp_path, ending):
    image, _, method = em_scene(tmp_path, ending).layers
    assert np.array_equal(chunk(VolumeSource(image), (3, 5, 1), (9, 20, 4)), CODED[1:4, 5:20, 3:9].T)
    assert np.array_equal(chunk(VolumeSource(method), (0, 0, 0), SHAPE[::-1]), LABELS.T)


@pytest.mark.parametrize("levels", [8, 256])
def test_far_away_labels_are_thinned_and_images_averaged(tmp_path, monkeypatch, levels):
    """From a smaller copy where there is one, else on the way."""
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.LEAST_LEVEL", levels)
    image, _, method = em_scene(tmp_path).layers
    assert np.array_equal(chunk(VolumeSource(method), (0, 0, 0), (17, 10, 6), "2,2,2"), LABELS[::2, ::2, ::2].T)
    assert np.array_equal(chunk(VolumeSource(method), (1, 1, 0), (9, 5, 12), "4,4,1"), LABELS[:, 4::4, 4::4].T)
    seen = chunk(VolumeSource(image), (0, 0, 0), (17, 10, 12), "2,2,1")
    means = CODED[:, :, :32].reshape(12, 10, 2, 16, 2).mean(axis=(2, 4))
    assert np.abs(seen.T[:, :, :16].astype(float) - means).max() <= 1


@pytest.mark.parametrize(
    ("start", "end", "step", "form"),
    [
        ((0, 0, 0), (34, 1, 1), "1,1,1", "npz"),
        ((5, 0, 0), (4, 1, 1), "1,1,1", "npz"),
        ((0, 0, 0), (1, 1, 1), "0,1,1", "npz"),
        ((0, 0), (1, 1), "1,1", "npz"),
        ((0, 0, 0), (1, 1, 1), "1,1,1", "raw"),
        ((0, 0, 0), (1, 1, 1), "a,1,1", "npz"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, start, end, step, form):
    with pytest.raises(ValueError, match=r"request|invalid"):
        VolumeSource(em_scene(tmp_path).layers[0]).get_encoded_subvolume(form, np.array(start), np.array(end), step)


@pytest.mark.parametrize("most", [2**27, 6 * 10 * 17])
def test_the_mesh_of_an_object_lies_where_the_object_does(tmp_path, monkeypatch, most):
    """In metres, x, y, z; of a smaller copy, within one of its voxels."""
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.LEAST_LEVEL", 8)
    monkeypatch.setattr("planewise.viewing.neuroglancer_source.MESHED", most)
    data = VolumeSource(em_scene(tmp_path).layers[2]).get_object_mesh(7)
    count = struct.unpack("<I", data[:4])[0]
    vertices = np.frombuffer(data, "<f4", 3 * count, offset=4).reshape(-1, 3)
    low, high = np.array([20 * 4, 4 * 8, 2 * 40]) * NM, np.array([30 * 4, 14 * 8, 6 * 40]) * NM
    voxel = np.array([4, 8, 40]) * NM * (1 if most == 2**27 else 2)
    assert (np.abs(vertices.min(axis=0) - low) <= voxel).all()
    assert (np.abs(vertices.max(axis=0) - high) <= voxel).all()


def test_no_object_no_mesh(tmp_path):
    from neuroglancer.local_volume import InvalidObjectIdForMesh

    with pytest.raises(InvalidObjectIdForMesh):
        VolumeSource(em_scene(tmp_path).layers[2]).get_object_mesh(5)


def test_types_that_neuroglancer_does_not_know(tmp_path):
    from planewise.viewing.scene import image_layer
    from planewise.volumes.files import write_volume

    write_volume(tmp_path / "a.tiff", Volume(np.arange(24, dtype=np.float64).reshape(2, 3, 4) / 4))
    source = VolumeSource(image_layer("a", tmp_path / "a.tiff", None)[0])
    assert source.info()["dataType"] == "float32"
    assert chunk(source, (0, 0, 0), (4, 3, 2)).tolist() == (np.arange(24).reshape(2, 3, 4) / 4).T.tolist()


def test_the_state_shows_every_layer(tmp_path):
    places = [
        ("merge: truth 1, 2; predicted 7; 12 voxels", (2, 4, 20), 12),
        ("missed: truth 3; 4 voxels", (8, 1, 5), 4),
    ]
    scene = em_scene(tmp_path, names={7: "ring", 300: "bar"}, places=places, chosen={"method": 7})
    state = state_of(scene, {"method": "precomputed://http://127.0.0.1:1/names/t/0"}).to_json()
    assert state["dimensions"] == {"x": [4 * NM, "m"], "y": [8 * NM, "m"], "z": [40 * NM, "m"]}
    assert state["position"] == [16.5, 10.5, 6.5]
    assert state["title"] == "case - planewise"
    image, truth, method, listed = state["layers"]
    assert [layer["name"] for layer in state["layers"]] == ["case", "truth", "method", "places"]
    assert [layer["type"] for layer in state["layers"]] == ["image", "segmentation", "segmentation", "annotation"]
    assert truth["visible"] is False
    assert method.get("visible", True)
    black, white = image["shaderControls"]["normalized"]["range"]
    assert 0 <= black < 10_000
    assert 100_000 < white < 112_000
    assert method["segments"] == ["7"]
    assert truth["segments"] == ["7", "300"]
    assert (
        method["segmentColors"] == {"7": "#e69f00", "300": "#56b4e9"}
        or method["segmentColors"]["7"].upper() == "#E69F00"
    )
    assert method["source"][1]["url"].startswith("precomputed://")
    assert [point["point"] for point in listed["annotations"]] == [[20.5, 4.5, 2.5], [5.5, 1.5, 8.5]]
    assert listed["annotations"][0]["description"] == places[0][0]
    assert state["selectedLayer"] == {"layer": "places", "visible": True}


def test_names_as_segment_properties(tmp_path):
    layer = em_scene(tmp_path, names={7: "ring", 300: "bar"}).layers[2]
    assert segment_names(layer) == {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": ["7", "300"],
            "properties": [{"id": "label", "type": "label", "values": ["ring", "bar"]}],
        },
    }


def test_a_patient_is_seen_from_the_front_and_an_em_volume_as_it_lies(tmp_path):
    assert "crossSectionOrientation" not in view_of(em_scene(tmp_path))
    turn = view_of(em_scene(tmp_path, ".nii.gz"))["crossSectionOrientation"]
    x, y, z, w = turn
    down = np.array([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)])  # where (0, 1, 0) goes
    assert np.allclose(down, [0, 0, -1])  # feet are down
    assert position_of((1, 2, 3)) == [3.5, 2.5, 1.5]


def test_a_damaged_chunk_is_said_and_the_others_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.CHUNK", 4)
    source = VolumeSource(em_scene(tmp_path).layers[0])
    (tmp_path / "image.ome.zarr" / "0" / "c" / "0" / "0" / "0").write_bytes(b"nothing of a shard")
    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            chunk(source, (0, 0, 0), (4, 4, 4))
    assert " ".join(capsys.readouterr().err.split()).count("image.ome.zarr: cannot be read") == 1
    assert np.array_equal(chunk(source, (16, 16, 0), (20, 20, 4)), CODED[:4, 16:20, 16:20].T)


def test_the_client_is_the_package_s_but_for_the_field_that_was_unset():
    """Also fails when a new version of the package calls it otherwise."""
    packaged = neuroglancer.static.ImportlibResourcesContentSource()
    page = packaged.get_content("index.html").decode()
    scripts = re.findall(r'src="([^"]+\.js)"', page)
    assert Client().get_content("index.html").decode() == page
    assert [packaged.get_content(name).count(UNSET) for name in scripts] == [0] * (len(scripts) - 1) + [1]
    assert all(Client().get_content(name) == packaged.get_content(name).replace(UNSET, SET) for name in scripts)
    with pytest.raises(ValueError, match="Invalid static resource"):
        Client().get_content("../secret.js")
