"""The command line: arguments -> typed options -> one function. Heavy imports wait until a command runs."""

import difflib
import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

EXIT_FAILED = 1
EXIT_REFUSED = 2  # options or a dataset that cannot be used: nothing was done
EXIT_INTERRUPTED = 130
KEPT = "What was finished is kept; the same command continues, a training with --resume."
# What a disk or a system can say at any time: no mistake of the program, unlike other errors
SYSTEM = {errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG, errno.ENOMEM, errno.ENOSPC,
          errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.ESTALE}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command: where its options and its function are, what it does in a line, and ``examples`` for its help."""

    options: str
    function: str
    what: str
    examples: tuple[str, ...] = ()


COMMANDS = {
    "mito train": Command(
        "planewise.apps.mito_options:MitoTrain",
        "planewise.apps.mito_train:train_mito",
        "fine-tune MitoNet on a nnU-Net dataset, and test it",
        (
            "planewise mito train Dataset001_Cells models --model_config MitoNet_v1 --model_name MitoNet_Cells",
            "planewise mito train Dataset001_Cells models --iterations 2000 --test_after_training --test_axes xy xz yz",
            "planewise mito train Dataset001_Cells models --iterations 4000 --resume",
        ),
    ),
    "mito predict": Command(
        "planewise.apps.mito_options:MitoPredict",
        "planewise.apps.mito_predict:predict_mito",
        "segment volumes in one or several planes, with consensus",
        (
            "planewise mito predict --trained_model models/MitoNet_Cells.yaml --input imagesTs --output predicted",
            "planewise mito predict --trained_model MitoNet_v1 --input cell.tif --output predicted --axes xy",
            "planewise mito predict --trained_model MitoNet_v1 --input large.zarr --output labels.ome.zarr --workers 4",
        ),
    ),
    "mito suggest": Command(
        "planewise.apps.mito_options:MitoSuggest",
        "planewise.apps.mito_suggest:suggest_mito",
        "choose the slices to paint next, where a model is least certain",
        (
            "planewise mito suggest Dataset001_Cells/imagesTr --model models/MitoNet_Cells.yaml --count 5",
            "planewise mito suggest cell.tif --model MitoNet_v1 --plane xz --output next",
        ),
    ),
    "mito evaluate": Command(
        "planewise.apps.mito_label_options:MitoEvaluate",
        "planewise.apps.mito_evaluate:evaluate_mito",
        "score predicted instances against the ground truth",
        (
            "planewise mito evaluate predicted Dataset001_Cells/instancesTs",
            "planewise mito evaluate cell.tiff truth.tiff --output scores",
        ),
    ),
    "mito measure": Command(
        "planewise.apps.mito_label_options:MitoMeasure",
        "planewise.apps.mito_measure:measure_mito",
        "measure the objects of label volumes, and compare conditions",
        (
            "planewise mito measure predicted --image imagesTs",
            "planewise mito measure predicted --reference nucleus=nuclei --groups animals.csv --output measures",
        ),
    ),
    "ild run": Command(
        "planewise.apps.ild.options:IldRun",
        "planewise.apps.ild.run:run_ild",
        "chest CT: prepare, fine-tune SAM2, predict and evaluate",
        ("planewise ild run Dataset002_Chest work --base sam2.1_hiera_tiny --epochs 100 --train_prompts mixed",),
    ),
    "ild prepare": Command(
        "planewise.apps.ild.options:IldPrepare",
        "planewise.apps.ild.prepare:prepare_ild",
        "window CT volumes and cut them into slices",
        ("planewise ild prepare Dataset002_Chest work --window lung",),
    ),
    "ild train": Command(
        "planewise.apps.ild.options:IldTrain",
        "planewise.apps.ild.train:train_ild",
        "fine-tune SAM2 on prepared slices",
        (
            "planewise ild train work --base sam2.1_hiera_tiny --epochs 100 --train_prompts mixed",
            "planewise ild train work --base medsam_model_best.pth --task_name Continued",
        ),
    ),
    "ild predict": Command(
        "planewise.apps.ild.options:IldPredict",
        "planewise.apps.ild.predict:predict_ild",
        "segment classes in 3D, from drawn boxes or without any",
        (
            "planewise ild predict ct.nii.gz predicted --trained_model medsam_model_best.pth --prompts auto",
            "planewise ild predict imagesTs predicted --base MedSAM2 --prompts boxes.csv",
        ),
    ),
    "ild evaluate": Command(
        "planewise.apps.ild.label_options:IldEvaluate",
        "planewise.apps.ild.evaluate:evaluate_ild",
        "score predicted classes against the ground truth",
        ("planewise ild evaluate predicted Dataset002_Chest/labelsTs --tolerance_mm 2",),
    ),
    "ild lungs": Command(
        "planewise.apps.ild.options:IldLungs",
        "planewise.apps.ild.lungs:lungs_ild",
        "segment the left and the right lung from the HU values",
        ("planewise ild lungs imagesTs lungs",),
    ),
    "ild measure": Command(
        "planewise.apps.ild.label_options:IldMeasure",
        "planewise.apps.ild.measure:measure_ild",
        "measure ml and % of the lungs by class and region, density, reader agreement",
        (
            "planewise ild measure predicted --images imagesTs --output measured",
            "planewise ild measure reader1 --against reader2 --images imagesTs --lungs lungs",
        ),
    ),
    "ild follow": Command(
        "planewise.apps.ild.options:IldFollow",
        "planewise.apps.ild.follow:follow_ild",
        "compare one patient's scans of several dates",
        ("planewise ild follow patient --trained_model medsam_model_best.pth --output followed",),
    ),
    "ild export": Command(
        "planewise.apps.ild.label_options:IldExport",
        "planewise.apps.ild.export:export_ild",
        "write labels and measures as DICOM that refers to the original series",
        (
            "planewise ild export predicted --images dicom --output exported",
            "planewise ild export predicted --images dicom --measures measured/measures.json",
        ),
    ),
    "check": Command(
        "planewise.apps.check_options:Check",
        "planewise.apps.check:check",
        "show what datasets and volumes contain, and any problems",
        ("planewise check Dataset001_Cells",),
    ),
    "models": Command(
        "planewise.apps.models_options:Models",
        "planewise.apps.models:list_models",
        "list the published models",
        ("planewise models",),
    ),
    "models export": Command(
        "planewise.apps.models_options:ModelsExport",
        "planewise.apps.models:export_model",
        "write a model as a single file, for empanada-napari or bioimage.io",
        ("planewise models export models/MitoNet_Cells.yaml MitoNet_Cells.empanada",),
    ),
    "compare": Command(
        "planewise.apps.compare_options:Compare",
        "planewise.apps.compare:compare_methods",
        "score every method on every dataset, in one report",
        (
            "planewise compare Dataset001_Cells Dataset003_Tissue --output report",
            "planewise compare Dataset001_Cells --output report --method nnunet=predictions/nnunet --tolerance_nm 20",
        ),
    ),
    "view": Command(
        "planewise.apps.view_options:View",
        "planewise.apps.view:view",
        "show image, ground truth and every method's labels in napari, the browser or 3D Slicer",
        (
            "planewise view Dataset001_Cells --errors report",
            "planewise view labels.ome.zarr --at 40 300 512",
        ),
    ),
    "audit plan": Command(
        "planewise.apps.audit_options:AuditPlan",
        "planewise.apps.audit:plan_audit",
        "draw a random sample of a result to correct, for confidence intervals",
        ("planewise audit plan predicted --image imagesTs --output audit --budget 40",),
    ),
    "audit report": Command(
        "planewise.apps.audit_options:AuditReport",
        "planewise.apps.audit:report_audit",
        "turn the corrected sample into findings with 95 % intervals",
        ("planewise audit report audit",),
    ),
    "correct": Command(
        "planewise.apps.correct_options:Correct",
        "planewise.apps.correct:correct_result",
        "correct label volumes item by item, in napari or from a CSV; all can be undone",
        (
            "planewise correct predicted --worklist confidence",
            "planewise correct audit",
            "planewise correct predicted --actions actions.csv",
        ),
    ),
    "demo mito": Command(
        "planewise.apps.mito_options:MitoDemo",
        "planewise.apps.mito_demo:demo_mito",
        "train, predict and evaluate on a small synthetic EM dataset",
        ("planewise demo mito demo",),
    ),
    "demo ild": Command(
        "planewise.apps.ild.options:IldDemo",
        "planewise.apps.ild.run:demo_ild",
        "train, predict and evaluate on small synthetic chest CTs",
        ("planewise demo ild demo_ild --seed 1",),
    ),
}


def usage() -> str:
    """Return what ``planewise --help`` prints."""
    return (
        "planewise fine-tunes 2D foundation models and segments volumes with them, plane by plane.\n\n"
        + listed(COMMANDS)
        + "\n\nplanewise COMMAND --help shows a command's options and examples.\n"
        "planewise --print-completion bash (zsh, tcsh) prints a script for shell completion."
    )


def listed(names: Iterable[str]) -> str:
    """Return commands, a line for each, with what it does."""
    return "\n".join(f"  planewise {name:<15}{COMMANDS[name].what}" for name in names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit: 0 done, 1 some cases failed, 2 refused before any work, 128 + signal stopped."""
    end(lambda: run(sys.argv[1:] if arguments is None else list(arguments)))


