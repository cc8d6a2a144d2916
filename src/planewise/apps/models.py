"""models: which published models are known by name, where they come from and which are here; and one as a file."""

from planewise.apps.models_options import PACKAGE, Models, ModelsExport
from planewise.errors import PlanewiseError
from planewise.models.downloads import cached
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.zoo import PUBLISHED
from planewise.progress import say
from planewise.report.tables import print_table

TAKEN_BY = {"MitoNet": "planewise mito train --model_config, mito predict --trained_model",
            "SAM2": "planewise ild train, predict and run --base"}  # fmt: skip


def list_models(options: Models) -> int:
    """Print every published model, and where its weights are or belong. Returns the exit code."""
    rows = [
        (
            model.name,
            model.kind,
            f"{model.megabytes} MB",
            model.state(),
            model.norms,
            model.licence,
            model.citation,
        )
        for model in PUBLISHED
    ]
    print_table("Published models", ("name", "kind", "size", "weights", "mean, std", "licence", "cite"), rows)
    for kind, command in TAKEN_BY.items():
        say(f"{kind}: by name with {command}; weights that are not here are downloaded")
    places = [
        (model.name, model.url, model.sha256 or "none published: what it is when first used", str(cached(model.url)))
        for model in PUBLISHED
    ]
    print_table("Where they come from, and are or belong", ("name", "from", "sha256", "file"), places)
    return 0


def export_model(options: ModelsExport) -> int:
    """Write a MitoNet as one file. Returns the exit code.

    Raises PlanewiseError if the model cannot be used, or its package of bioimage.io does not give what the model does.
    """
    from planewise.models.mitonet_files import write_archive, write_package
    from planewise.models.weights import load_network, locate_weights, refuse_other_classes

    if options.output.exists() and not options.overwrite:
        raise PlanewiseError(f"{options.output}: already exists; give another file, or --overwrite")
    path = find_model_file(options.model)
    model = read_model_file(path)
    network = load_network(locate_weights(model, path), model.architecture)
    refuse_other_classes(network, model, path)
    write = write_package if options.output.suffix.lower() == PACKAGE else write_archive
    write(options.output, model, network)
    say(f"The model is {options.output}")
    return 0
