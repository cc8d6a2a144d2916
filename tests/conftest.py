"""What tests share: where the real data is, if it is here, and small things to segment."""

from pathlib import Path

import numpy as np
import pytest
import torch

from planewise.progress import ON_TERMINAL
from planewise.report import tables

SHARED = Path(__file__).parents[2] / "shared"
KERNELS = {"integration", "evaluation", "inference", "interface", "measurement"}  # what compiles most of them
torch.set_num_threads(1)  # also where a fixture of a whole module is made


def pytest_collection_modifyitems(items):
    """Put ``KERNELS`` first: of two workers each begins with a half, and in a new clone no kernel is compiled twice."""
    items.sort(key=lambda item: KERNELS.isdisjoint(item.nodeid.partition("::")[0].split("/")))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # one is faster than two on a busy machine, and sums do not depend on their number


@pytest.fixture(autouse=True)
def _on_terminal(monkeypatch):
    """Tests see what a command prints; those of Python's silence take this away."""
    monkeypatch.setenv(ON_TERMINAL, "1")


@pytest.fixture(autouse=True)
def _whole_messages(monkeypatch):
    """Tests read messages in one line; how they are folded has tests that say how wide."""
    monkeypatch.setattr(tables, "LOG_WIDTH", 10_000)


@pytest.fixture
def real_data() -> Path:
    """The folder of the real datasets."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real data: {SHARED / 'data'} is absent")
    return SHARED / "data"


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> np.ndarray:
    """Return a mask of a ball."""
    grid = np.ogrid[tuple(slice(side) for side in shape)]
    return sum((g - c) ** 2 for g, c in zip(grid, centre)) <= radius**2


@pytest.fixture
def balls() -> np.ndarray:
    """Five balls apart from each other, (40, 48, 56) int32."""
    labels = np.zeros((40, 48, 56), np.int32)
    for i, centre in enumerate([(12, 12, 12), (28, 12, 40), (14, 34, 14), (26, 34, 42), (20, 24, 28)]):
        labels[ball(labels.shape, centre, 8)] = i + 1
    return labels
