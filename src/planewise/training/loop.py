"""The training loop. It reads from top to bottom; what differs between models is behind ``Task``."""

import logging
import math
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from planewise.errors import PlanewiseError, WorkFailed
from planewise.processes import StopRequest, end_with_parent, in_thread, stop_on_request
from planewise.progress import progress, say
from planewise.training.averaging import AveragedWeights
from planewise.training.checkpoint import Validation, check_same_training, load_checkpoint, save_checkpoint
from planewise.training.loading import batches_on, loader_of
from planewise.training.metrics_file import METRICS, MetricsFile
from planewise.training.optimiser import parameter_groups, schedule_after
from planewise.training.sampling import SampleRange
from planewise.training.task import Task
from planewise.volumes.machine import machine_cores

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST, BEST, CURVE = "last.ckpt", "best.ckpt", "training_curve.png"


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
    averaging: float | None = None  # decay of the running average of the weights, which then is what is validated
    num_nodes: int = 1  # with several, each process is started from outside (torchrun, srun)
    counted_in: tuple[str, int] = ("iterations", 1)  # the option that says how long, and how many steps one of it has


def train(task: Task, options: LoopOptions, folder: Path, resume: bool) -> bool:
    """Train ``task.network`` and leave in ``folder``: last and best checkpoint, metrics.csv.

    With ``resume`` the training continues from the last checkpoint, to the same result as without the stop; one that
    is finished continues if ``options`` have more iterations, see ``schedule_after``. With several devices each process
    takes its share of every batch: gradients and the losses in metrics.csv are means over them, batch norms see their
    own share alone, and the first process writes.

    Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 end it after the step that is being done, with a checkpoint, on however many
    devices; then they raise KeyboardInterrupt or ``Terminated``.

    Returns whether this is the first process, which has the result; of several nodes there is one.
    Raises PlanewiseError if the batch cannot be shared or a checkpoint is unusable, and WorkFailed if a loss, the
    gradient or the validation is no number any more, or if a process dies.
    """
    from lightning_fabric import Fabric  # which takes as long as torch, and only a training needs it

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
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy="ddp" if options.num_nodes > 1 else "ddp_spawn" if options.devices > 1 else "auto",
        precision="bf16-mixed" if options.precision == "bf16" else "32-true",
    )
    with stop_on_request() as stop:
        trained = partial(_train, task=task, options=options, folder=folder, resume=resume, stop=stop)
        try:
            if options.devices > 1 and options.num_nodes == 1:
                end = in_thread(partial(fabric.launch, trained))
            else:
                end = fabric.launch(trained)
        except ProcessExitedException as error:
            raise WorkFailed(
                f"one of {options.devices} training processes died ({error.signal_name or error.exit_code}: killed, or "
                "out of memory), and the others were ended; go on with --resume, or with a smaller --batch_size"
            ) from error
        except ProcessRaisedException as error:  # with a traceback as its text
            raise PlanewiseError(f"a training process failed: {str(error).strip().splitlines()[-1]}") from error
    if end.spoiled:
        raise WorkFailed(f"{folder}: {end.spoiled}; {_kept(folder)}; train again with a smaller --learning_rate")
    if stop or end.step < options.iterations:
        if fabric.is_global_zero:
            say(f"Saved at step {end.step} of {options.iterations}: the same command with --resume goes on from there")
        stop.stop()
    return fabric.is_global_zero


class _End(NamedTuple):
    """After which step the loop ended, and what spoiled the next, if anything."""

    step: int
    spoiled: str = ""


def _train(fabric: "Fabric", task: Task, options: LoopOptions, folder: Path, resume: bool, stop: StopRequest) -> _End:
    """Take all steps, and leave with the other processes: one that goes first may abort those it is connected to."""
    end = _take_steps(fabric, task, options, folder, resume, stop)
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()
    return end


