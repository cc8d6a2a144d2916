"""What containers of arrays by name have in common: the one volume in them, and its spacing."""

from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError

Spacing = tuple[float, float, float]


def only_volume(path: Path, names: list[str]) -> str:
    if len(names) != 1:
        listed = f" ({', '.join(names[:5])})" if names else ""
        raise PlanewiseError(
            f"{path}: holds {len(names)} volumes{listed}; one is needed: copy it to a file, or an OME-Zarr, of its own"
        )
    return names[0]


def spacing_in_nm(sizes: Any, in_nm: float) -> Spacing | None:
    if sizes is None:
        return None
    z, y, x = (float(size) * in_nm for size in sizes)
    return z, y, x
