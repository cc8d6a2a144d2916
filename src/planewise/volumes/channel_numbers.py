"""nnU-Net's channel numbers, ``_0000``, ``_0001``, ..., at the end of an image's name; others belong to the name."""

import re
from functools import lru_cache
from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.volumes.json_files import read_json

IMAGES = ("imagesTr", "imagesTs")  # folders of a dataset, whose channels dataset.json names
PREDICTED = "imagesTs_"  # prefix of a method's folder of predictions in a dataset; the method's name follows
_LABELS = re.compile(rf"(labels|instances|painted)T[rs]|{PREDICTED}.+")  # its truth, and predictions of its methods


def is_channel(path: Path, digits: str) -> bool | None:
    """Whether the four ``digits`` in the name of ``path`` are a channel number, and not part of the name.

    0000 is. In a dataset's folders of labels no other number is. Elsewhere a number is if {case}_0000 lies beside, or
    if dataset.json names it as a channel of the dataset's images; False if that names only others. None: not known.
    """
    number = int(digits)
    before, _, after = path.name.rpartition(f"_{digits}")
    if number == 0:
        return True
    if _LABELS.fullmatch(path.absolute().parent.name):
        return False
    if path.with_name(f"{before}_0000{after}").exists():
        return True
    named = channels_named(path)
    return number in named if named else None


def channels_named(path: Path) -> frozenset[int]:
    """Return the channels that dataset.json names, for an image in imagesTr or imagesTs beside it; else none."""
    folder = path.absolute().parent
    if folder.name not in IMAGES:
        return frozenset()
    meta = folder.with_name("dataset.json")
    try:
        state = meta.stat()
    except OSError:
        return frozenset()
    return _channels_in(meta, (state.st_mtime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=16)  # it is asked for each file of a folder
def _channels_in(meta: Path, state: tuple[int, int, int]) -> frozenset[int]:
    """Return the channels that the dataset.json at ``meta`` names; ``state``: differs once the file has changed."""
    try:
        names = read_json(meta)["channel_names"]
    except (PlanewiseError, KeyError, TypeError):  # who reads the dataset reports it
        return frozenset()
    return frozenset(int(number) for number in names if number.isdecimal()) if isinstance(names, dict) else frozenset()
