"""The options of ``planewise correct``."""

from pathlib import Path

import tyro
from pydantic import Field

from planewise.options import Options, PathText


class Correct(Options):
    """Correct label volumes, in napari or with a CSV of actions; all actions are journalled and can be undone."""

    result: tyro.conf.Positional[Path]
    """A label volume, a folder of label volumes, an .ome.zarr, or the folder of an audit plan, to correct its items."""
    worklist: Path | None = None
    """Items to go through. A CSV with the columns item, case, what, labels, z, y, x. Or results.json of planewise
    compare, or its folder: the mistakes. Or the word confidence: the objects of {case}_objects.csv, least confident
    first. Or the word agreement: the objects that the planes disagree on, from the results {case}_xy, _xz, _yz beside
    the labels."""
    method: str | None = None
    """The method whose mistakes to go through, if results.json has several methods."""
    actions: Path | None = None
    """A CSV with the columns case, action, arguments and item: do these actions without a window. See
    docs/correct.md."""
    undo: int | None = Field(None, ge=1)
    """Undo this number of the last actions, without a window."""
    replay: bool = False
    """Make the volumes again from the originals and the journals, without a window."""
    image: Path | None = None
    """The image, or a folder of images with the same names as the labels. Default: those that the results were made
    from."""
    channel: int | None = Field(None, ge=0)
    """Channel of the image, counted from 0, for images with several."""
    model: PathText | None = None
    """For volumes of classes: the SAM2 model that turns what is drawn into masks (the action segment). Default: the
    model that made the result."""
