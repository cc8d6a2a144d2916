"""One run from store to store: the parameters of its tasks, its division into slabs and blocks, its work folder."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.changed_option import changed_option
from planewise.errors import PlanewiseError
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats.ome_zarr import CHUNK, Index, create
from planewise.volumes.json_files import write_json
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import label_dtype
from planewise.volumes.slices import AXIS, Plane
from planewise.volumes.volume import Volume

LAYOUT = 4  # of the work folder
RUN = "run.json"  # in it: the run's identity
VERSION = "planewise"  # in that: the version that began it, or last went on with it
LOCK = "lock"  # in it: locked by the process that works there
BYTES_A_SLAB_VOXEL = 4  # two slabs' bits and offsets, the one that is predicted and the one that is read, runs
BYTES_A_BLOCK_VOXEL = 24  # of two blocks: the planes' runs, a plane's labels or the result, and what it is stored as


@dataclass(frozen=True)
class Job:
    """The parameters of all tasks. Paths must be the same for all processes.

    ``slabs``: for each plane, the number of slices processed at a time; ``block``: the shape of a block and of the
    results' files; ``channel``: of the source, if it has several; ``class_names``: if there are several classes.
    """

    source: Path
    work: Path
    shape: tuple[int, int, int]
    slices: SliceOptions
    grouping: GroupingOptions
    batch_size: int
    vote: int
    slabs: dict[Plane, int]
    block: tuple[int, int, int]
    channel: int | None = None
    class_names: tuple[str, ...] = ()

    def parts(self) -> list["Job"]:
        """Return the jobs that are linked and fused separately: with several classes, one for each, in its own work
        folder."""
        if not self.grouping.things:
            return [self]
        return [
            replace(self, work=self.work / f"class_{place + 1}", grouping=self.grouping.of_class(place))
            for place in range(self.grouping.classes)
        ]

    @property
    def axes(self) -> tuple[Plane, ...]:
        """The planes, in order."""
        return tuple(self.slabs)

    def starts(self, plane: Plane) -> range:
        """The first slice of every slab of a plane."""
        return range(0, self.shape[AXIS[plane]], self.slabs[plane])

    def slab(self, plane: Plane, start: int) -> slice:
        """The slices of a slab."""
        return slice(start, min(start + self.slabs[plane], self.shape[AXIS[plane]]))

    def plane_store(self, plane: Plane) -> Path:
        """Where a plane's labels are written, to be moved when all is done."""
        return self.work / f"{plane}.ome.zarr"

    def final_store(self) -> Path:
        """Where the result is written, likewise: of one plane, it is the plane's."""
        return self.work / "final.ome.zarr" if len(self.slabs) > 1 else self.plane_store(self.axes[0])

    def class_store(self) -> Path:
        """Where the class of each voxel is written, likewise, if there are several."""
        return self.work / "classes.ome.zarr"


