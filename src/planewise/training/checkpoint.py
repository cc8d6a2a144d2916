"""Checkpoints: everything that a training needs to go on as if it had not stopped."""

from pathlib import Path
from typing import Any

import torch

from planewise.errors import PlanewiseError
from planewise.volumes.atomic import atomic_path


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, and lists and dicts of them); a killed run leaves the old file."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, to the CPU. Raises PlanewiseError if it is missing or damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise PlanewiseError(f"{path}: no checkpoint there; train without --resume") from error
    except Exception as error:  # a damaged file fails in many ways
        raise PlanewiseError(f"{path}: is not a readable checkpoint ({str(error).splitlines()[0]})") from error
