"""The regions of the lungs by name: sides, thirds, and depths under the surface."""

from typing import Literal

LEFT, RIGHT = 1, 2
SIDES = {"left": LEFT, "right": RIGHT}
LUNG_NAMES = {value: f"{side}_lung" for side, value in SIDES.items()}  # of labels that hold the two lungs
ZONES = {"upper": 1, "middle": 2, "lower": 3}
ZoneRule = Literal["height", "volume"]
DEPTHS = {"central": 0, "peripheral": 1}
REGIONS = (*SIDES, *ZONES, *(f"{side}_{zone}" for side in SIDES for zone in ZONES), *DEPTHS)


def region_words(region: str) -> str:
    """Return the name of one of ``REGIONS`` in a sentence."""
    side = next((f"the {word} lung" for word in region.split("_") if word in SIDES), "")
    zone = next((f"the {word} third" for word in region.split("_") if word in ZONES), "")
    return " of ".join(filter(None, (zone, side))) or f"the {region} part of the lungs"
