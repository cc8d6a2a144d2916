"""The options of ``planewise correct``."""

from pathlib import Path

import tyro
from pydantic import Field

from planewise.options import Options, PathText


class Correct(Options):
    """Correct label volumes, in napari or by a CSV of actions; every action is journalled, and can be undone."""

    result: tyro.conf.Positional[Path]
    """A label volume, a folder of them, an .ome.zarr, or the folder of an audit plan, whose items are corrected."""
    worklist: Path | None = None
    """What to go through: a CSV of item,case,what,labels,z,y,x; results.json of planewise compare, or its folder: the
    mistakes; or a word: confidence, the objects of {case}_objects.csv, the least confident first; agreement, those that
    the planes disagree on, and that planes alone have, of the results {case}_xy, _xz, _yz beside."""
    method: str | None = None
    """The method whose mistakes are meant, where results.json has several."""
    actions: Path | None = None
    """A CSV of case,action,arguments,item: do this, without a window. See docs/correct.md."""
    undo: int | None = Field(None, ge=1)
    """Undo so many of the last actions, without a window."""
    replay: bool = False
    """Make the volumes anew from what they were before and their journals, without a window."""
    image: Path | None = None
    """The image, or a folder of images named as the labels are. Default: those that the results were made from."""
    channel: int | None = Field(None, ge=0)
    """Channel of the image, from 0, where it has several."""
    model: PathText | None = None
    """Of volumes of classes: the SAM2 model that makes masks of what is drawn (the action segment). Default: the one
    that made the result."""
