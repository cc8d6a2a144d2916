"""The training loop. It reads from top to bottom; what differs between models is behind ``Task``."""

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

from planewise.errors import WorkFailed
from planewise.processes import StopRequest, end_with_parent, stop_on_request
from planewise.progress import progress, say
from planewise.training.checkpoint import load_checkpoint
from planewise.training.launch import fabric_of, launch
from planewise.training.loading import batches_on, loader_of
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import METRICS, MetricsFile
from planewise.training.sampling import SampleRange
from planewise.training.state import TrainingState
from planewise.training.task import Batch, Task
from planewise.volumes.machine import machine_cores

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST, BEST, CURVE = "last.ckpt", "best.ckpt", "training_curve.png"


def train(task: Task, options: LoopOptions, folder: Path, resume: bool) -> bool:
    """Train ``task.network``; write the last and best checkpoint and metrics.csv into ``folder``.

    With ``resume`` the training continues from the last checkpoint, with the same result as without the stop; a
    finished one continues if ``options`` have more iterations, see ``schedule_after``. With several devices each
    process takes its share of every batch: gradients and the losses in metrics.csv are means over them, batch norms see
    only their own share, and the first process writes.

    Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 end the training after the current step with a checkpoint, on any number of
    devices; then they raise KeyboardInterrupt or ``Terminated``.

    Returns whether this is the first process, which has the result; several nodes have only one first process.
    Raises PlanewiseError if the batch cannot be shared or a checkpoint is unusable, and WorkFailed if a loss, the
    gradient or the validation is no longer a finite number, or if a process dies.
    """
    fabric = fabric_of(options)
    with stop_on_request() as stop:
        trained = partial(_train, task=task, options=options, folder=folder, resume=resume, stop=stop)
        end = launch(fabric, options, trained, folder / LAST)
    if end.spoiled:
        raise WorkFailed(f"{folder}: {end.spoiled}; {_kept(folder)}; train again with a smaller --learning_rate")
    if stop or end.step < options.iterations:
        if fabric.is_global_zero:
            say(f"Saved at step {end.step} of {options.iterations}: the same command with --resume goes on from there")
        stop.stop()
    return fabric.is_global_zero


class _End(NamedTuple):
    """The last step of the loop, and what was not finite in the next, if anything."""

    step: int
    spoiled: str = ""


def _train(fabric: "Fabric", task: Task, options: LoopOptions, folder: Path, resume: bool, stop: StopRequest) -> _End:
    """Take all steps, and end together with the other processes: one that ends first may abort the connected ones."""
    end = _take_steps(fabric, task, options, folder, resume, stop)
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()
    return end


