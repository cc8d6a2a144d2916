"""The files of a mito training, and which of them may be replaced."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from planewise.correction.corrected import SCORE_BEFORE
from planewise.data.preparation import RECORD
from planewise.errors import PlanewiseError
from planewise.progress import say
from planewise.training.loop import LAST
from planewise.training.metrics_file import METRICS

BEFORE_CHECKPOINT = {RECORD, METRICS, SCORE_BEFORE}  # what a training writes before it


@dataclass(frozen=True)
class TrainingFiles:
    """Paths of a training's files."""

    folder: Path
    name: str

    @property
    def yaml(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.pth"

    @property
    def training(self) -> Path:
        return self.folder / f"{self.name}_training"

    @property
    def predictions(self) -> Path:
        """Predictions of the cases whose corrections were trained on."""
        return self.folder / f"{self.name}_predictions"

    @property
    def worklist(self) -> Path:
        return self.folder / f"{self.name}_worklist.csv"

    def check_free(self, resume: bool, overwrite: bool) -> None:
        """Refuse to overwrite a model of this name, or to resume a training that does not exist."""
        checkpoint = self.training / LAST
        if resume:
            if not checkpoint.exists():
                raise PlanewiseError(f"{checkpoint}: no checkpoint to resume from; train without --resume")
        elif not overwrite and (self.yaml.exists() or checkpoint.exists()):
            state = "a finished model" if self.yaml.exists() else "an unfinished training"
            raise PlanewiseError(
                f"{self.folder}: holds {state} called {self.name}; go on with --resume, replace it with --overwrite, "
                "or give another --model_name"
            )
        elif not self.yaml.exists() and not checkpoint.exists():
            there = next((path for path in (self.weights, self.training) if path.exists()), None)
            if there == self.training and {path.name for path in there.iterdir()} <= BEFORE_CHECKPOINT:
                say(f"{there}: this training was stopped before its first checkpoint; it begins anew")
            elif there is not None:
                raise PlanewiseError(
                    f"{there}: already exists, without a model or training of planewise; it is kept: move it away, "
                    "or give another --model_name"
                )

    def clear(self) -> None:
        """Remove a model of this name and the files of its training."""
        for path in (self.yaml, self.weights):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.training, ignore_errors=True)
