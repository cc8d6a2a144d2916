"""How many objects the limits left out: what explains a result that is empty."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dropped:
    """The objects that were dropped by each limit, by the first of them that they did not reach, and those ``kept``."""

    agreement: int = 0
    size: int = 0
    extent: int = 0
    kept: int = 0

    def __add__(self, other: "Dropped") -> "Dropped":
        return Dropped(
            self.agreement + other.agreement,
            self.size + other.size,
            self.extent + other.extent,
            self.kept + other.kept,
        )


NONE_DROPPED = Dropped()