def _take_steps(
    fabric: "Fabric", task: Task, options: LoopOptions, folder: Path, resume: bool, stop: StopRequest
) -> _End:
    end_with_parent()
    if fabric.world_size > 1:  # spawned processes would all write to the memory of the one that spawned them
        for tensor in (*task.network.parameters(), *task.network.buffers()):
            tensor.data = tensor.data.clone()
    torch.set_float32_matmul_precision("high")  # TF32 where a GPU has it
    adam = torch.optim.AdamW(parameter_groups(task.network, options.weight_decay), lr=options.learning_rate)
    start, best, ends = 0, None, [options.iterations]
    before = None
    if resume:
        state = load_checkpoint(folder / LAST)
        check_same_training(state, vars(options), folder / LAST)
        task.network.load_state_dict(state["network"])
        adam.load_state_dict(state["optimizer"])
        before = state.get("averaged")
        start, ends = state["step"], state["ends"]
        best = None if state["best"] is None else Validation(**state["best"])
        if options.iterations > ends[-1]:
            if fabric.is_global_zero:
                say(f"Steps {ends[-1] + 1} to {options.iterations} are added, with a new warm-up")
            ends = [*ends, options.iterations]
        if start >= options.iterations:
            return _End(start)
    schedule = schedule_after(adam, options.learning_rate, options.warm_up, ends, start)
    network, optimizer = fabric.setup(task.network, adam)
    averaged = None if options.averaging is None else AveragedWeights(task.network, options.averaging)
    if averaged is not None and before is not None:
        averaged.load(before)

    samples = SampleRange(start, options.iterations, options.batch_size, fabric.global_rank, fabric.world_size)
    if options.num_workers > machine_cores() and fabric.is_global_zero:
        say(f"--num_workers {options.num_workers}: more than the cores that this process may run on, {machine_cores()}")
    loader = loader_of(task, samples, options.batch_size // fabric.world_size, options.num_workers, fabric.device)
    metrics = MetricsFile(folder / METRICS, start) if fabric.is_global_zero else None

    def save_last() -> None:
        state = {
            "step": step,
            "ends": ends,
            "best": None if best is None else vars(best),
            "options": vars(options),
            "network": task.network.state_dict(),
            "optimizer": adam.state_dict(),
            "averaged": None if averaged is None else averaged.values,
        }
        save_checkpoint(folder / LAST, state)

    with progress("training", options.iterations, start, "steps") as advance:
        task.train_mode()
        step, clock = start, time.perf_counter()
        for batch in batches_on(fabric.device, loader):
            # Everything random in a step follows from its number, so a resumed training repeats it.
            torch.manual_seed(options.seed + (step * fabric.world_size + fabric.global_rank) * 7919)
            rate = schedule.get_last_lr()[0]
            with fabric.autocast():
                terms = task.loss(network, batch)
            means = {name: _reduced(fabric, term.detach(), "mean").item() for name, term in terms.items()}
            if spoiled := _no_number(means):  # before it reaches the weights
                return _End(step, f"in step {step + 1} the loss {spoiled}")
            optimizer.zero_grad()
            fabric.backward(terms["total"])
            if options.clip_norm is not None:
                norm = fabric.clip_gradients(network, optimizer, max_norm=options.clip_norm, error_if_nonfinite=False)
                if norm is not None and (spoiled := _no_number({"norm": norm.item()})):
                    return _End(step, f"in step {step + 1} the gradient's {spoiled}")
            optimizer.step()
            step += 1
            if averaged is not None:
                averaged.update(task.network, step)
            if step in ends[:-1]:
                schedule = schedule_after(adam, options.learning_rate, options.warm_up, ends, step)
            else:
                schedule.step()

            due = step % options.checkpoint_interval == 0 or step == options.iterations
            if metrics is not None:
                row = {"step": step, "learning_rate": rate, **means}
                row["images_per_second"] = options.batch_size / (time.perf_counter() - clock)
                note = f"loss {row['total']:.4g}, rate {rate:.2g}, {row['images_per_second']:.1f} images/s"
                if due:
                    with nullcontext() if averaged is None else averaged.in_place_of(task.network):
                        scores = task.validate(fabric.device)
                    task.train_mode()
                    row |= {f"val_{name}": value for name, value in scores.items()}
                    spoiled = _no_number(scores)
                metrics.add(row)
                if due and not spoiled:
                    validation = Validation(step, scores["loss"], scores.get("score"))
                    improved = validation.beats(best)
                    if improved:
                        best = validation
                        weights = task.network.state_dict() if averaged is None else averaged.values
                        save_checkpoint(folder / BEST, {**vars(best), "network": weights})
                    save_last()  # after the best, so that a resumed training has it
                    shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if name != "score")
                    say(f"step {step}: loss {row['total']:.4g}, validation {shown}{' (best)' if improved else ''}")
                advance(1, note)
            # All end after one step, though one alone validates, and one alone may have got the signal.
            mine = torch.tensor([float(bool(stop)), float(bool(spoiled))], device=fabric.device)
            stopping, failing = _reduced(fabric, mine, "max").tolist()
            if failing:
                return _End(step, f"after step {step} the validation's {spoiled}")
            if stopping:
                if metrics is not None and not due:
                    save_last()
                return _End(step)
            clock = time.perf_counter()
    return _End(step)


def _reduced(fabric: "Fabric", tensor: Tensor, how: Literal["mean", "max"]) -> Tensor:
    """Return ``tensor``, of every process, as one."""
    reduced = fabric.all_reduce(tensor, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return reduced


def _no_number(values: dict[str, float]) -> str:
    """Return the first of ``values``, parts before their sum, that is no finite number; empty if all are."""
    parts = {name: value for name, value in values.items() if name != "total"} | values
    return next((f"{name} is {value}" for name, value in parts.items() if not math.isfinite(value)), "")


def _kept(folder: Path) -> str:
    there = [path for path in (folder / LAST, folder / BEST) if path.exists()]
    kept = " and ".join(f"{path.name} of step {load_checkpoint(path, mmap=True)['step']}" for path in there)
    return f"{kept} are kept" if kept else "nothing was saved before"
