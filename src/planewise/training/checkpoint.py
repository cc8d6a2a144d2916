"""Checkpoints: everything that a training needs to continue as if it had not stopped.

They also serve as a training's manifest: decisive options and steps are stored in the checkpoint, in one write, and are
compared when it is resumed; the record beside it names the slices that were trained on. A separate manifest could only
contradict them. Predictions, scores and prepared data use ``data.run``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from planewise.data.changed_option import changed_option
from planewise.errors import PlanewiseError
from planewise.models.model_file import LittleData, Trained
from planewise.progress import first_few, say
from planewise.volumes.atomic import atomic_path

SAME = ("batch_size", "learning_rate", "seed", "weight_decay", "warm_up")  # options that a resumed training must keep
LOCATED = ("base", "base_model")  # of its identity: paths, which are compared by the file or folder they lead to
TYPED = {"base_model": "model_config", "class_name": "class"}  # how options of its identity are typed, if not by name
LITTLE_DATA = "little_data"  # of its identity: the recipe for few annotations
NAMED = 8  # cases that a model's file names


@dataclass(frozen=True)
class Validation:
    """What was measured after ``step``; ``score`` is None where there was nothing to score."""

    step: int
    loss: float
    score: float | None

    def beats(self, best: "Validation | None") -> bool:
        """Whether these weights are better than the previous ``best``: by the score, else by the loss, else as later
        ones."""
        if best is None:
            return True
        if self.score is None or best.score is None:
            return self.loss <= best.loss
        return (self.score, -self.loss) >= (best.score, -best.loss)


def check_same_training(state: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Refuse to resume ``state``, the checkpoint at ``path``, if the loop's options ``now`` make it another training.

    More iterations do not. What only one of them has is compared with none. What a checkpoint's recipe for little data
    lacks came later: it is as without. Raises PlanewiseError naming all differences, old and new.
    """
    if "ends" not in state:
        raise PlanewiseError(f"{path}: was left by an older version of planewise; train again, without --resume")
    before = state["options"]
    old, new = ({name: options.get(name) for name in SAME} | options["identity"] for options in (before, now))
    if old.get(LITTLE_DATA) is not None:
        old[LITTLE_DATA] = LittleData().model_dump(mode="json") | old[LITTLE_DATA]
    wrong = [
        changed_option(TYPED.get(name, name), old.get(name), new.get(name))
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name) and not (name in LOCATED and _lead_to_one_place(old.get(name), new.get(name)))
    ]
    if now["iterations"] < state["ends"][-1]:
        name, steps = now["counted_in"]
        wrong.append(f"fewer {name} {state['ends'][-1] // steps} -> {now['iterations'] // steps}")
    if wrong:
        raise PlanewiseError(
            f"{path}: belongs to a training with other options ({'; '.join(wrong)}); --resume needs the same, and at "
            "least as many steps"
        )


def _lead_to_one_place(before: str | None, now: str | None) -> bool:
    """Whether both are paths, and of one file or folder."""
    if before is None or now is None:
        return False
    return Path(before).exists() and Path(now).exists() and Path(before).samefile(now)


def trained_as(
    best: Mapping[str, Any], validated_on: list[str], dataset: str, base: str, base_licence: str | None
) -> Trained:
    """Return and print how the weights of the checkpoint ``best`` were trained; ``base``: see ``Trained``."""
    trained = Trained(
        dataset=dataset,
        date=date.today().isoformat(),
        step=best["step"],
        score=best["score"],
        loss=best["loss"],
        validated_on=first_few(validated_on, NAMED),
        base=base,
        base_licence=base_licence,
        planewise=version("planewise"),
    )
    score = "nothing to score" if trained.score is None else f"score {trained.score:.4f}"
    say(f"The best is step {trained.step}: {score}, loss {trained.loss:.4g}, validated on {trained.validated_on}")
    return trained


def is_finished(path: Path, now: dict[str, Any]) -> bool:
    """Whether the checkpoint at ``path`` is the last one of the training with the options ``now``.

    Raises PlanewiseError if it belongs to another one; see ``check_same_training``.
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