def end(work: Callable[[], int]) -> NoReturn:
    """Exit with the code of ``work``, without a traceback if the reader of a pipe has closed it."""
    code = EXIT_FAILED
    try:
        try:
            code = work()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _print_nowhere()
    sys.exit(code)


def _print_nowhere() -> None:
    """Have what is still to be printed lost: its reader has gone."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run(arguments: list[str], names: Mapping[str, str] = MappingProxyType({})) -> int:
    """Run a command line and return its exit code.

    ``names``: what options are called, for messages, on the command line that this one was translated from.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else EXIT_REFUSED
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"planewise {version('planewise')}")
        return 0
    if arguments[0] == "--print-completion":
        return _print_completion(arguments[1:])
    words = 2 if " ".join(arguments[:2]) in COMMANDS or arguments[0] not in COMMANDS else 1
    name = " ".join(arguments[:words])
    if name not in COMMANDS:
        group = [known for known in COMMANDS if known.startswith(f"{arguments[0]} ")]
        if group and arguments[1:] in ([], ["-h"], ["--help"]):
            print(f"{listed(group)}\n\nplanewise {arguments[0]} COMMAND --help shows a command's options and examples.")
            return 0 if arguments[1:] else EXIT_REFUSED
        near = difflib.get_close_matches(name, [*COMMANDS, *(known.split()[0] for known in COMMANDS)], 1)
        meant = f"; did you mean '{near[0]}'? Known" if near else "; known"
        print(f"planewise: unknown command '{name}'{meant} are {', '.join(group or COMMANDS)}", file=sys.stderr)
        return EXIT_REFUSED
    command = COMMANDS[name]
    if {"-h", "--help"} & set(arguments[words:]):
        from planewise.option_help import help_text

        print(help_text(f"planewise {name}", _find(command.options), command.what, command.examples))
        return 0

    def work() -> int:
        from planewise.errors import PlanewiseError

        options = parse(command, f"planewise {name}", arguments[words:], names)  # before anything heavy is imported
        try:
            return int(_find(command.function)(options))
        except PlanewiseError as error:
            error.args = (_renamed(error, names),)
            raise

    return guarded(work)


