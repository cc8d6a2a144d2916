"""A model's card: a Markdown page on what it is, what it was trained on, and its validation score."""

from collections.abc import Mapping

from planewise.models.model_file import RANDOM, ModelFile, Trained
from planewise.models.zoo import PUBLISHED, Published

UNKNOWN = "not known"


def mitonet_card(name: str, model: ModelFile, use: str) -> str:
    """Return the card of a MitoNet, with facts from its YAML; ``use``: how it is used, in a line."""
    range_, sides = model.trained_intensities(), model.pixel_nm
    seen = {
        "classes": ", ".join(model.class_names.values()) if model.several is None else str(model.several),
        "planes": ", ".join(model.planes or ()) or UNKNOWN,
        "sides of pixels, nm": UNKNOWN if sides is None else " to ".join(f"{side:g}" for side in dict.fromkeys(sides)),
        "objects": UNKNOWN if model.object_sizes is None else str(model.object_sizes),
        "intensities, of 0 to 1": f"{range_.low:g} to {range_.high:g}",
        "contrast": f"{range_.contrast}; objects {range_.objects}",
        "normalised by mean, std": f"{model.norms.mean:g}, {model.norms.std:g}",
        "network": model.architecture or "recognised from its weights",
    }
    return _card(name, model.description, seen, model.trained, use)


def sam2_card(name: str, seen: Mapping[str, str], trained: Trained | None) -> str:
    """Return the card of a SAM2 in a hub folder, with the metadata that the hub reads; ``seen``: what it expects."""
    from huggingface_hub import ModelCardData

    base = _published(trained)
    about = ModelCardData(
        library_name="transformers",
        pipeline_tag="mask-generation",
        tags=["sam2", "medical", "planewise"],
        base_model=base.hub_id if base else None,
        license=base.spdx.lower() if base and base.spdx else None,
    )
    what = "SAM2 (Ravi et al. 2024, arXiv:2408.00714), fine-tuned with planewise on slices of volumes."
    use = "`planewise ild predict VOLUMES RESULTS --trained_model THIS_FOLDER`"
    return f"---\n{about.to_yaml()}\n---\n\n{_card(name, what, seen, trained, use)}"


def _published(trained: Trained | None) -> Published | None:
    return next((model for model in PUBLISHED if trained and model.name == trained.base), None)


def _card(name: str, what: str, seen: Mapping[str, str], trained: Trained | None, use: str) -> str:
    parts = [f"# {name}", what, _table("what it expects", seen)]
    if trained is not None:
        base, licence = trained.base or UNKNOWN, trained.base_licence or UNKNOWN
        about = {"data": trained.dataset, "finished": trained.date, "step": str(trained.step), "base model": base}
        if base != RANDOM:
            about["licence of the base model"] = licence
        about["planewise"] = trained.planewise or UNKNOWN
        if trained.train_clips is not None:
            about["clips, for propagation by memory"] = f"{trained.train_clips} slices (--train_clips)"
        score = "there was nothing to score" if trained.score is None else f"{trained.score:.4f}"
        validation = {"on": trained.validated_on, "score": score, "loss": f"{trained.loss:.4g}"}
        parts += [
            "## Training",
            _table("training", about),
            "## Validation",
            "The score is that of the chosen step on the data used to choose it, so it says little about other data.",
            _table("validation", validation),
        ]
    parts += ["## Use", use]
    return "\n\n".join(parts) + "\n"


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {title} | |", "|---|---|"] + [f"| {key} | {value} |" for key, value in rows.items()]
    return "\n".join(lines)
