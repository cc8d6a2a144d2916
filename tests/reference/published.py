"""What the published programs gave; see README.md."""

from pathlib import Path

import numpy as np


def published(file: str, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of ``name`` in ``file``."""
    with np.load(Path(__file__).parent / f"{file}.npz") as arrays:
        return {key.removeprefix(f"{name}/"): arrays[key] for key in arrays if key.startswith(f"{name}/")}
