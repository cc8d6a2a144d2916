"""A trained model with any network: its name, its classes, and its method to segment."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from planewise.interface.calls import path_of
from planewise.models.archive import ARCHIVE
from planewise.models.model_file import SHIPPED
from planewise.volumes.volume import Volume


@dataclass(frozen=True)
class Model(ABC):
    """A model, as returned by ``load_model`` or ``finetune``.

    ``path``: its YAML, its file or folder of weights, or its published name; ``classes``: names of the labels that it
    predicts, empty if it segments the contents of drawn boxes.
    """

    path: Path
    classes: dict[int, str]

    @property
    @abstractmethod
    def kind(self) -> Literal["MitoNet", "SAM2"]:
        """Whether labels are instances (MitoNet: a label for each object) or classes (SAM2)."""

    @abstractmethod
    def segment(
        self,
        volume: Volume,
        name: str,
        prompts: Any,
        truth: Any,
        output: Path | None,
        given: dict[str, Any],
        source: Path | None,
    ) -> Volume:
        """Return labels of ``volume``; see ``planewise.segment``. ``source``: the file that it was opened from."""


def load_model(model: str | os.PathLike[str] | Model) -> Model:
    """Load a model by its path or name.

    MitoNet: its YAML or .empanada archive, a folder with a single YAML, or a published name (MitoNet_v1). SAM2:
    a file of weights (medsam_model_best.pth, sam2_hiera_tiny.pt), a hub folder or id, or a published name
    (sam2.1_hiera_tiny, MedSAM2). A published model is downloaded if necessary. Raises PlanewiseError if it is none of
    these, or damaged.
    """
    if isinstance(model, Model):
        return model
    path_of(model, "model")
    if is_mitonet(model):
        from planewise.interface.mitonet import MitoNetModel

        return MitoNetModel.load(model)
    from planewise.interface.sam2 import Sam2Model

    return Sam2Model.load(model)


def is_mitonet(model: str | os.PathLike[str]) -> bool:
    """Whether a path or a name refers to a MitoNet: a YAML, a folder with one, an archive, or a shipped config."""
    path = Path(model)
    if path.is_dir():
        return bool(list(path.glob("*.yaml"))) and not (path / "config.json").exists()
    return path.suffix.lower() in (".yaml", ".yml", ARCHIVE) or (SHIPPED / f"{path.name}.yaml").is_file()
