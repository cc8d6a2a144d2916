import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK

from planewise.errors import PlanewiseError
from planewise.viewing.slicer import markups, write_scene
from planewise.volumes.files import open_volume
from scenes import CODED, LABELS, em_scene

PLACES = [("missed: truth 3; 4 voxels", (8, 1, 5), 4)]


def test_a_scene_names_files_that_hold_the_layers(tmp_path):
    scene = em_scene(tmp_path, names={7: "ring", 300: "bar"}, places=PLACES)
    path = write_scene(scene, tmp_path / "scene")
    assert path == tmp_path / "scene" / "case.mrml"
    root = ElementTree.parse(path).getroot()
    nodes = {node.get("id"): node for node in root}
    assert len(nodes) == len(root)
    assert root.tag == "MRML"
    for node in root:  # whatever is referred to is there
        for reference in filter(None, (node.get("references") or "").split(";")):
            assert reference.partition(":")[2] in nodes
    image = root.find("Volume")
    storage = nodes[image.get("references").split(";")[1].removeprefix("storage:")]
    stored = open_volume(tmp_path / "scene" / storage.get("fileName"))
    assert np.array_equal(stored.read(), CODED)
    assert (stored.unit, stored.spacing) == ("mm", pytest.approx((0.04, 0.008, 0.004)))  # µm, as Slicer is told
    segmentations = {node.get("name"): node for node in root.iter("Segmentation")}
    assert segmentations.keys() == {"truth", "method"}
    references = dict(part.split(":") for part in segmentations["method"].get("references").split(";") if part)
    assert nodes[references["display"]].get("visibility") == "true"
    assert nodes[references["storage"]].get("fileName") == "method.seg.nrrd"
    labels = open_volume(tmp_path / "scene" / "method.seg.nrrd")
    assert np.array_equal(labels.read(), LABELS)
    assert labels.labels.names == {7: "ring", 300: "bar"}
    point = json.loads((tmp_path / "scene" / "places.mrk.json").read_text())["markups"][0]["controlPoints"][0]
    assert point["position"] == pytest.approx([5 * 0.004, 1 * 0.008, 8 * 0.04])


def test_places_lie_where_itk_says_the_voxel_is(tmp_path):
    scene = em_scene(tmp_path, places=PLACES)
    turned = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0))
    volume = replace(scene.volume, unit="mm", spacing=(5.0, 2.0, 3.0), origin=(10.0, -20.0, 30.0), direction=turned)
    layer = replace(scene.layers[0], volume=volume)
    image = SimpleITK.Image(33, 20, 12, SimpleITK.sitkUInt8)
    image.SetSpacing((3.0, 2.0, 5.0))
    image.SetOrigin((30.0, -20.0, 10.0))
    image.SetDirection(np.asarray(turned)[::-1, ::-1].ravel().tolist())
    point = markups(replace(scene, layers=[layer]))["markups"][0]["controlPoints"][0]
    assert point["position"] == pytest.approx(image.TransformIndexToPhysicalPoint((5, 1, 8)))


def test_nothing_is_written_over(tmp_path):
    scene = em_scene(tmp_path)
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "notes.txt").write_text("mine")
    with pytest.raises(PlanewiseError, match=r"--slicer .*: is not empty"):
        write_scene(scene, tmp_path / "scene")
