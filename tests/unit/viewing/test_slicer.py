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

# Of each node, as Slicer 5.6 saves it: its class, the roles of its references, and the tags of its singletons
SAVED = {
    "Volume": ("vtkMRMLScalarVolumeNode", {"display", "storage"}, ""),
    "VolumeDisplay": ("vtkMRMLScalarVolumeDisplayNode", set(), ""),
    "VolumeArchetypeStorage": ("vtkMRMLVolumeArchetypeStorageNode", set(), ""),
    "Segmentation": ("vtkMRMLSegmentationNode", {"display", "storage", "referenceImageGeometryRef"}, ""),
    "SegmentationDisplay": ("vtkMRMLSegmentationDisplayNode", set(), ""),
    "SegmentationStorage": ("vtkMRMLSegmentationStorageNode", set(), ""),
    "MarkupsFiducial": ("vtkMRMLMarkupsFiducialNode", {"display", "storage"}, ""),
    "MarkupsFiducialDisplay": ("vtkMRMLMarkupsFiducialDisplayNode", set(), ""),
    "MarkupsJsonStorage": ("vtkMRMLMarkupsJsonStorageNode", set(), ""),
    "Selection": ("vtkMRMLSelectionNode", {"ActiveVolume"}, "Singleton"),
    "SliceComposite": ("vtkMRMLSliceCompositeNode", {"backgroundVolume"}, "Red Yellow Green"),
}
READ_BY = {  # endings of what a storage node reads
    "VolumeArchetypeStorage": ".nrrd",
    "SegmentationStorage": ".seg.nrrd",
    "MarkupsJsonStorage": ".mrk.json",
}
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


def test_nodes_are_those_that_slicer_itself_saves(tmp_path):
    path = write_scene(em_scene(tmp_path, places=PLACES), tmp_path / "scene")
    root = ElementTree.parse(path).getroot()
    assert root.get("version") == "Slicer 5.6.1 32438"
    assert {node.tag for node in root} == SAVED.keys()
    stored = set()
    for node in root:
        kind, roles, singletons = SAVED[node.tag]
        identity, tag = node.get("id"), node.get("singletonTag", "")
        assert tag in singletons.split(" ")
        assert identity == kind + (tag or identity.removeprefix(kind))
        assert tag or identity.removeprefix(kind).isdecimal()
        references = dict(part.split(":") for part in node.get("references", "").split(";") if part)
        assert references.keys() == roles
        for role in ("display", "storage") if "storage" in roles else ():  # Slicer shows nothing without a display node
            assert root.find(f"*[@id='{references[role]}']").tag.lower().endswith(role)
        if node.tag in READ_BY:
            assert node.get("fileName").endswith(READ_BY[node.tag])
            stored.add(node.get("fileName"))
    assert stored == {file.name for file in path.parent.iterdir()} - {path.name}
    assert root.find("VolumeDisplay").get("colorNodeID") == "vtkMRMLColorTableNodeGrey"
    assert root.find("VolumeDisplay").get("autoWindowLevel") == "0"


def test_segments_have_the_keys_that_slicer_reads(tmp_path):
    write_scene(em_scene(tmp_path, names={7: "ring", 300: "bar"}), tmp_path / "scene")
    image = SimpleITK.ReadImage(str(tmp_path / "scene" / "method.seg.nrrd"))
    about = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("Segment")}
    assert about["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    for number, (value, name) in enumerate({7: "ring", 300: "bar"}.items()):
        of_segment = {key: about[f"Segment{number}_{key}"] for key in ("ID", "Name", "LabelValue", "Layer", "Extent")}
        z, y, x = (places for places in np.nonzero(value == LABELS))
        extent = f"{x.min()} {x.max()} {y.min()} {y.max()} {z.min()} {z.max()}"
        assert of_segment == {
            "ID": f"Segment_{value}",
            "Name": name,
            "LabelValue": str(value),
            "Layer": "0",
            "Extent": extent,
        }
        assert all(0 <= float(part) <= 1 for part in about[f"Segment{number}_Color"].split())


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
