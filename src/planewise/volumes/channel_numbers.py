"""nnU-Net's channel numbers, ``_0000``, ``_0001``, ..., at the end of an image's name; others belong to the name."""

from functools import lru_cache
from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.volumes.json_files import read_json


def is_channel(path: Path, digits: str) -> bool | None:
    """Whether the four ``digits`` in the name of ``path`` are a channel number, and not part of the name.

    True for 0000, for channels named in the dataset.json above the folder, and for numbers beside {case}_0000. For
    others False if that dataset.json names channels, and None if nothing decides it.
    """
    number = int(digits)
    before, _, after = path.name.rpartition(f"_{digits}")
    if number == 0 or path.with_name(f"{before}_0000{after}").exists():
        return True
    named = channels_named(path)
    return number in named if named else None


def channels_named(path: Path) -> frozenset[int]:
    """Return the channels that the dataset.json above the folder of an image names; none if there is no such file."""
    meta = path.absolute().parent.with_name("dataset.json")
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