def _take_steps(
    fabric: "Fabric", task: Task, options: LoopOptions, folder: Path, resume: bool, stop: StopRequest
) -> _End:
    end_with_parent()
    if fabric.world_size > 1:  # otherwise spawned processes would all write to the memory of their parent
        for tensor in (*task.network.parameters(), *task.network.buffers()):
            tensor.data = tensor.data.clone()
    torch.set_float32_matmul_precision("high")  # TF32 where a GPU has it
    state = _first_state(fabric, task, options, folder, resume)
    if state.step >= options.iterations:
        return _End(state.step)
    state.begin_schedule()
    network, optimizer = fabric.setup(task.network, state.optimizer)
    state.begin_averaging()

    samples = SampleRange(state.step, options.iterations, options.batch_size, fabric.global_rank, fabric.world_size)
    if options.num_workers > machine_cores() and fabric.is_global_zero:
        say(f"--num_workers {options.num_workers}: more than the cores that this process may use, {machine_cores()}")
    loader = loader_of(task, samples, options.batch_size // fabric.world_size, options.num_workers, fabric.device)
    metrics = MetricsFile(folder / METRICS, state.step) if fabric.is_global_zero else None

    with progress("training", options.iterations, state.step, "steps") as advance:
        task.train_mode()
        clock = time.perf_counter()
        for batch in batches_on(fabric.device, loader):
            # Everything random in a step follows from its number, so a resumed training repeats it.
            torch.manual_seed(options.seed + (state.step * fabric.world_size + fabric.global_rank) * 7919)
            rate = state.schedule.get_last_lr()[0]
            means, spoiled = _learn(fabric, task, network, optimizer, batch, options.clip_norm)
            if spoiled:
                return _End(state.step, f"in step {state.step + 1} the {spoiled}")
            state.count_step()
            due = state.step % options.checkpoint_interval == 0 or state.step == options.iterations
            if metrics is not None:
                speed = options.batch_size / (time.perf_counter() - clock)
                scores = state.validate(fabric.device) if due else {}
                spoiled = _no_number(scores)
                row = {"step": state.step, "learning_rate": rate, **means, "images_per_second": speed}
                metrics.add(row | {f"val_{name}": value for name, value in scores.items()})
                if due and not spoiled:
                    _keep(state, scores, means["total"], folder)
                advance(1, f"loss {means['total']:.4g}, rate {rate:.2g}, {speed:.1f} images/s")
            # All end after the same step, though only one validates, and only one may have received the signal.
            mine = torch.tensor([float(bool(stop)), float(bool(spoiled))], device=fabric.device)
            stopping, failing = _reduced(fabric, mine, "max").tolist()
            if failing:
                return _End(state.step, f"after step {state.step} the validation's {spoiled}")
            if stopping:
                if metrics is not None and not due:
                    state.save(folder / LAST)
                return _End(state.step)
            clock = time.perf_counter()
    return _End(state.step)


def _first_state(fabric: "Fabric", task: Task, options: LoopOptions, folder: Path, resume: bool) -> TrainingState:
    """Return the state to continue from: the last checkpoint's, if the training is resumed."""
    state = TrainingState(task, options)
    if not resume:
        return state
    state.load(folder / LAST)
    if options.iterations > state.ends[-1]:
        if fabric.is_global_zero:
            say(f"Steps {state.ends[-1] + 1} to {options.iterations} are added, with a new warm-up")
        state.ends = [*state.ends, options.iterations]
    return state


def _learn(
    fabric: "Fabric",
    task: Task,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    clip_norm: float | None,
) -> tuple[dict[str, float], str]:
    """Take a step; return the loss terms, means over processes, and the term that is not finite: then none is taken."""
    with fabric.autocast():
        terms = task.loss(network, batch)
    means = {name: _reduced(fabric, term.detach(), "mean").item() for name, term in terms.items()}
    if spoiled := _no_number(means):  # before it reaches the weights
        return means, f"loss {spoiled}"
    optimizer.zero_grad()
    fabric.backward(terms["total"])
    if clip_norm is not None:
        norm = fabric.clip_gradients(network, optimizer, max_norm=clip_norm, error_if_nonfinite=False)
        if norm is not None and (spoiled := _no_number({"norm": norm.item()})):
            return means, f"gradient's {spoiled}"
    optimizer.step()
    return means, ""


def _keep(state: TrainingState, scores: dict[str, float], loss: float, folder: Path) -> None:
    """Write the checkpoints after a validation, and print its scores."""
    improved = state.keep_if_best(scores, folder / BEST)
    state.save(folder / LAST)  # after the best, so that a resumed training has it
    shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if name != "score")
    say(f"step {state.step}: loss {loss:.4g}, validation {shown}{' (best)' if improved else ''}")


def _reduced(fabric: "Fabric", tensor: Tensor, how: Literal["mean", "max"]) -> Tensor:
    """Return ``tensor`` reduced over all processes."""
    reduced = fabric.all_reduce(tensor, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return reduced


def _no_number(values: dict[str, float]) -> str:
    """Return the name of the first of ``values``, parts before their sum, that is not finite; empty if all are."""
    parts = {name: value for name, value in values.items() if name != "total"} | values
    return next((f"{name} is {value}" for name, value in parts.items() if not math.isfinite(value)), "")


def _kept(folder: Path) -> str:
    there = [path for path in (folder / LAST, folder / BEST) if path.exists()]
    kept = " and ".join(f"{path.name} of step {load_checkpoint(path, mmap=True)['step']}" for path in there)
    return f"{kept} are kept" if kept else "nothing was saved before"
