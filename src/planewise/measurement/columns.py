"""Defines each measure of objects and of volumes once: name, unit, meaning, computation and source.

Headers of tables, the JSON and the documentation read this table.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["", "count", "length", "area", "volume", "per length", "per volume", "intensity"]


class Unit(NamedTuple):
    """The ending of a column's name, and the unit in words; both empty without a unit."""

    ending: str = ""
    words: str = ""


SIDE = "smallest voxel side"
UNITS: dict[Kind, tuple[Unit, Unit]] = {  # with a spacing, and without one
    "length": (Unit("_um", "µm"), Unit("_voxels", SIDE)),
    "area": (Unit("_um2", "µm²"), Unit("_voxels2", f"{SIDE}, squared")),
    "volume": (Unit("_um3", "µm³"), Unit("_voxels3", f"{SIDE}, cubed")),
    "per length": (Unit("_per_um", "1/µm"), Unit("_per_voxel", f"1 / {SIDE}")),
    "per volume": (Unit("_per_um3", "1/µm³"), Unit("_per_voxel3", f"1 / ({SIDE}, cubed)")),
}


def unit_of(kind: Kind, physical: bool) -> Unit:
    """Return the unit of a kind of measure, of micrometres if ``physical``, else of the smallest voxel side."""
    return UNITS.get(kind, (Unit(), Unit()))[0 if physical else 1]


@dataclass(frozen=True)
class Measure:
    """The meaning of a column; ``formula``: its computation, ``source``: its reference. ``kind``: the kind of its unit.

    Its column is named by its key and its unit, which depends on the volume's file.
    """

    meaning: str
    formula: str
    source: str = ""
    kind: Kind = ""

    def name(self, key: str, physical: bool) -> str:
        """Return ``key`` with its unit; see ``unit_of``."""
        return key + unit_of(self.kind, physical).ending


SHEPPARD = "Sheppard 1897, doi:10.1112/plms/s1-29.1.353"
MARCHING = "Lewiner et al. 2003, doi:10.1080/10867651.2003.10487582"
THINNING = "Pudney 1998, doi:10.1006/cviu.1998.0680; Nunez-Iglesias et al. 2018, doi:10.7717/peerj.4312"
DISECTOR = "Sterio 1984, doi:10.1111/j.1365-2818.1984.tb02501.x"
LANTUEJOUL = "Miles 1974; Lantuejoul 1978"

FIRST = "first voxel (lowest z, then y, then x)"

