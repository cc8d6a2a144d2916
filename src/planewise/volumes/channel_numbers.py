"""nnU-Net's channel numbers, ``_0000``, ``_0001``, ..., at the end of an image's name; others belong to the name."""

from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.volumes.json_files import read_json


def is_channel(path: Path, digits: str) -> bool | None:
    """Whether the four ``digits`` in the name of ``path`` are a channel number, and not part of the name.

    True for 0000, for channels named in the dataset.json above the folder, and for numbers beside {case}_0000. For
    others False if that dataset.json names channels, and None if nothing decides it.
    """
    number, named = int(digits), channels_named(path)
    before, _, after = path.name.rpartition(f"_{digits}")
    if number == 0 or number in named or path.with_name(f"{before}_0000{after}").exists():
        return True
    return False if named else None


def channels_named(path: Path) -> set[int]:
    """Return the channels that the dataset.json above the folder of an image names; none if there is no such file."""
    meta = path.absolute().parent.with_name("dataset.json")
    try:
        names = read_json(meta)["channel_names"] if meta.is_file() else {}
    except (PlanewiseError, KeyError, TypeError):  # reported when the dataset is read
        return set()
    return {int(number) for number in names if number.isdecimal()} if isinstance(names, dict) else set()
