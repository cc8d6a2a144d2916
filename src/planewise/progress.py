"""Progress and messages: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 10.0  # between the lines that stand for a bar

console = Console(stderr=True, highlight=False, soft_wrap=True)


class Advance(Protocol):
    """Called after ``steps`` more are done, with what is worth showing beside the bar."""

    def __call__(self, steps: int = 1, note: str = "") -> None: ...


def say(message: str) -> None:
    """Print one line for the user, on standard error."""
    console.print(message, markup=False)


def each_once() -> Callable[[str], None]:
    """Return a ``say`` that passes over the lines that it has printed before."""
    printed: set[str] = set()

    def say_once(message: str) -> None:
        if message not in printed:
            printed.add(message)
            say(message)

    return say_once


@contextmanager
def progress(what: str, total: int, done: int = 0, unit: str = "") -> Iterator[Advance]:
    """Show how far ``what`` is, of ``total`` steps of which ``done`` were done before."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total, completed=done, note="")

            def advance(steps: int = 1, note: str = "") -> None:
                bar.update(task, advance=steps, note=note)

            yield advance
        return

    started = shown = time.monotonic()
    reached = done

    def line(steps: int = 1, note: str = "") -> None:
        nonlocal shown, reached
        reached += steps
        now = time.monotonic()
        if now - shown < LINE_SECONDS and not (reached == total and now - started > LINE_SECONDS):
            return
        shown = now
        left = (now - started) / max(reached - done, 1) * (total - reached)
        say(f"{what}: {reached}/{total} {unit}, {_minutes(left)} left{', ' + note if note else ''}")

    yield line
    sys.stderr.flush()


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
