"""models: which published models are known by name, where they come from, and which are here."""

from planewise.apps.models_options import Models
from planewise.models.downloads import cached
from planewise.models.zoo import PUBLISHED
from planewise.progress import say
from planewise.report.tables import print_table

TAKEN_BY = {"MitoNet": "planewise mito train --model_config, mito predict --trained_model",
            "SAM2": "planewise ild train, predict and run --base"}  # fmt: skip


def list_models(options: Models) -> int:
    """Print every published model, and where its weights are or belong. Returns the exit code."""
    rows = [
        (
            model.name, model.kind, f"{model.megabytes} MB", "here" if model.is_here() else "not here",
            model.norms, model.licence, model.citation,
        )
        for model in PUBLISHED
    ]  # fmt: skip
    print_table("Published models", ("name", "kind", "size", "weights", "mean, std", "licence", "cite"), rows)
    for kind, command in TAKEN_BY.items():
        say(f"{kind}: by name with {command}; weights that are not here are downloaded")
    places = [
        (model.name, model.url, model.sha256 or "none published: what it is when first used", str(cached(model.url)))
        for model in PUBLISHED
    ]
    print_table("Where they come from, and are or belong", ("name", "from", "sha256", "file"), places)
    return 0
