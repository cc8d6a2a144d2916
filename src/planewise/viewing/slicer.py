"""A scene for 3D Slicer: a ``.mrml`` file with the image in NRRD and a ``.seg.nrrd`` for each label volume.

Nodes, references and attributes have the names of scenes saved by Slicer 5.6. Opening a scene in Slicer was never
tested, because Slicer is not available where this is tested.

Slicer's unit is the millimetre, and its cameras and meshes fail at millionths of it. So a scene in nm or µm is written
in micrometres labelled as millimetres, and the scene's unit states that.
"""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from planewise.errors import PlanewiseError
from planewise.progress import progress, say
from planewise.viewing.scene import Layer, Place, Scene, contrast
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import write_volume
from planewise.volumes.json_files import write_json
from planewise.volumes.volume import Volume

VERSION = "Slicer 5.6.1 32438"  # as written by Slicer
GREY = "vtkMRMLColorTableNodeGrey"  # part of each scene
PLACES = "places.mrk.json"


def write_scene(scene: Scene, folder: Path) -> Path:
    """Write a scene and its volumes into a new folder; return the ``.mrml``, which is written last.

    Raises PlanewiseError if the folder is not empty, or the voxels do not fit in memory, as Slicer needs too.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise PlanewiseError(f"--slicer {folder}: is not empty; give a new folder")
    case = _file_name(scene.layers[0].name)
    files = {layer.name: _file_name(layer.name) + _ending(layer) for layer in scene.layers}
    if scene.volume.unit in ("nm", "um"):
        say("3D Slicer supports millimetres only: what it shows as mm in this scene is µm")
    with progress("writing", len(files), unit="layers") as advance:
        for layer in scene.layers:
            write_volume(folder / files[layer.name], in_slicer(layer.volume))
            advance(1, layer.name)
    if scene.places:
        write_json(folder / PLACES, markups(scene))
    path = folder / f"{case}.mrml"
    with atomic_path(path) as temporary:
        temporary.write_bytes(scene_xml(scene, files))
    return path


def _ending(layer: Layer) -> str:
    return ".nrrd" if layer.volume.labels is None else ".seg.nrrd"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def in_slicer(volume: Volume) -> Volume:
    """Return a volume with lengths for Slicer in "mm", which stand for µm if the volume is in nm or µm."""
    return replace(volume.in_unit("um"), unit="mm") if volume.unit in ("nm", "um") else volume


def scene_xml(scene: Scene, files: dict[str, str]) -> bytes:
    """Return the scene as MRML; ``files``: of the layers, beside it."""
    root = ElementTree.Element("MRML", version=VERSION, userTags="")
    images = [layer for layer in scene.layers if layer.volume.labels is None]
    labels = [layer for layer in scene.layers if layer.volume.labels is not None]
    first = "vtkMRMLScalarVolumeNode1"
    for number, layer in enumerate(images, 1):
        black, white = contrast(layer)
        level = {"window": f"{white - black:g}", "level": f"{(white + black) / 2:g}", "autoWindowLevel": "0"}
        shown = {"colorNodeID": GREY, "visibility": "true"}
        display = _add(root, "VolumeDisplay", "ScalarVolumeDisplay", number, **level, **shown)
        storage = _add(root, "VolumeArchetypeStorage", "VolumeArchetypeStorage", number, fileName=files[layer.name])
        _add(root, "Volume", "ScalarVolume", number, name=layer.name, references=_references(display, storage))
    for number, layer in enumerate(labels, 1):
        shown = {"visibility": str(layer.shown).lower(), "PreferredDisplayRepresentationName2D": "Binary labelmap"}
        display = _add(root, "SegmentationDisplay", "SegmentationDisplay", number, **shown)
        storage = _add(root, "SegmentationStorage", "SegmentationStorage", number, fileName=files[layer.name])
        geometry = f"referenceImageGeometryRef:{first};" if images else ""
        references = f"{_references(display, storage)}{geometry}"
        _add(root, "Segmentation", "Segmentation", number, name=layer.name, references=references)
    if scene.places:
        display = _add(root, "MarkupsFiducialDisplay", "MarkupsFiducialDisplay", 1, visibility="true")
        storage = _add(root, "MarkupsJsonStorage", "MarkupsJsonStorage", 1, fileName=PLACES)
        _add(root, "MarkupsFiducial", "MarkupsFiducial", 1, name="places", references=_references(display, storage))
    if images:
        _add(root, "Selection", "Selection", "Singleton", singletonTag="Singleton", references=f"ActiveVolume:{first};")
        for plane in ("Red", "Yellow", "Green"):
            _add(
                root,
                "SliceComposite",
                "SliceComposite",
                plane,
                singletonTag=plane,
                layoutName=plane,
                references=f"backgroundVolume:{first};",
            )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _add(root: ElementTree.Element, tag: str, kind: str, number: int | str, **about: str) -> str:
    """Add a node to the scene and return its id."""
    node = f"vtkMRML{kind}Node{number}"
    ElementTree.SubElement(root, tag, {"id": node, **about})
    return node


def _references(display: str, storage: str) -> str:
    return f"display:{display};storage:{storage};"


def markups(scene: Scene) -> dict[str, object]:
    """Return places as Slicer's markups, in patient space: towards left, posterior, superior."""
    points = [_control_point(number, place, in_slicer(scene.volume)) for number, place in enumerate(scene.places, 1)]
    return {
        "@schema": "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
        "markups-schema-v1.0.3.json#",
        "markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points}],
    }


def _control_point(number: int, place: Place, volume: Volume) -> dict[str, object]:
    steps = [index * size for index, size in zip(place.at, volume.spacing)]
    z, y, x = (
        start + sum(part * step for part, step in zip(row, steps))
        for start, row in zip(volume.origin, volume.direction)
    )
    return {"id": str(number), "label": str(number), "description": place.what, "position": [x, y, z]}