def plan_slabs(shape: tuple[int, int, int], chunk: int, axis: int, batch_size: int, memory: int, half: int) -> int:
    """Return how many slices of a plane are worked on at a time, within ``memory`` bytes.

    A chunk's thickness ``chunk``, in whole batches as the network sees them in memory, so that each chunk is
    decompressed once; fewer slices if they do not fit. Raises PlanewiseError if not even a batch does.
    """
    pixels = int(np.prod(shape)) // max(1, shape[axis])
    fitting = memory // (BYTES_A_SLAB_VOXEL * max(1, pixels))
    least = -(-max(half, 1) // batch_size) * batch_size
    if fitting < least:
        needed = least * BYTES_A_SLAB_VOXEL * pixels / 1e9
        raise PlanewiseError(f"--memory: {least} slices of {pixels} pixels need {needed:.2g} GB beside the network")
    wanted = int(np.lcm(chunk, batch_size))
    return max(least, min(max(wanted, least), fitting // batch_size * batch_size))


def plan_block(shape: tuple[int, int, int], memory: int) -> tuple[int, int, int]:
    """Return the shape of the blocks that fit in ``memory`` bytes: whole chunks, at least one, at most 4 x 4."""
    side = 4
    while side > 1 and BYTES_A_BLOCK_VOXEL * CHUNK**3 * side**2 > memory:
        side -= 1
    z, y, x = (min(CHUNK * count, max(CHUNK, whole)) for count, whole in zip((1, side, side), shape))
    return z, y // CHUNK * CHUNK, x // CHUNK * CHUNK


def is_begun(work: Path) -> bool:
    """Whether a work folder belongs to a run that can be continued."""
    return (work / RUN).exists()


def clear_work(work: Path) -> None:
    """Remove a run's work except its lock, the description first, so that no later run continues with a part of it."""
    (work / RUN).unlink(missing_ok=True)
    for item in work.iterdir() if work.is_dir() else ():
        if item.is_dir():
            shutil.rmtree(item)
        elif item.name != LOCK:
            item.unlink()


def begin_work(work: Path, identity: dict[str, Any]) -> None:
    """Make the work folder of a run, or continue with that of a stopped one.

    ``identity``: see ``identity_of``. Raises PlanewiseError if the folder belongs to another run, or to a version of
    planewise whose work cannot be continued.
    """
    file, given = work / RUN, json.loads(json.dumps(identity, default=str))
    if file.exists():
        before = json.loads(file.read_text("utf-8"))
        other = [name for name in given if before.get(name) != given[name]]
        if "layout" in other:
            begun_by = f"planewise {before[VERSION]}" if before.get(VERSION) else "an earlier version of planewise"
            raise PlanewiseError(
                f"{work}: holds the unfinished work of {begun_by}, which planewise {version('planewise')} cannot "
                "continue; start again with --overwrite, or finish it with that version"
            )
        if other:
            raise PlanewiseError(
                f"{work}: holds the unfinished work of a run with other options "
                f"({'; '.join(changed_option(name, before.get(name), given[name]) for name in other)}); finish it as "
                "it was begun, or start again with --overwrite"
            )
    write_json(file, given | {VERSION: version("planewise")})


def identity_of(job: Job) -> dict[str, Any]:
    """Return the job's part of a run's identity: with any other value, its unfinished parts cannot be used."""
    identity = {name: getattr(job, name) for name in ("shape", "batch_size", "vote", "slabs", "block")}
    grouping = {name: value for name, value in asdict(job.grouping).items() if value != ()}  # of one class, no things
    return identity | {"layout": LAYOUT, "slices": asdict(job.slices), "grouping": grouping}


def make_store(path: Path, job: Job, like: Volume, objects: int) -> None:
    """Make an empty OME-Zarr for the labels of ``objects`` with the geometry of ``like``, if it is not there.

    The one of classes gets their names.
    """
    names = dict(enumerate(job.class_names, 1)) if path == job.class_store() else {}
    if not path.exists():
        with atomic_path(path) as temporary:
            create(
                temporary,
                job.shape,
                label_dtype(objects),
                like.spacing,
                like.unit,
                like.origin,
                job.block,
                LabelNames(names),
            )


def slab_file(job: Job, plane: Plane, start: int) -> Path:
    """Return what says that a slab is finished, and holds its chain, end runs and slices for its neighbours."""
    return job.work / plane / f"slab_{start:08d}.npz"


def runs_file(job: Job, plane: Plane, start: int, field: str) -> Path:
    """Return where a field of a slab's ``SlabRuns`` is, of which a task reads those of its block."""
    return job.work / plane / f"slab_{start:08d}_{field}.npy"


def lookup_file(job: Job, plane: Plane) -> Path:
    """Return what says that a plane is linked, and holds where each slab's labels begin in ``labels_file``."""
    return job.work / plane / "lookup.npz"


def labels_file(job: Job, plane: Plane) -> Path:
    """Return the label of every component of a plane, of which a task reads those of its slabs."""
    return job.work / plane / "labels.npy"


def final_label_files(job: Job) -> tuple[Path, Path, Path]:
    """Return what says that the vote is over, and the keys and labels of it, of which a task reads those it needs."""
    return job.work / "voted.npz", job.work / "final_keys.npy", job.work / "final_labels.npy"


def count_file(job: Job, block: Index) -> Path:
    """Return what says that a block's labels are written, and holds how they combine."""
    return job.work / "counts" / f"{_corner(block)}.npz"


def done_file(job: Job, block: Index) -> Path:
    """Return what says that a block of the result is written."""
    return job.work / "fused" / f"{_corner(block)}.npz"


def _corner(block: Index) -> str:
    return "_".join(f"{part.start:08d}" for part in block)


def save(path: Path, **arrays: Any) -> None:
    """Write arrays by name; the file appears whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array by itself, so that parts of it can be read: ``np.load`` with ``mmap_mode``."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Return what ``save`` wrote."""
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}
