"""Selects the one volume in a container of named arrays."""

from pathlib import Path

from planewise.errors import PlanewiseError


def only_volume(path: Path, names: list[str]) -> str:
    """Return the one name. Raises PlanewiseError, listing them, if there are none or several."""
    if len(names) != 1:
        listed = f" ({', '.join(names[:5])})" if names else ""
        raise PlanewiseError(
            f"{path}: holds {len(names)} volumes{listed}; one is needed: copy it to a separate file or OME-Zarr"
        )
    return names[0]
