"""The command line: arguments -> typed options -> one function. Heavy imports wait until a command runs."""

import difflib
import errno
import importlib
import io
import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from planewise.commands import COMMANDS, Command

EXIT_FAILED = 1
EXIT_REFUSED = 2  # options or a dataset that cannot be used: nothing was done
EXIT_INTERRUPTED = 130
KEPT = "What was finished is kept, and the same command continues; a training continues with --resume."
# What a disk or a system can say at any time: no mistake of the program, unlike other errors
SYSTEM = {errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG, errno.ENOLCK, errno.ENOMEM,
          errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.ESTALE}  # fmt: skip


def usage() -> str:
    """Return what ``planewise --help`` prints."""
    return (
        "planewise fine-tunes 2D foundation models and segments volumes plane by plane.\n\n"
        + listed(COMMANDS)
        + "\n\nplanewise COMMAND --help shows a command's options and examples.\n"
        "planewise --print-completion bash (zsh, tcsh, fish, powershell) prints what\ncompletes its words."
    )


def listed(names: Iterable[str]) -> str:
    """Return commands, each with what it does, folded to the terminal."""
    width, beside = shutil.get_terminal_size().columns, " " * 27
    lines = (f"  planewise {name:<15}{COMMANDS[name].what}" for name in names)
    return "\n".join(textwrap.fill(line, width, subsequent_indent=beside, break_on_hyphens=False) for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit: 0 done, 1 some cases failed, 2 refused before any work, 128 + signal stopped."""
    end(lambda: run(sys.argv[1:] if arguments is None else list(arguments)))


def end(work: Callable[[], int]) -> NoReturn:
    """Exit with the code of ``work``, without a traceback if the reader of a pipe has closed it."""
    code = EXIT_FAILED
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of names of files that are no Unicode, as on standard error
    try:
        try:
            code = work()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _print_nowhere()
    except KeyboardInterrupt:  # before the work began, or after it
        code = EXIT_INTERRUPTED
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
        name = name.partition(" -")[0]  # without options
        near = " or ".join(f"'planewise {each}'" for each in _meant(name, group))
        meant = f"; did you mean {near}? Known" if near else "; known"
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


def _meant(name: str, group: list[str]) -> list[str]:
    """Return the commands, or their group, that an unknown ``name`` may mean; ``group``: those that share its first
    word."""
    first, _, second = name.partition(" ")
    if first == "help":
        return [f"{second} --help".strip()]
    if first == "version":
        return ["--version"]
    if group and second == "help":
        return [f"{first} --help"]
    if group and second in COMMANDS:
        return [second]
    if group:
        in_group = {known.split()[1]: known for known in group}
        if near := difflib.get_close_matches(second, in_group, 1):
            return [in_group[near[0]]]
        elsewhere = [known for known in COMMANDS if known.split()[-1] == second]
        return elsewhere or difflib.get_close_matches(second, [known for known in COMMANDS if " " not in known], 1)
    ends = [known for known in COMMANDS if known.split()[1:] == name.split()[:1]]
    return ends or difflib.get_close_matches(name, [*COMMANDS, *(known.split()[0] for known in COMMANDS)], 1)


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
