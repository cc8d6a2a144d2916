"""Shared by all calls from Python: where progress is reported, and how errors name arguments."""

import difflib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from planewise.data.input_images import refuse_result
from planewise.errors import PlanewiseError
from planewise.options import Options
from planewise.progress import ProgressFunction, reported_to
from planewise.volumes.arrays import as_volume, has_coordinates
from planewise.volumes.formats import stem_of
from planewise.volumes.layers import is_layer
from planewise.volumes.volume import Volume

Job = TypeVar("Job", bound=Options)


@contextmanager
def call(progress: ProgressFunction | bool | None) -> Iterator[None]:
    """Within, progress goes to the caller's function, and errors name arguments as in Python."""
    try:
        with reported_to(progress):
            yield
    except PlanewiseError as error:
        error.args = (as_arguments(str(error)),)
        raise


def as_arguments(message: str) -> str:
    """Return a message about options with the names of arguments: ``--min_size -1: ...`` becomes ``min_size=-1: ...``.

    Values are written as in Python: ``--intensity LOW HIGH`` becomes ``intensity=(LOW, HIGH)``.
    """
    message = re.sub(r"--(\w+) ([A-Z]+) ([A-Z]+)\b", r"\1=(\2, \3)", message)
    message = re.sub(r"--(invert|ignore_geometry|overwrite|from_scratch)\b", r"\1=True", message)
    message = re.sub(r"^--(\w+) |--(\w+) (?=[A-Z]+\b)", r"\1\2=", message)
    return re.sub(r"--(\w+)", r"\1", message)


def options_of(kind: type[Job], given: dict[str, Any], without: Collection[str] = (), **fixed: Any) -> Job:
    """Return a command's options, as it declares them, from the arguments that a caller has ``given``.

    ``without``: options without meaning in a call from Python. Raises PlanewiseError for one of these, for an unknown
    option, or for a value that is not allowed.
    """
    allowed = [name for name in kind.model_fields if name not in fixed and name not in without]
    for name in given:
        if name not in allowed:
            like = difflib.get_close_matches(name, allowed, 1)
            meant = f"; did you mean {like[0]}?" if like else "."
            raise PlanewiseError(f"{name}: is no option here{meant} There are {', '.join(allowed)}")
    return kind(**given, **fixed)


def path_of(given: Any, argument: str) -> Path:
    """Return a path given by a caller. Raises PlanewiseError if it is not a path."""
    if not isinstance(given, str | os.PathLike):
        raise PlanewiseError(f"{argument}: is {type(given).__name__}; it must be a path")
    return Path(given)


def image_of(given: Any, name: str, channel: int | None = None) -> Volume:
    """Return the image that a caller gives as the argument ``name``.

    Raises PlanewiseError if it is no volume, or the path of one that planewise predicted.
    """
    if isinstance(given, str | os.PathLike):
        refuse_result(Path(given))
    return as_volume(given, channel, name=name)


def name_of(given: Any, otherwise: str) -> str:
    """Return the name of a volume: that of its file, of its layer in napari, or of its array in xarray.

    Those of other arrays, such as zarr's or dask's, are keys that nobody gave them.
    """
    if isinstance(given, str | os.PathLike):
        return stem_of(Path(given)) or Path(given).name
    if not is_layer(given) and not has_coordinates(given):
        return otherwise
    name = given[1].get("name") if isinstance(given, tuple) else getattr(given, "name", None)
    key = getattr(getattr(given, "data", None), "name", None)  # which xarray takes from dask
    return name if isinstance(name, str) and name not in ("", key) else otherwise
