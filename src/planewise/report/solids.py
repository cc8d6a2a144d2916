"""A case in 3D: each volume as a whole, and each listed object beside its counterpart."""

import numpy as np

from planewise.evaluation.result import Benchmark, Result
from planewise.report.figures import PREDICTION_COLOUR, TRUTH_COLOUR
from planewise.report.object_rows import worst_objects
from planewise.report.sections import Box, Voxel
from planewise.report.thumbnails import HUES, box_around, hues, palette_of, picture_of
from planewise.volumes.label_names import CLASS_COLOURS

WHOLE_SIDE, WHOLE_VOXELS = 260, 110  # pixels of the picture of a volume, voxels along its longest side
OBJECT_SIDE = 84  # pixels of the picture of an object
WHOLE_BYTES = 20_000  # approximate limit for the picture of a volume in the page


class Solids:
    """The 3D drawings of a case: read the ``boxes_of`` each volume, and ``draw`` them.

    ``whole``: by "truth" and method, the picture of the volume; ``objects``: by method and row of its table, pictures
    of the true object and of its counterpart.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        results: list[Result],
        shape: Voxel,
        spacing: tuple[float, float, float],
        whole: bool,
        count: int,
    ) -> None:
        """``results``: of the case; ``whole``: whether volumes are drawn; ``count``: most objects for each method."""
        self._benchmark, self._spacing = benchmark, spacing
        self._tables = {r.method: r.objects for r in results if r.objects is not None}
        self._rows = {method: worst_objects(table, count).tolist() for method, table in self._tables.items()}
        self._whole = [box_around((0, 0, 0), shape, spacing, WHOLE_VOXELS)] if whole else []
        self._boxes = {
            (method, row): box_around(_voxel(table.both_lower[row]), _voxel(table.both_upper[row]), spacing)
            for method, table in self._tables.items()
            for row in self._rows[method]
        }
        self.whole: dict[str, str] = {}
        self.objects: dict[tuple[str, int], dict[str, str]] = {}

    @property
    def size(self) -> int:
        """The bytes of all pictures."""
        pictures = [*self.whole.values(), *(uri for pair in self.objects.values() for uri in pair.values())]
        return sum(map(len, pictures))

    def boxes_of(self, name: str) -> list[Box]:
        """Return the boxes to read of the truth or of a method."""
        return [*self._whole, *(self._boxes[place] for place in self._places(name))]

    def _places(self, name: str) -> list[tuple[str, int]]:
        return [place for place in self._boxes if name in ("truth", place[0])]

    def draw(self, name: str, crops: list[np.ndarray]) -> None:
        """Draw the boxes of the truth or of a method."""
        for box, labels in zip(self._whole, crops):
            colours, palette = self._coloured(name, labels)
            self.whole[name] = picture_of(colours, self._spacing, box.steps, WHOLE_SIDE, palette)
        colour = palette_of(TRUTH_COLOUR if name == "truth" else PREDICTION_COLOUR)
        for place, labels in zip(self._places(name), crops[len(self._whole) :], strict=True):
            table, row = self._tables[place[0]], place[1]
            label = table.truth[row] if name == "truth" else table.predicted[row]
            if label:
                steps = self._boxes[place].steps
                solid = picture_of(labels == label, self._spacing, steps, OBJECT_SIDE, colour)
                self.objects.setdefault(place, {})["truth" if name == "truth" else "predicted"] = solid

    def _coloured(self, name: str, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return labels as indices of a palette from 1, and the palette: one colour a class, or for matched objects."""
        classes, tables = self._benchmark.classes, list(self._tables.values())
        if len(classes) == 1:
            values = self._benchmark.values or tuple(classes)
            solid = labels > 0 if self._benchmark.any_label and name != "truth" else np.isin(labels, values)
            return solid.astype(np.uint8), palette_of(CLASS_COLOURS[0])
        palette = palette_of(*CLASS_COLOURS)
        if classes:
            return _looked_up(labels, np.array(list(classes)), np.arange(len(classes)) % len(palette) + 1), palette
        if not tables:
            return (labels > 0).astype(np.uint8), palette_of(TRUTH_COLOUR)
        if name == "truth":
            ids = np.unique(tables[0].truth[tables[0].truth > 0])
            return _looked_up(labels, ids, np.arange(len(ids)) % (HUES - 1) + 1), hues()
        table = self._tables[name]
        place = np.searchsorted(np.unique(table.truth[table.truth > 0]), table.truth[table.matched])
        return _looked_up(labels, table.predicted[table.matched], place % (HUES - 1) + 1, HUES), hues()


def _voxel(place: np.ndarray) -> Voxel:
    z, y, x = place.tolist()
    return z, y, x


def _looked_up(labels: np.ndarray, ids: np.ndarray, colours: np.ndarray, others: int = 0) -> np.ndarray:
    """Return the colour of each label: by its id, ``others`` for other ids, 0 for background."""
    colours_there = np.zeros(labels.shape, np.uint8)
    there = labels > 0
    order = np.argsort(ids)
    ids, colours = np.append(ids[order], 0), np.append(colours[order], others)
    place = np.searchsorted(ids[:-1], labels[there])
    colours_there[there] = np.where(ids[place] == labels[there], colours[place], others)
    return colours_there
