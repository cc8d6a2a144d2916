"""The ways in which a job is refused or fails. All carry a message for the user, never a traceback."""

from dataclasses import dataclass


class PlanewiseError(Exception):
    """A file, an option or a dataset that cannot be used.

    The message names it, and states what is wrong, what is allowed, and what to do.
    """


class DatasetError(PlanewiseError):
    """A dataset with nothing usable in it."""


class WorkFailed(PlanewiseError):
    """Work that had begun cannot continue; finished parts are kept."""


@dataclass(frozen=True)
class Problem:
    """A row of the table of problems: the file or folder, and what is wrong with it."""

    where: str
    what: str

    @classmethod
    def of(cls, path: object, error: Exception) -> "Problem":
        """Return the problem of a file or series from an error; for errors of other libraries, their type and line."""
        text = str(error).strip()
        if isinstance(error, PlanewiseError):
            return cls(str(path), text.removeprefix(f"{path}: "))
        return cls(str(path), f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}")


def first_line(error: BaseException) -> str:
    """Return the message of a library's error in one line."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines[0].startswith("Exception thrown") else lines[0]
