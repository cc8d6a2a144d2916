"""A later scan and the first: registered, with their changes, or with the reasons why they cannot be compared."""

from dataclasses import asdict, dataclass, replace

from planewise.apps.ild.followed_segmentation import Examined
from planewise.apps.ild.followed_slides import PairSlide, pair_slides
from planewise.apps.ild.options import WINDOWS
from planewise.data.window import apply_window
from planewise.measurement.classes import MeasuredClasses
from planewise.measurement.extent import count_voxels
from planewise.progress import say
from planewise.serial.change import Change, Measures, carried_extents, changes, measures_of
from planewise.serial.comparability import Scan
from planewise.serial.registration import register
from planewise.serial.retakes import AIR_HU


@dataclass(frozen=True)
class Pair:
    """A later scan and the first: the ``reasons`` why they cannot be compared, or else their changes.

    ``doubts``: doubts about comparing them; ``overlap``: Dice of the lungs after registration; ``folded``: see
    ``Registration``; ``slides``: pictures of both.
    """

    first: Scan
    second: Scan
    reasons: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    rows: tuple[Change, ...] = ()
    overlap: float = 0.0
    folded: float = 0.0
    slides: tuple[PairSlide, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.first.name} and {self.second.name}"

    def main(self) -> Change | None:
        """Return the change that decides on progression: of fibrosis in both lungs, or of all classes without it."""
        whole = {row.group: row for row in self.rows if not row.region and row.unit == "percent"}
        return whole.get("total_fibrosis") or whole.get("total_extent")

    def about(self) -> dict[str, object]:
        """Return the content of the pair for JSON."""
        return {
            "first": asdict(self.first),
            "second": asdict(self.second),
            "reasons_against": list(self.reasons),
            "doubts": list(self.doubts),
            "dice_of_lungs": self.overlap,
            "folded": self.folded,
            "changes": [asdict(row) for row in self.rows],
        }


def compare(
    pair: Pair, first: Examined, second: Examined, retaken: dict[str, list[Measures]], classes: MeasuredClasses
) -> Pair:
    """Register two scans and return the pair with its changes; ``retaken``: the measures of retakes, by scan.

    Raises PlanewiseError if they cannot be registered.
    """
    say(f"{pair.name}: registering")
    registration = register(
        first.hu,
        first.regions.sides,
        first.regions.spacing_mm,
        second.hu,
        second.regions.sides,
        second.regions.spacing_mm,
    )
    groups = classes.groups()
    before = count_voxels(first.labels, first.regions)
    rows = changes(
        measures_of(before, groups),
        measures_of(count_voxels(second.labels, second.regions), groups),
        measures_of(carried_extents(second.labels, second.regions.sides, registration, first.regions), groups),
        retaken[first.scan.name],
        retaken[second.scan.name],
        before.lung_ml,
    )
    level, width = WINDOWS["lung"]
    carried_hu = registration.carry(second.hu, labels=False, fill=AIR_HU)
    slides = pair_slides(
        apply_window(first.hu, level, width),
        apply_window(carried_hu, level, width),
        first.labels,
        registration.carry(second.labels),
        first.regions.sides,
        classes.names,
        first.regions.spacing_mm[1:],
    )
    return replace(
        pair, rows=tuple(rows), overlap=registration.overlap, folded=registration.folded, slides=tuple(slides)
    )
