"""Checkpoints: everything that a training needs to go on as if it had not stopped.

They are a training's manifest too, and there is no other: options and steps that decide on it stand in the checkpoint,
appear with it in one write, and are compared when it is resumed; the slices that it was trained on are named by the
record beside it. A second file could only disagree with them. Predictions, scores and prepared data have ``data.run``.
"""

from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from planewise.data.preparation import as_written
from planewise.errors import PlanewiseError
from planewise.models.model_file import Trained
from planewise.progress import say
from planewise.volumes.atomic import atomic_path

SAME = ("batch_size", "learning_rate", "seed", "weight_decay", "warm_up")  # options of a training that is resumed
LOCATED = ("base", "base_model")  # of its identity: paths, which lead to one place however they are written


NAMED = 8  # cases that a model's file names


@dataclass(frozen=True)
class Validation:
    """What was measured after ``step``; ``score`` is None where there was nothing to score."""

    step: int
    loss: float
    score: float | None

    def beats(self, best: "Validation | None") -> bool:
        """Whether these weights are better than the ``best`` before: by the score, else by the loss, else as later."""
        if best is None:
            return True
        if self.score is None or best.score is None:
            return self.loss <= best.loss
        return (self.score, -self.loss) >= (best.score, -best.loss)


def check_same_training(state: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Refuse to go on from ``state``, a checkpoint at ``path``, by options (of the loop) ``now`` that make it another.

    More iterations are no other training. Raises PlanewiseError naming all that differs, old and new.
    """
    if "ends" not in state:
        raise PlanewiseError(f"{path}: was left by an older version of planewise; train again, without --resume")
    before = state["options"]
    old, new = ({name: options[name] for name in SAME} | options["identity"] for options in (before, now))
    wrong = [
        f"{name} {as_written(old.get(name))} -> {as_written(value)}"
        for name, value in new.items()
        if old.get(name) != value and not (name in LOCATED and _lead_to_one_place(old.get(name), value))
    ]
    if now["iterations"] < state["ends"][-1]:
        name, steps = now["counted_in"]
        wrong.append(f"fewer {name} {state['ends'][-1] // steps} -> {now['iterations'] // steps}")
    if wrong:
        raise PlanewiseError(
            f"{path}: is of a training with other options ({'; '.join(wrong)}); --resume needs the same, and goes on "
            "for as many steps or more"
        )


def _lead_to_one_place(before: str | None, now: str | None) -> bool:
    """Whether both are paths, and of one file or folder."""
    if before is None or now is None:
        return False
    return Path(before).exists() and Path(now).exists() and Path(before).samefile(now)


def trained_as(best: Path, validated_on: list[str], dataset: str, base: str, base_licence: str | None) -> Trained:
    """Return how the weights of the checkpoint ``best`` came about, and say so; ``base``: see ``Trained``."""
    state = load_checkpoint(best, mmap=True)
    more = f" and {len(validated_on) - NAMED} more" if len(validated_on) > NAMED else ""
    trained = Trained(
        dataset=dataset,
        date=date.today().isoformat(),
        step=state["step"],
        score=state["score"],
        loss=state["loss"],
        validated_on=", ".join(validated_on[:NAMED]) + more,
        base=base,
        base_licence=base_licence,
        planewise=version("planewise"),
    )
    score = "nothing to score" if trained.score is None else f"score {trained.score:.4f}"
    say(f"The best is step {trained.step}: {score}, loss {trained.loss:.4g}, validated on {trained.validated_on}")
    return trained


def is_finished(path: Path, now: dict[str, Any]) -> bool:
    """Whether the checkpoint at ``path`` is the last of the training that options ``now`` ask for.

    Raises PlanewiseError if it is of another one; see ``check_same_training``.
    """
    state = load_checkpoint(path, mmap=True)
    check_same_training(state, now, path)
    return bool(state["step"] >= now["iterations"])


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, and lists and dicts of them); a killed run leaves the old file."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """Read what ``save_checkpoint`` wrote, to the CPU; with ``mmap`` tensors only as they are used.

    Raises PlanewiseError if it is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        raise PlanewiseError(f"{path}: no checkpoint there; train without --resume") from error
    except Exception as error:  # a damaged file fails in many ways
        raise PlanewiseError(f"{path}: is not a readable checkpoint ({str(error).splitlines()[0]})") from error
