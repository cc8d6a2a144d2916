"""What a folder of predictions says about how they came about: a small file beside them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import volumes_in
from planewise.volumes.json_files import read_json

PROMPTS_FILE = "prompts.json"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Provenance:
    """Where the boxes came from that predictions grew from, which objects had one, and the model."""

    prompts: str
    components: str
    model: str


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Say in ``folder`` how its predictions came about."""
    with atomic_path(folder / PROMPTS_FILE) as temporary:
        temporary.write_text(json.dumps(asdict(provenance)), "utf-8")


def refuse_other_prompts(folder: Path, provenance: Provenance) -> None:
    """Raise PlanewiseError if ``folder`` holds predictions from other boxes: what it says must be true of all."""
    before = _read(folder)
    other = [key for key in ("prompts", "components") if key in before and before[key] != getattr(provenance, key)]
    if other and volumes_in(folder):
        was = ", ".join(f"{key} {before[key]}" for key in other)
        raise PlanewiseError(
            f"{folder}: holds predictions from {was}; give another folder, or replace them: --overwrite"
        )


def read_prompts_note(folder: Path) -> str:
    """Return where the boxes of the predictions in ``folder`` came from, "unknown" if it does not say."""
    return _read(folder).get("prompts", UNKNOWN)


def _read(folder: Path) -> dict[str, str]:
    try:
        return {key: str(value) for key, value in read_json(folder / PROMPTS_FILE).items()}
    except (PlanewiseError, AttributeError):
        return {}
