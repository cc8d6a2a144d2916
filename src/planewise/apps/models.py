"""models: list the models known by name, show one in full, or write one as a file."""

from planewise.apps.models_options import PACKAGE, Models, ModelsExport
from planewise.errors import PlanewiseError
from planewise.models.downloads import cached
from planewise.models.meant import either, near_names
from planewise.models.model_file import SHIPPED, ModelFile, find_model_file, read_model_file
from planewise.models.zoo import PUBLISHED, Kind, Published
from planewise.progress import say
from planewise.report.tables import print_facts, print_table

KINDS: dict[Kind, str] = {"MitoNet": "objects in electron microscopy", "SAM2": "classes in CT, from boxes or without"}
USE: dict[Kind, str] = {
    "MitoNet": "planewise mito train --model_config {name}, mito predict --trained_model {name}",
    "SAM2": "planewise ild train, predict and run --base {name}",
}
FROM_SCRATCH = "planewise mito train --model_config {name} --from_scratch"
NONE = "none"  # no published weights


def list_models(options: Models) -> int:
    """Print the models known by name, or all facts about one of them. Returns the exit code.

    Raises PlanewiseError if no model has that name.
    """
    if options.name is not None:
        print_facts(*_facts(options.name))
        return 0
    rows = [
        (model.name, model.kind, f"{model.megabytes} MB", model.state().partition(",")[0], model.licence)
        for model in PUBLISHED
    ]
    rows += [(name, "MitoNet", "-", NONE, "-") for name in _without_weights()]
    print_table("Models that are known by name", ("name", "kind", "size", "weights", "licence"), rows)
    for kind, finds in KINDS.items():
        say(f"{kind}: {finds}; {USE[kind].format(name='NAME')}")
    say("Weights that are not cached are downloaded when they are first used")
    say(f"{', '.join(_without_weights())}: no published weights; {FROM_SCRATCH.format(name='NAME')}")
    say("planewise models NAME shows its citation, its source, and where its weights are stored")
    return 0


def _without_weights() -> dict[str, ModelFile]:
    """Return the shipped models without published weights, by name."""
    files = {config.stem: read_model_file(config) for config in sorted(SHIPPED.glob("*.yaml"))}
    return {name: file for name, file in files.items() if file.model is None}


def _facts(name: str) -> tuple[str, dict[str, str]]:
    """Return the name of the model that ``name`` refers to, and the facts about it by their headings."""
    if published := next((model for model in PUBLISHED if name == model.hub_id or model.is_called(name)), None):
        return published.name, _facts_of(published)
    others = _without_weights()
    if name not in others:
        known = [*(model.name for model in PUBLISHED), *others]
        near = near_names(name, known)
        meant = f"; did you mean {either(near)}? Also" if near else ";"
        rest = ", ".join(each for each in known if each not in near)
        raise PlanewiseError(f"{name}: no model has this name{meant} known are {rest}")
    about, use = " ".join(others[name].description.split()), FROM_SCRATCH.format(name=name)
    return name, {"kind": f"MitoNet: {KINDS['MitoNet']}", "about": about, "weights": NONE, "use": use}


def _facts_of(model: Published) -> dict[str, str]:
    hub = "" if model.hub_id is None else f", on the hub {model.hub_id}"
    return {
        "kind": f"{model.kind}: {KINDS[model.kind]}",
        "size": f"{model.megabytes} MB",
        "weights": model.state(),
        "licence": model.licence,
        "cite": model.citation,
        "mean, std": model.norms,
        "also called": f"{model.file}{hub}",
        "from": model.url,
        "sha256": model.sha256 or "not published; that of the first download is stored and required from then on",
        "file": str(cached(model.url)),
        "use": USE[model.kind].format(name=model.name),
    }


def export_model(options: ModelsExport) -> int:
    """Write a MitoNet as one file. Returns the exit code.

    Raises PlanewiseError if the model cannot be used, or its bioimage.io package gives other results than the model.
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
