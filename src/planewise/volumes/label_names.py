"""The names of a label volume's values, and their colours: classes get their colours only here."""

import colorsys
from dataclasses import dataclass, field

CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00")  # Okabe and Ito: colour-blind safe
GOLDEN = 0.618034  # of a turn between the hues of one object and the next


def class_colours(names: dict[int, str]) -> dict[int, str]:
    """Return the colour "#RRGGBB" of each class, by value; it depends on the class's position in ``names``."""
    return {value: CLASS_COLOURS[place % len(CLASS_COLOURS)] for place, value in enumerate(names)}


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour "#RRGGBB"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def hexadecimal(red: int, green: int, blue: int) -> str:
    """Return a colour as "#RRGGBB"; the inverse of ``rgb``."""
    return f"#{red:02X}{green:02X}{blue:02X}"


@dataclass(frozen=True)
class LabelNames:
    """Names of classes by value; none if the labels are instances. ``given``: colours stated in a file."""

    names: dict[int, str] = field(default_factory=dict)
    given: dict[int, str] = field(default_factory=dict)

    @property
    def colours(self) -> dict[int, str]:
        """The colour "#RRGGBB" of each class, and of each other value for which a file states one."""
        return class_colours(self.names) | self.given


def object_colour(value: int) -> str:
    """Return a colour for an object by its id; consecutive ids look different."""
    parts = colorsys.hsv_to_rgb(value * GOLDEN % 1, 0.55 + 0.15 * (value % 4), 0.95)
    red, green, blue = (round(255 * part) for part in parts)
    return hexadecimal(red, green, blue)
