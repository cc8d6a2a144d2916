"""Which classes a training of mito learns: instances, one class of a semantic truth, or several classes together."""

from planewise.apps.mito.train_options import MitoTrain
from planewise.data.classes import Target
from planewise.data.nnunet import Dataset
from planewise.data.panoptic import PanopticClasses, panoptic_classes
from planewise.errors import PlanewiseError
from planewise.models.model_file import ModelFile
from planewise.progress import say


def trained_target(dataset: Dataset, options: MitoTrain, base: ModelFile) -> Target | PanopticClasses | None:
    """Return and print the class of the semantic truth that is trained and scored; None if all truth is instances.

    Several classes are returned if the options or the base model have several.
    """
    if options.things or base.several is not None:
        return _several_classes(dataset, options, base)
    cases = [*dataset.train, *dataset.test]
    semantic = sorted({case.truth.parent.name for case in cases if case.truth is not None and not case.instances})
    if not semantic and options.class_name is not None:
        raise PlanewiseError(f"--class {options.class_name}: goes with labelsTr; here all instances are trained")
    if semantic:
        several = "" if options.class_name else ", or train all of them together with --things"
        target = dataset.labels.target(options.class_name, f"--class{several}")
        done = {"labelsTr": "trained", "labelsTs": "scored"}
        say(dataset.labels.sentence(target, " and ".join(done[name] for name in semantic)))
        return target
    if len(names := [*dataset.labels.classes.values()]) > 1:
        say(
            f"The objects of {', '.join(names)} are trained as one class, like all objects in instancesTr; "
            "--things NAMES... trains them as separate classes"
        )
    if dataset.labels.ignore is not None:
        beside = (dataset.folder / "labelsTr").is_dir()
        where = "in labelsTr, beside the instances" if beside else "nowhere: there is no labelsTr beside the instances"
        say(f"All instances are trained; ignored: voxels of the ignore label ({dataset.labels.ignore}) {where}.")
    return None


def _several_classes(dataset: Dataset, options: MitoTrain, base: ModelFile) -> PanopticClasses:
    """Return the classes of the dataset that are trained together, and print which are things."""
    for option, name in (("class", "class_name"), ("corrections", "corrections"), ("self_training", "self_training")):
        if given := getattr(options, name):
            raise PlanewiseError(f"--{option} {given}: is for one class; here several are trained together (--things)")
    of_base = base.several
    things_of_base = () if of_base is None else tuple(of_base.names[value] for value in of_base.things)
    names = options.things or things_of_base
    classes = panoptic_classes(dataset.labels, names, "--things" if options.things else f"{options.base_model}")
    trained = None if of_base is None or options.from_scratch else (of_base.names, of_base.things)
    if trained is not None and trained != (classes.names, classes.things):
        raise PlanewiseError(
            f"{options.base_model}: has other classes ({of_base}) than those to train ({classes}); make the two "
            "agree, or train --from_scratch"
        )
    say(f"Classes: {classes}.")
    return classes