OBJECT: dict[str, Measure] = {
    "voxels": Measure("size", "number of voxels with this label", kind="count"),
    "volume": Measure("volume", "number of voxels times the volume of one voxel", kind="volume"),
    "surface": Measure("surface area", "area of a mesh of the smoothed mask, at the level that keeps its volume; "
                       "where the volume's border cuts the object, the cut face is included", MARCHING, "area"),
    "surface_to_volume": Measure("surface-to-volume ratio", "surface / volume", kind="per length"),
    "sphericity": Measure("sphericity: 1 for a sphere, less for any other shape", "surface of the sphere of the same "
                          "volume / surface", "Wadell 1932, doi:10.1086/623964"),
    "major_axis": Measure("longest axis", "of the ellipsoid with the same second moments", SHEPPARD, "length"),
    "middle_axis": Measure("middle axis", "of the same ellipsoid", SHEPPARD, "length"),
    "minor_axis": Measure("shortest axis", "of the same ellipsoid", SHEPPARD, "length"),
    "length": Measure("length of the centre line", "sum over the branches of the pruned skeleton of the smoothed mask; "
                      "the line ends about one radius before the object does", THINNING, "length"),
    "branches": Measure("number of branches of the centre line", "paths between junctions and ends of the pruned "
                        "skeleton", THINNING, "count"),
    "end_points": Measure("number of ends of the centre line", "points of the pruned skeleton at which a single branch "
                          "ends", THINNING, "count"),
    "loops": Measure("number of loops (holes through the object)", "pieces - Euler number, with cavities filled",
                     "Kong and Rosenfeld 1989, doi:10.1016/0734-189X(89)90147-3", "count"),
    "radius": Measure("mean radius along the centre line", "mean, over the voxels of the centre line, of the distance "
                      "to the nearest voxel outside the object", THINNING, "length"),
    "pieces": Measure("number of separate pieces", "26-connected components, with cavities filled", kind="count"),
    "z": Measure("position of the centroid", "mean z of its voxels' centres, measured from the centre of the volume's "
                 "first voxel", kind="length"),
    "y": Measure("position of the centroid", "mean y, in the same way", kind="length"),
    "x": Measure("position of the centroid", "mean x, in the same way", kind="length"),
    "touches_border": Measure("whether the volume's border may cut it", "1 if a voxel lies on a face of the volume, "
                              "else 0", kind="count"),
    "counted": Measure("whether it counts in the number density", f"1 if its {FIRST} lies inside the counting frame, "
                       "else 0", DISECTOR, "count"),
    "weight": Measure("weight in the distributions", "1 / probability that an object with its bounding box lies wholly "
                      "within the volume; 0 for one that touches the border", LANTUEJOUL),
    "mean_intensity": Measure("mean intensity of the image", "mean over the object's voxels", kind="intensity"),
    "confidence": Measure("the method's confidence in it", "copied from {case}_objects.csv beside the labels"),
    "contacts": Measure("number of other labels that it touches", "labels that share a voxel face with it",
                        kind="count"),
    "contact_area": Measure("total area of these contacts", "shared voxel faces, each multiplied by the cosine of the "
                            "angle between it and the smooth surface there", kind="area"),
    "reference_contacts": Measure("number of labels of the reference that it touches", "as contacts", kind="count"),
    "reference_contact_area": Measure("total area of these contacts", "as contact_area", kind="area"),
    "reference_distance": Measure("distance to the nearest label of the reference", "smallest distance between voxel "
                                  "centres: 0 if they overlap, one voxel if they touch", kind="length"),
}  # fmt: skip

VOLUME: dict[str, Measure] = {
    "objects": Measure("number of objects", "labels above 0", kind="count"),
    "touching_border": Measure("number of objects at the border", "objects with a voxel on a face of the volume",
                               kind="count"),
    "volume": Measure("volume of the sample", "number of voxels times the volume of one voxel", kind="volume"),
    "object_volume": Measure("total volume of the objects", "number of their voxels times the volume of one voxel",
                             kind="volume"),
    "volume_fraction": Measure("volume fraction", "voxels of all objects / all voxels", "Delesse 1847"),
    "frame_count": Measure("number of objects in the counting frame", f"objects whose {FIRST} lies inside the counting "
                           "frame", DISECTOR, "count"),
    "frame_volume": Measure("volume of the counting frame", "of the volume without its outermost voxels at the five "
                            "faces z = 0, y = 0, y end, x = 0, x end", DISECTOR, "volume"),
    "number_density": Measure("number density", "frame_count / frame_volume; exact for convex objects", DISECTOR,
                              "per volume"),
    "contacts": Measure("number of contacts", "pairs of labels that share a voxel face", kind="count"),
    "contact_area": Measure("total area of the contacts", "sum over all pairs", kind="area"),
}  # fmt: skip

DISTRIBUTED = ("volume", "surface", "surface_to_volume", "sphericity", "major_axis", "middle_axis", "minor_axis",
               "length", "branches", "loops", "radius", "mean_intensity", "contacts", "contact_area")  # fmt: skip


def measure_of(key: str) -> Measure:
    """Return the measure of a key in ``OBJECT``; for a key such as nucleus_distance, that of any reference."""
    if key in OBJECT:
        return OBJECT[key]
    ending = next(e for e in ("contact_area", "contacts", "distance") if key.endswith(f"_{e}"))
    return OBJECT[f"reference_{ending}"]


def definitions(measures: dict[str, Measure], physical: bool) -> dict[str, dict[str, str]]:
    """Return the meaning of the columns of ``measures`` (by key) for a JSON, by their names in tables."""
    return {
        measure.name(key, physical): {
            "unit": unit_of(measure.kind, physical).words,
            "meaning": measure.meaning,
            "formula": measure.formula,
            "source": measure.source,
        }
        for key, measure in measures.items()
    }
