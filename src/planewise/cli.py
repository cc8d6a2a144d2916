"""The command line: arguments -> typed options -> one function. Heavy imports wait until a command runs."""

import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

EXIT_FAILED = 1
EXIT_REFUSED = 2  # options or a dataset that cannot be used: nothing was done
EXIT_INTERRUPTED = 130
KEPT = "What was finished is kept; the same command continues, a training with --resume."
# What a disk or a system can say at any time: no mistake of the program, unlike other errors
SYSTEM = {errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG, errno.ENOMEM, errno.ENOSPC,
          errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.ESTALE}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command: where its options and its function are, and what it does in a line."""

    options: str
    function: str
    what: str


COMMANDS = {
    "mito train": Command(
        "planewise.apps.mito_options:MitoTrain", "planewise.apps.mito:train_mito",
        "fine-tune MitoNet on a nnU-Net dataset, and test it",
    ),
    "mito predict": Command(
        "planewise.apps.mito_options:MitoPredict", "planewise.apps.mito:predict_mito",
        "segment volumes in one or several planes, with consensus",
    ),
    "mito evaluate": Command(
        "planewise.apps.mito_options:MitoEvaluate", "planewise.apps.mito_evaluate:evaluate_mito",
        "score predicted instances against the truth",
    ),
    "mito measure": Command(
        "planewise.apps.mito_options:MitoMeasure", "planewise.apps.mito_measure:measure_mito",
        "measure the objects of label volumes, and compare conditions",
    ),
    "ild run": Command(
        "planewise.apps.ild.options:IldRun", "planewise.apps.ild.run:run_ild",
        "chest CT: prepare, fine-tune SAM2, predict and evaluate",
    ),
    "ild prepare": Command(
        "planewise.apps.ild.options:IldPrepare", "planewise.apps.ild.prepare:prepare_ild",
        "window CT volumes and cut them into slices",
    ),
    "ild train": Command(
        "planewise.apps.ild.options:IldTrain", "planewise.apps.ild.train:train_ild",
        "fine-tune SAM2 on prepared slices",
    ),
    "ild predict": Command(
        "planewise.apps.ild.options:IldPredict", "planewise.apps.ild.predict:predict_ild",
        "segment classes in 3D, from drawn boxes or without any",
    ),
    "ild evaluate": Command(
        "planewise.apps.ild.options:IldEvaluate", "planewise.apps.ild.evaluate:evaluate_ild",
        "score predicted classes against the truth",
    ),
    "ild lungs": Command(
        "planewise.apps.ild.options:IldLungs", "planewise.apps.ild.lungs:lungs_ild",
        "segment the left and the right lung, from HU alone",
    ),
    "ild measure": Command(
        "planewise.apps.ild.options:IldMeasure", "planewise.apps.ild.measure:measure_ild",
        "ml and % of the lungs by class and region, density, agreement",
    ),
    "check": Command(
        "planewise.apps.check_options:Check", "planewise.apps.check:check",
        "show what datasets and volumes hold, and what is wrong with them",
    ),
    "models": Command(
        "planewise.apps.models_options:Models", "planewise.apps.models:list_models",
        "list the published models that are known by name",
    ),
    "compare": Command(
        "planewise.apps.compare_options:Compare", "planewise.apps.compare:compare_methods",
        "score every method on every dataset, in one report",
    ),
    "audit plan": Command(
        "planewise.apps.audit_options:AuditPlan", "planewise.apps.audit:plan_audit",
        "draw a random sample of a result to correct, for confidence intervals",
    ),
    "audit report": Command(
        "planewise.apps.audit_options:AuditReport", "planewise.apps.audit:report_audit",
        "turn the corrected sample into findings with 95 % intervals",
    ),
    "demo mito": Command(
        "planewise.apps.mito_options:MitoDemo", "planewise.apps.mito:demo_mito",
        "train, predict and evaluate on a small synthetic EM dataset",
    ),
    "demo ild": Command(
        "planewise.apps.ild.options:IldDemo", "planewise.apps.ild.run:demo_ild",
        "the same on synthetic chest CTs",
    ),
}  # fmt: skip


def usage() -> str:
    """Return what ``planewise --help`` prints."""
    lines = [f"  planewise {name:<15}{command.what}" for name, command in COMMANDS.items()]
    return (
        "planewise fine-tunes 2D foundation models plane by plane to segment volumes.\n\n"
        + "\n".join(lines)
        + "\n\nplanewise COMMAND --help lists a command's options."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit: 0 done, 1 some cases failed, 2 refused before any work, 128 + signal stopped."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


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
    words = 1 if arguments[0] in COMMANDS else 2
    name = " ".join(arguments[:words])
    if name not in COMMANDS:
        group = [known for known in COMMANDS if known.startswith(f"{arguments[0]} ")]
        asked_for_help = len(arguments) == 2 and arguments[1] in ("-h", "--help")
        if group and asked_for_help:
            print("\n".join(f"planewise {known:<15}{COMMANDS[known].what}" for known in group))
            return 0
        print(f"planewise: unknown command '{name}'; known are {', '.join(group or COMMANDS)}", file=sys.stderr)
        return EXIT_REFUSED
    command = COMMANDS[name]

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

    try:
        return tyro.cli(
            _find(command.options),
            prog=program,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
            use_underscores=True,
        )
    except PlanewiseError as error:
        print(f"{program}: {_renamed(error, names)}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)


def guarded(work: Callable[[], int]) -> int:
    """Return the exit code of ``work``; refusals, and what is no fault of ours, are told without a traceback."""
    from planewise.errors import PlanewiseError, WorkFailed
    from planewise.processes import Terminated, sigterm_raises

    try:
        with sigterm_raises():
            return work()
    except PlanewiseError as error:
        print(f"planewise: {error}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, WorkFailed) else EXIT_REFUSED
    except (MemoryError, RuntimeError) as error:
        words = ("can't allocate memory", "not enough memory")  # torch's own class is for GPUs
        ours = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if not ours and not any(said in str(error) for said in words):
            raise
        print(f"planewise: out of memory; a smaller --batch_size needs less ({str(error)[:200]})", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"planewise: stopped. {KEPT}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated as stopped:
        code = int(stopped.code or 0)
        print(f"planewise: stopped ({signal.Signals(code - 128).name}). {KEPT}", file=sys.stderr)
        return code
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        if error.errno not in SYSTEM:
            raise
        where = str(error.filename or "a file")
        shown = where if len(where) < 200 else f"{where[:200]}..."
        print(f"planewise: {shown}: {os.strerror(error.errno or 0).lower()}", file=sys.stderr)
        return EXIT_FAILED


def _renamed(error: Exception, names: Mapping[str, str]) -> str:
    return re.sub(r"--(\w+)", lambda option: names.get(option[1], option[0]), str(error))


def _find(where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)
