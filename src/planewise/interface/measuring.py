"""The functions that measure objects in labels, or classes within the lungs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planewise.apps.mito.measure import resident
from planewise.data.space import in_place_of, laid_on
from planewise.errors import PlanewiseError
from planewise.interface.calls import call, image_of, name_of
from planewise.measurement.measuring import measure_volume
from planewise.measurement.regions import ZoneRule
from planewise.measurement.tables import contact_rows, distribution_rows, object_rows, volume_rows
from planewise.measurement.volume_measures import Measured
from planewise.progress import ProgressFunction, say
from planewise.volumes.arrays import as_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import as_labels
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Measures:
    """Measures of the objects of a volume, see docs/measure.md; ``case``: the volume's name."""

    case: str
    measured: Measured

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row for each object."""
        return _frame(object_rows({self.case: self.measured}))

    def contacts(self) -> "pandas.DataFrame":
        """Return one row for each pair of touching objects."""
        return _frame(contact_rows({self.case: self.measured}))

    def volume(self) -> "pandas.DataFrame":
        """Return the measures of the volume as a whole, such as the number and density of objects: one row."""
        return _frame(volume_rows({self.case: self.measured}))

    def distributions(self) -> "pandas.DataFrame":
        """Return the distribution of each measure, corrected for objects that the border cuts."""
        return _frame(distribution_rows({self.case: self.measured}))

    def __repr__(self) -> str:
        return f"Measures({self.case}, {len(self.measured.labels)} objects; to_frame() has them)"


@dataclass(frozen=True)
class ClassMeasures:
    """Extent of each class in the lungs and their regions, see docs/measure_ct.md; ``measures`` by column."""

    case: str
    measures: dict[str, float]

    def to_frame(self) -> "pandas.DataFrame":
        """Return one row with a column for each measure."""
        return _frame([{"case": self.case, **self.measures}])

    def __repr__(self) -> str:
        return f"ClassMeasures({self.case}, {len(self.measures)} measures; to_frame() has them)"


def _frame(rows: list[dict[str, Any]]) -> "pandas.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)


def measure(
    labels: Any,
    image: Any = None,
    *,
    references: Mapping[str, Any] | None = None,
    ignore_geometry: bool = False,
    progress: ProgressFunction | bool | None = None,
) -> Measures:
    """Measure the objects of a label volume as ``planewise mito measure`` does; each label above 0 is one object.

    All arguments may be anything that ``open`` takes. ``image``: for mean intensities, and for what the labels do
    not state of their spacing. ``references``: other labels by name, to measure contacts and distances with. Raises
    PlanewiseError for an image that planewise predicted, and if one does not lie in the space of the labels; with
    ``ignore_geometry`` arrays are matched voxel by voxel.
    """
    with call(progress):
        name, path = name_of(labels, "volume"), Path("labels")
        stored = as_labels(as_volume(labels, name="labels"), path)

        def placed(given: Volume, called: str) -> Volume:
            return resident(to_canonical(laid_on(given, Path(called), stored, path, ignore_geometry)))

        others = {key: as_labels(as_volume(given, name=key), Path(key)) for key, given in (references or {}).items()}
        beside = {key: placed(given, key) for key, given in others.items()}
        canonical, shown = to_canonical(stored, labels=True), None
        if image is not None:
            opened = image_of(image, "image")
            shown = placed(opened, "image")
            canonical = in_place_of(canonical, opened)
            if stored.unit == PIXEL != canonical.unit:
                say(f"{name}: the labels state no unit of spacing; the image's spacing is taken")
        return Measures(name, measure_volume(resident(canonical), shown, beside, name))


def measure_classes(
    labels: Any,
    ct: Any,
    *,
    classes: Mapping[int, str],
    fibrosis: tuple[str, ...] = (),
    lungs: Any = None,
    zones: ZoneRule = "height",
    periphery_mm: float = 20.0,
    ignore_geometry: bool = False,
    progress: ProgressFunction | bool | None = None,
) -> ClassMeasures:
    """Measure classes within the lungs of a CT in HU, as ``planewise ild measure`` does: ml, shares, densities.

    ``labels``, ``ct``, ``lungs``: anything that ``open`` takes; without ``lungs`` they are segmented from HU.
    ``classes``: names of the label values; ``fibrosis``: those that count as fibrosis, by default reticulation and
    honeycombing. ``zones`` and ``periphery_mm``: see that command. Raises PlanewiseError for values without a class,
    or a CT that planewise predicted or that has no spacing.
    """
    from planewise.apps.ild.options import WINDOWS
    from planewise.data.prepared import as_patient
    from planewise.interface.sam2 import lungs_within
    from planewise.measurement.classes import choose_classes
    from planewise.measurement.density import refuse_unless_hu
    from planewise.measurement.extent import count_voxels, extent_measures
    from planewise.measurement.lung_measures import lung_densities
    from planewise.measurement.lungs import LungRegions

    with call(progress):
        name, path, image = name_of(labels, "volume"), Path("labels"), Path("ct")
        chosen = choose_classes(dict(classes), (), fibrosis)
        patient, hu = as_patient(name, image_of(ct, "ct"), image, None, None, *WINDOWS["lung"])
        refuse_unless_hu(hu)
        sides = lungs_within(patient, hu, image, lungs, ignore_geometry)
        stored = as_labels(as_volume(labels, name="labels"), path)
        values = to_canonical(laid_on(stored, path, patient.geometry, image, ignore_geometry), labels=True).read()
        if others := sorted(set(np.unique(values).tolist()) - {0} - set(classes)):
            raise PlanewiseError(f"labels: hold {', '.join(map(str, others[:6]))}, which classes= does not name")
        regions = LungRegions.of(sides, patient.spacing_mm, zones, periphery_mm)
        extents = count_voxels(values.astype(np.uint8), regions)
        return ClassMeasures(name, extent_measures(extents, chosen.groups()) | lung_densities(hu, sides))
