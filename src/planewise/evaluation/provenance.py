"""What a folder of predictions says about how they came about: a small file beside them."""

import json
from pathlib import Path

from planewise.volume import atomic_path

PROMPTS_FILE = "prompts.json"
UNKNOWN = "unknown"


def write_prompts(folder: Path, prompts: str, components: str, model: str) -> None:
    """Say in ``folder`` where the boxes that its predictions grew from came from."""
    with atomic_path(folder / PROMPTS_FILE) as temporary:
        content = {"prompts": prompts, "components": components, "model": model}
        temporary.write_text(json.dumps(content), "utf-8")


def read_prompts_note(folder: Path) -> str:
    """Return where the boxes of the predictions in ``folder`` came from, "unknown" if it does not say."""
    try:
        return str(json.loads((folder / PROMPTS_FILE).read_text("utf-8")).get("prompts", UNKNOWN))
    except (OSError, ValueError, AttributeError):
        return UNKNOWN
