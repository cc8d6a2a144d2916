"""planewise fine-tunes 2D foundation models plane by plane to segment volumes.

Table of contents of the Python interface. Each name is imported when it is first used, so that importing the package
costs nothing.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Volume": "volumes.volume",
    "open_volume": "volumes.files",
    "read_labels": "volumes.labels",
    "write_labels": "volumes.labels",
    "write_volume": "volumes.files",
    "open_dataset": "data.nnunet",
    "load_network": "models.weights",
    "export_torchscript": "models.weights",
    "consensus": "inference.consensus",
    "Correct": "apps.correct_options",
    "correct_result": "apps.correct",
    "Corrections": "correction.session",
    "find_lungs": "apps.ild.lungs",
    "IldMeasure": "apps.ild.options",
    "measure_ild": "apps.ild.measure",
    "overlap_table": "evaluation.overlap",
    "score_labels": "evaluation.evaluate",
    "MitoTrain": "apps.mito_options",
    "MitoPredict": "apps.mito_options",
    "MitoEvaluate": "apps.mito_options",
    "MitoMeasure": "apps.mito_options",
    "train_mito": "apps.mito",
    "predict_mito": "apps.mito",
    "evaluate_mito": "apps.mito_evaluate",
    "measure_mito": "apps.mito_measure",
    "measure_volume": "measurement.measured",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
