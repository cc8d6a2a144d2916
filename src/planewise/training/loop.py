"""The training loop. It reads from top to bottom; what differs between models is behind ``Task``."""

import csv
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from planewise.errors import PlanewiseError
from planewise.processes import end_with_parent, in_thread, shielded
from planewise.progress import progress, say
from planewise.training.checkpoint import load_checkpoint, save_checkpoint
from planewise.training.sampling import SampleRange

Batch = dict[str, Tensor]
LAST, BEST, METRICS, CURVE = "last.ckpt", "best.ckpt", "metrics.csv", "training_curve.png"


class Task(Protocol):
    """What the loop must know of a model and its data."""

    @property
    def network(self) -> nn.Module:
        """The network to train; its parameters that need no gradient stay as they are."""
        ...

    def sample(self, index: int) -> Any:
        """Return the ``index``-th training sample: a function of the seed and the index alone."""
        ...

    def collate(self, samples: list[Any]) -> Batch:
        """Return the batch of some samples: tensors with the batch axis first."""
        ...

    def train_mode(self) -> None:
        """Put the network into training mode, all but its frozen parts."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return scalar loss terms of a batch, among them ``total``; ``network`` is ``self.network``, wrapped."""
        ...

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return metrics on validation data, among them ``score``, of which more is better."""
        ...


@dataclass(frozen=True)
class LoopOptions:
    """How long and how to train. The batch is shared between devices."""

    iterations: int
    batch_size: int
    learning_rate: float  # peak of the OneCycle schedule
    seed: int
    checkpoint_interval: int  # steps between validations, each with a checkpoint
    accelerator: str  # cpu, cuda, mps
    devices: int  # of each node
    precision: Literal["32", "bf16"]
    num_workers: int
    identity: dict[str, Any]  # what else makes this training what it is: compared before one is resumed
    weight_decay: float = 0.1  # none on biases and norms
    warm_up: float = 0.3  # share of the steps in which the rate rises
    clip_norm: float | None = None  # largest norm of all gradients together
    num_nodes: int = 1  # with several, each process is started from outside (torchrun, srun)


def train(task: Task, options: LoopOptions, folder: Path, resume: bool) -> bool:
    """Train ``task.network`` and leave in ``folder``: last and best checkpoint, metrics.csv.

    With ``resume`` the training goes on from the last checkpoint, to the same result as if it had not stopped; a
    finished one is left as it is. With several devices each process takes its share of every batch: gradients and the
    losses in metrics.csv are means over them, batch norms see their own share alone, and the first process writes.
    Returns whether this is the first process, which has the result; of several nodes there is one.
    Raises PlanewiseError if the batch cannot be shared, a checkpoint is unusable, or a process dies.
    """
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
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # we say ourselves what is worth saying
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy="ddp" if options.num_nodes > 1 else "ddp_spawn" if options.devices > 1 else "auto",
        precision="bf16-mixed" if options.precision == "bf16" else "32-true",
    )
    launch = partial(fabric.launch, partial(_train, task=task, options=options, folder=folder, resume=resume))
    try:
        if options.devices > 1 and options.num_nodes == 1:
            in_thread(launch)
        else:
            launch()
    except ProcessExitedException as error:
        raise PlanewiseError(
            f"one of {options.devices} training processes died ({error.signal_name or error.exit_code}: killed, or out "
            "of memory), and the others were ended; go on with --resume, or with a smaller --batch_size"
        ) from error
    except ProcessRaisedException as error:  # with a traceback as its text
        raise PlanewiseError(f"a training process failed: {str(error).strip().splitlines()[-1]}") from error
    return fabric.is_global_zero


def _train(fabric: Fabric, task: Task, options: LoopOptions, folder: Path, resume: bool) -> None:
    end_with_parent()
    if fabric.world_size > 1:  # spawned processes would all write to the memory of the one that spawned them
        for tensor in (*task.network.parameters(), *task.network.buffers()):
            tensor.data = tensor.data.clone()
    torch.set_float32_matmul_precision("high")  # TF32 where a GPU has it
    optimizer = torch.optim.AdamW(_parameter_groups(task.network, options.weight_decay), lr=options.learning_rate)
    schedule = OneCycleLR(
        optimizer, options.learning_rate, total_steps=options.iterations + 1, pct_start=options.warm_up
    )  # one step more than is taken, so that a training of any length, even of one step, has a schedule
    start, best = 0, float("-inf")
    if resume:
        state = load_checkpoint(folder / LAST)
        _check_same_training(state["options"], options, folder / LAST)
        task.network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        start, best = state["step"], state["best"]
        if start >= options.iterations:
            return
    network, optimizer = fabric.setup(task.network, optimizer)

    samples = SampleRange(start, options.iterations, options.batch_size, fabric.global_rank, fabric.world_size)
    loader = DataLoader(
        _Samples(task),
        batch_size=options.batch_size // fabric.world_size,
        sampler=samples,
        num_workers=options.num_workers,
        collate_fn=task.collate,
        pin_memory=fabric.device.type == "cuda",
        worker_init_fn=_one_thread if options.num_workers else None,
    )
    metrics = _MetricsFile(folder / METRICS, start) if fabric.is_global_zero else None
    with progress("training", options.iterations, start, "steps") as advance:
        task.train_mode()
        step, clock = start, time.perf_counter()
        for batch in _on_device(fabric, loader):
            # Everything random in a step follows from its number, so a resumed training repeats it.
            torch.manual_seed(options.seed + (step * fabric.world_size + fabric.global_rank) * 7919)
            rate = schedule.get_last_lr()[0]
            with fabric.autocast():
                terms = task.loss(network, batch)
            optimizer.zero_grad()
            fabric.backward(terms["total"])
            if options.clip_norm is not None:
                fabric.clip_gradients(network, optimizer, max_norm=options.clip_norm)
            optimizer.step()
            schedule.step()
            step += 1

            shared: dict[str, Any] = {
                name: fabric.all_reduce(term.detach(), reduce_op="mean") for name, term in terms.items()
            }
            if metrics is not None:
                row = {"step": step, "learning_rate": rate, **{name: term.item() for name, term in shared.items()}}
                row["images_per_second"] = options.batch_size / (time.perf_counter() - clock)
                note = f"loss {row['total']:.4g}, rate {rate:.2g}, {row['images_per_second']:.1f} images/s"
                if step % options.checkpoint_interval == 0 or step == options.iterations:
                    scores = task.validate(fabric.device)
                    task.train_mode()
                    row |= {f"val_{name}": value for name, value in scores.items()}
                    improved = scores["score"] > best
                    best = max(best, scores["score"])
                    metrics.add(row)
                    state = {
                        "step": step, "best": best, "options": vars(options), "network": task.network.state_dict(),
                        "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
                    }  # fmt: skip
                    if improved:
                        save_checkpoint(folder / BEST, {"step": step, "network": task.network.state_dict()})
                    save_checkpoint(folder / LAST, state)  # after the best, so that a resumed training has it
                    shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if name != "score")
                    say(f"step {step}: loss {row['total']:.4g}, validation {shown}{' (best)' if improved else ''}")
                else:
                    metrics.add(row)
                advance(1, note)
            fabric.barrier()
            clock = time.perf_counter()


def _on_device(fabric: Fabric, loader: DataLoader) -> Iterator[Batch]:
    try:
        with shielded({signal.SIGINT}):  # its workers, which PyTorch ends by SIGTERM where they hang
            batches = iter(loader)
        for batch in batches:
            yield {name: tensor.to(fabric.device, non_blocking=True) for name, tensor in batch.items()}
    except PlanewiseError as error:  # one from a worker comes with its traceback as text
        raise PlanewiseError(str(error).rpartition("PlanewiseError: ")[2].strip()) from None


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def _check_same_training(before: dict[str, Any], now: LoopOptions, path: Path) -> None:
    names = ("iterations", "batch_size", "learning_rate", "seed", "weight_decay", "warm_up")
    old, new = ({name: values[name] for name in names} | values["identity"] for values in (before, vars(now)))
    for name, value in new.items():
        if old.get(name) != value:
            raise PlanewiseError(
                f"{path}: was trained with {name} {old.get(name)}, not {value}; --resume needs the same"
            )


class _Samples(Dataset):
    """The task's samples by number, for DataLoader's workers."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __getitem__(self, index: int) -> Any:
        return self.task.sample(index)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


class _MetricsFile:
    """metrics.csv: a row per step, flushed, with the validation's columns filled where there was one."""

    COLUMNS = ("step", "learning_rate", "total", "images_per_second")

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.columns: list[str] = list(self.COLUMNS)
        if start and path.exists():  # what was logged after the checkpoint is trained again
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                self.columns = list(reader.fieldnames or self.COLUMNS)
                self.rows = [row for row in reader if int(row["step"]) <= start]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite()

    def add(self, row: dict[str, Any]) -> None:
        rounded = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        self.rows.append(rounded)
        new = [name for name in rounded if name not in self.columns]
        if new:  # the first step, and the first validation, bring columns of their own
            self.columns += new
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(rounded)

    def _rewrite(self) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        temporary.replace(self.path)
