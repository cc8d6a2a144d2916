"""Reads how predictions were made from the manifest beside them."""

from pathlib import Path

from planewise.data.manifest import MANIFEST, read_manifest
from planewise.errors import PlanewiseError

UNKNOWN = "unknown"


def read_prompts_note(folder: Path) -> str:
    """Return where the boxes of the predictions in ``folder`` came from, "unknown" if it does not say."""
    try:
        manifest = read_manifest(folder / MANIFEST)
    except PlanewiseError:
        return UNKNOWN
    return UNKNOWN if manifest is None else str(manifest.made_from.options.get("prompts", UNKNOWN))
