"""The ways a job can be refused, or fail. All carry a message for who gave the command, never a traceback."""

from dataclasses import dataclass


class PlanewiseError(Exception):
    """A file, an option or a dataset that cannot be used.

    The message names it, says what was found, what is allowed, and what to do.
    """


class DatasetError(PlanewiseError):
    """A dataset with nothing usable in it."""


class WorkFailed(PlanewiseError):
    """Work that had begun cannot go on; what was finished is kept."""


@dataclass(frozen=True)
class Problem:
    """One row of the table of what is wrong: the file or folder, and what was found there."""

    where: str
    what: str

    @classmethod
    def of(cls, path: object, error: Exception) -> "Problem":
        """Return what an error says of a file or series; of an error that is not ours, its kind and first line."""
        text = str(error).strip()
        if isinstance(error, PlanewiseError):
            return cls(str(path), text.removeprefix(f"{path}: "))
        return cls(str(path), f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}")


def first_line(error: BaseException) -> str:
    """Return what an error of a library says, in one line."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines[0].startswith("Exception thrown") else lines[0]
