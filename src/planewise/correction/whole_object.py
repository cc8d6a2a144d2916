"""The class of an object as a whole, if a volume beside the objects holds the class of each voxel."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from planewise.correction.actions import Label, Paint, Voxels
from planewise.correction.canvas import LARGEST
from planewise.correction.objects import find_objects, index_of
from planewise.data.panoptic import CLASSES
from planewise.errors import PlanewiseError
from planewise.volumes.indexing import check_memory
from planewise.volumes.labels import open_labels


class WholeObject(BaseModel):
    """All voxels of the ``object`` with this id get the class ``value`` in the volume of classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: Annotated[int, Field(ge=0, le=LARGEST)]
    object: Label

    def painted(self, classes: Path) -> Paint:
        """Return the action on ``classes``: ``{folder}/classes/a.tiff``, where the objects are ``{folder}/a.tiff``.

        The action holds the voxels, so that it can be done again without the objects. Raises PlanewiseError if no
        objects lie beside, or none has the id.
        """
        folder = classes.resolve().parent
        path = folder.parent / classes.name
        if folder.name != CLASSES or not path.exists():
            raise PlanewiseError(
                f"paint: {classes} is not a volume of classes beside objects, so that object {self.object} is unknown; "
                f"correct the folder {CLASSES}/ of a result that has one"
            )
        volume = open_labels(path)
        there = find_objects(volume.voxels).get(self.object)
        if there is None:
            raise PlanewiseError(f"paint: {path} has no object {self.object}")
        check_memory(tuple(stop - start for start, stop in there.box), np.dtype(np.int64))
        mask = np.asarray(volume.voxels[index_of(there.box)]) == self.object
        z, y, x = (start for start, _ in there.box)
        return Paint(where=Voxels.of(mask, (z, y, x)), label=self.value)