def parse(command: Command, program: str, arguments: list[str], names: Mapping[str, str]) -> Any:
    """Return the command's options; a wrong one ends the program with a message and exit code 2."""
    import tyro

    from planewise.errors import PlanewiseError
    from planewise.option_errors import refuse_unusable
    from planewise.option_help import readable

    kind = _find(command.options)
    registry = tyro.constructors.ConstructorRegistry()
    registry.struct_rule(readable)
    try:
        refuse_unusable(program, kind, arguments)
        return tyro.cli(
            kind,
            prog=program,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
            use_underscores=True,
            registry=registry,
        )
    except PlanewiseError as error:
        print(f"{program}: {_renamed(error, names)}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)


def guarded(work: Callable[[], int]) -> int:
    """Return the exit code of ``work``; refusals, and what is no fault of ours, are printed without a traceback."""
    from planewise.errors import PlanewiseError, WorkFailed
    from planewise.processes import Terminated, sigterm_raises
    from planewise.progress import on_terminal

    try:
        with sigterm_raises(), on_terminal():
            return work()
    except PlanewiseError as error:
        print(f"planewise: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, WorkFailed) else EXIT_REFUSED
    except (MemoryError, RuntimeError) as error:
        words = ("can't allocate memory", "not enough memory")  # torch's own class is for GPUs
        ours = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if not ours and not any(phrase in str(error) for phrase in words):
            raise
        less = "a smaller --batch_size, or the volume as OME-Zarr or N5, which is read block by block"
        print(f"planewise: out of memory ({str(error)[:200]}); what needs less: {less}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"planewise: stopped. {KEPT}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated as stopped:
        code = int(stopped.code or 0)
        print(f"planewise: stopped ({signal.Signals(code - 128).name}). {KEPT}", file=sys.stderr)
        return code
    except BrokenPipeError:  # the reader of our output has gone
        _print_nowhere()
        return EXIT_FAILED
    except OSError as error:
        if error.errno not in SYSTEM:
            raise
        where = str(error.filename or "a file")
        shown = where if len(where) < 200 else f"{where[:200]}..."
        print(f"planewise: {shown}: {os.strerror(error.errno or 0).lower()}", file=sys.stderr)
        return EXIT_FAILED


def _print_completion(words: list[str]) -> int:
    from planewise.completion import SHELLS, script

    if len(words) != 1 or words[0] not in SHELLS:
        print(f"planewise: --print-completion takes one of {', '.join(SHELLS)}", file=sys.stderr)
        return EXIT_REFUSED
    kinds = {name: _find(command.options) for name, command in COMMANDS.items()}
    print(script(words[0], kinds, {name: command.what for name, command in COMMANDS.items()}))
    return 0


def _renamed(error: Exception, names: Mapping[str, str]) -> str:
    return re.sub(r"--(\w+)", lambda option: names.get(option[1], option[0]), str(error))


def _find(where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)
