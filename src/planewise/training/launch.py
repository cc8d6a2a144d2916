"""The processes of a training: one for each device of each node."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from planewise.errors import PlanewiseError, WorkFailed
from planewise.locks import alone
from planewise.processes import in_thread
from planewise.training.loop_options import LoopOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Result = TypeVar("Result")


def fabric_of(options: LoopOptions) -> "Fabric":
    """Return the Fabric that connects the processes of a training.

    Raises PlanewiseError if they cannot share a batch, or if the processes of several nodes were not started.
    """
    from lightning_fabric import Fabric  # imports as slowly as torch, and only a training needs it

    world = options.devices * options.num_nodes
    if options.batch_size % world:
        raise PlanewiseError(
            f"--batch_size {options.batch_size} cannot be shared by --devices {options.devices}"
            f"{f' on --num_nodes {options.num_nodes}' if options.num_nodes > 1 else ''}; make it a multiple"
        )
    if options.num_nodes > 1 and int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", 1))) != world:
        raise PlanewiseError(
            f"--num_nodes {options.num_nodes}: {world} processes are needed, one for each device of each node, started "
            "by srun or torchrun (see docs/scaling.md)"
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # planewise prints its own messages
    return Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy="ddp" if options.num_nodes > 1 else "ddp_spawn" if options.devices > 1 else "auto",
        precision="bf16-mixed" if options.precision == "bf16" else "32-true",
    )


@contextmanager
def training_alone(folder: Path, name: str, option: str, num_nodes: int = 1) -> Iterator[None]:
    """In here no other process trains a model called ``name`` in ``folder``, which is made if needed.

    ``option``: names the model. Of several nodes, the first process holds the lock for all. Raises PlanewiseError if
    another training runs there, or if the folder cannot be written.
    """
    if num_nodes > 1 and int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) > 0:
        yield
        return
    lock = folder / f".{name}.lock"
    new: list[Path] = []
    taken = f"{folder}: a training of {name} is running there; wait for its end, or give another {option}"
    try:
        with ExitStack() as closing:
            try:
                new = [place for place in (folder, *folder.parents) if not place.exists()]
                closing.enter_context(alone(lock, taken))
            except OSError as error:
                raise PlanewiseError(f"{folder}: cannot be written ({error.strerror}); give another folder") from error
            yield
    finally:
        with suppress(OSError):  # what is not empty stays
            for place in new:
                place.rmdir()


def launch(fabric: "Fabric", options: LoopOptions, work: Callable[["Fabric"], Result], last: Path) -> Result:
    """Do ``work`` in each process, all of which are started here on one node; return the first one's result.

    ``last``: the checkpoint that a stopped training is resumed from.

    Raises WorkFailed if a process dies, and PlanewiseError if one fails.
    """
    try:
        if options.devices > 1 and options.num_nodes == 1:
            return in_thread(partial(fabric.launch, work))
        return fabric.launch(work)
    except ProcessExitedException as error:
        go_on = "go on with --resume" if last.exists() else "nothing was saved before: begin anew without --resume"
        raise WorkFailed(
            f"one of {options.devices} training processes died ({error.signal_name or error.exit_code}: killed, or "
            f"out of memory), and the others were ended; {go_on}, or with a smaller --batch_size"
        ) from error
    except ProcessRaisedException as error:  # with a traceback as its text
        raise PlanewiseError(f"a training process failed: {str(error).strip().splitlines()[-1]}") from error
