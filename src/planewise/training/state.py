"""The state of a training: what its steps change, and what a checkpoint stores."""

from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from planewise.errors import PlanewiseError
from planewise.training.averaging import AveragedWeights
from planewise.training.checkpoint import Validation, check_same_training, load_checkpoint, save_checkpoint
from planewise.training.loop_options import LoopOptions
from planewise.training.optimiser import parameter_groups, schedule_after
from planewise.training.task import Task


class TrainingState:
    """Weights, optimiser, learning rate and running average after ``step`` steps, and the ``best`` score so far.

    ``ends``: the step at which the training ends, after the steps at which it ended before it was prolonged.
    """

    def __init__(self, task: Task, options: LoopOptions) -> None:
        self.task, self.options = task, options
        self.optimizer = torch.optim.AdamW(
            parameter_groups(task.network, options.weight_decay), lr=options.learning_rate
        )
        self.step, self.ends = 0, [options.iterations]
        self.best: Validation | None = None
        self.averaged: AveragedWeights | None = None
        self._averaged_before: dict[str, Tensor] | None = None

    def load(self, path: Path) -> None:
        """Continue from the checkpoint at ``path``. Raises PlanewiseError if it is unusable, or of another training."""
        state = load_checkpoint(path)
        check_same_training(state, vars(self.options), path)
        try:
            self.task.network.load_state_dict(state["network"])
        except RuntimeError as error:  # what the base is called may stand for another network than it did
            raise PlanewiseError(
                f"{path}: its training was begun with another network than the base has now, so it cannot be "
                "continued: train anew under another name, or from the best model of that training"
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        self._averaged_before = state.get("averaged")
        self.step, self.ends = state["step"], state["ends"]
        self.best = None if state["best"] is None else Validation(**state["best"])

    def save(self, path: Path) -> None:
        """Write the state to ``path``, for ``load``."""
        state = {
            "step": self.step,
            "ends": self.ends,
            "best": None if self.best is None else vars(self.best),
            "options": vars(self.options),
            "network": self.task.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.values,
        }
        save_checkpoint(path, state)

    def begin_schedule(self) -> None:
        """Set the learning rate of the next step; see ``schedule_after``."""
        self.schedule = schedule_after(
            self.optimizer, self.options.learning_rate, self.options.warm_up, self.ends, self.step
        )

    def begin_averaging(self) -> None:
        """Start the running average, if there is one, on the device where the network now is."""
        if self.options.averaging is None:
            return
        self.averaged = AveragedWeights(self.task.network, self.options.averaging)
        if self._averaged_before is not None:
            self.averaged.load(self._averaged_before)

    def count_step(self) -> None:
        """Count the step that the optimizer has taken."""
        self.step += 1
        if self.averaged is not None:
            self.averaged.update(self.task.network, self.step)
        if self.step in self.ends[:-1]:
            self.begin_schedule()
        else:
            self.schedule.step()

    def validate(self, device: torch.device) -> dict[str, float]:
        """Return the scores of the weights, or of their average, on the validation data."""
        with nullcontext() if self.averaged is None else self.averaged.in_place_of(self.task.network):
            scores = self.task.validate(device)
        self.task.train_mode()
        return scores

    def keep_if_best(self, scores: dict[str, float], path: Path) -> bool:
        """Write the validated weights to ``path`` if they are the best so far; return whether they are."""
        validation = Validation(self.step, scores["loss"], scores.get("score"))
        if not validation.beats(self.best):
            return False
        self.best = validation
        weights = self.task.network.state_dict() if self.averaged is None else self.averaged.values
        save_checkpoint(path, {**vars(validation), "network": weights})
        return True
