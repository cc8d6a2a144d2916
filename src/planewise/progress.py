"""Progress and messages: on a terminal while a command runs; for calls from Python, only as the caller requests.

From Python, messages go to the logger "planewise", which prints nothing by default, and progress goes to a function of
the caller, see ``reported_to``.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LINE_SECONDS = 10.0  # between the lines that replace a bar
ON_TERMINAL = "PLANEWISE_ON_TERMINAL"  # environment variable, so that started processes print as this one does
WARNING = "WARNING: "  # prefix of important messages

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)  # ":name:" may be part of a path
log = logging.getLogger("planewise")
log.addHandler(logging.NullHandler())  # without a handler, Python prints warnings


@dataclass(frozen=True)
class Progress:
    """The state of some work: ``done`` of ``total`` steps of ``what``, in a ``unit`` such as slices.

    ``note``: text to show beside it, such as the loss.
    """

    what: str
    done: int
    total: int
    unit: str = ""
    note: str = ""


ProgressFunction = Callable[[Progress], None]
_function: ContextVar[ProgressFunction | None] = ContextVar("function", default=None)
_of_another_process: ContextVar[bool] = ContextVar("of_another_process", default=False)


class Advance(Protocol):
    """Called after ``steps`` more steps are done, with a note to show beside the bar."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


@contextmanager
def on_terminal() -> Iterator[None]:
    """In here, and in processes that are started here, messages and progress are printed on standard error."""
    before = os.environ.get(ON_TERMINAL)
    os.environ[ON_TERMINAL] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(ON_TERMINAL, None)


def is_on_terminal() -> bool:
    """Whether messages and progress are printed."""
    return ON_TERMINAL in os.environ


def reported_to(progress: ProgressFunction | bool | None) -> AbstractContextManager[None]:
    """Report progress in here to a function, or with True print it as a command does, or do neither.

    Progress of other processes, with several devices, is reported where they are waited for, if at all.
    """
    if callable(progress):
        return _calling(progress)
    return on_terminal() if progress else nullcontext()


@contextmanager
def _calling(function: ProgressFunction) -> Iterator[None]:
    token = _function.set(function)
    try:
        yield
    finally:
        _function.reset(token)


def say(message: str) -> None:
    """Print one line for the user, on standard error; from Python, log it."""
    if is_on_terminal():
        console.print(message, markup=False)
    elif message.startswith(WARNING):
        log.warning(message.removeprefix(WARNING))
    else:
        log.info(message)


def warn(message: str) -> None:
    """``say`` what may make results wrong, marked as a warning."""
    say(f"{WARNING}{message}")


def say_once(message: str) -> None:
    """``say`` a message unless this process has printed it before, or does work ``of_another_process``."""
    if not _of_another_process.get():
        _say_once(message)


@lru_cache(2**14)  # a volume is opened several times in a run
def _say_once(message: str) -> None:
    say(message)


@contextmanager
def of_another_process() -> Iterator[None]:
    """In here ``say_once`` prints nothing: the process that hands out the work has said it of the same files."""
    token = _of_another_process.set(True)
    try:
        yield
    finally:
        _of_another_process.reset(token)


def each_once() -> Callable[[str], None]:
    """Return a ``say`` that skips lines it has printed before."""
    printed: set[str] = set()

    def say_once(message: str) -> None:
        if message not in printed:
            printed.add(message)
            say(message)

    return say_once


def first_few(names: Sequence[object], most: int = 3, between: str = ", ") -> str:
    """Return the first ``most`` of ``names``, as text for a message, and how many more there are."""
    more = len(names) - most
    return between.join(map(str, names[:most])) + (f" and {more} more" if more > 0 else "")


def counted(number: int, what: str) -> str:
    """Return a number of things as text for a message: ``1 case``, ``1,200 classes``; ``what``: the word for one."""
    plural = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else plural}"


@contextmanager
def progress(what: str, total: int, done: int = 0, unit: str = "") -> Iterator[Advance]:
    """Show the progress of ``what``: of ``total`` steps, ``done`` were done before; never more than ``total``."""
    reached = done
    with _shown(what, total, done, unit) as update:

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal reached
            before, reached = reached, min(reached + steps, total)
            if reached > before or note:
                update(Progress(what, reached, total, unit, note))

        yield advance


def _shown(what: str, total: int, done: int, unit: str) -> AbstractContextManager[ProgressFunction]:
    function = _function.get()
    if function is not None:
        return nullcontext(function)
    if not is_on_terminal():
        return nullcontext(lambda state: None)
    drawn = console.is_terminal and console.file.isatty()  # which rich takes for granted where FORCE_COLOR is set
    return _bar(what, total, done, unit) if drawn else _lines(done)


@contextmanager
def _bar(what: str, total: int, done: int, unit: str) -> Iterator[ProgressFunction]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, completed=done, note="")
        yield lambda state: bar.update(task, completed=state.done, note=state.note)


@contextmanager
def _lines(done: int) -> Iterator[ProgressFunction]:
    """Print a line now and then in place of a bar, without a terminal."""
    started = shown = time.monotonic()

    def line(state: Progress) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < LINE_SECONDS and not (state.done == state.total and now - started > LINE_SECONDS):
            return
        shown = now
        left = (now - started) / max(state.done - done, 1) * (state.total - state.done)
        note = f", {state.note}" if state.note else ""
        say(f"{state.what}: {state.done}/{state.total} {state.unit}, {_minutes(left)} left{note}")

    yield line
    sys.stderr.flush()


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
