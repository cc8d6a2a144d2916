"""The arguments of an original script: its flags, with one dash or two and with or without ``=``, checked by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from planewise.errors import PlanewiseError
from planewise.options import Options
from planewise.progress import say

MANY = -1  # words up to the next flag
FLAG = re.compile(r"--?([A-Za-z][\w-]*)(?:=(.*))?", re.DOTALL)  # a number such as -600 is a value


@dataclass(frozen=True)
class Flag:
    """A flag of an original script: ``option``, our option of the same meaning, and the number of ``values`` it takes.

    ``no_effect``: why the flag has no effect any more; printed if the flag is given.
    """

    option: str = ""
    values: int = 1
    no_effect: str = ""


@dataclass
class Given:
    """The content of a command line: ``words`` that belong to no flag, and the values of each flag by its name."""

    words: list[str] = field(default_factory=list)
    flags: dict[str, list[str]] = field(default_factory=dict)

    def refuse_words(self) -> None:
        """Raise PlanewiseError if there are words that belong to no flag."""
        if self.words:
            raise PlanewiseError(f"{' '.join(self.words)}: follows no flag")

    def take(self, name: str, default: str | None = None) -> str:
        """Remove a flag with one value and return the value. Raises PlanewiseError if it is missing without default."""
        values = self.flags.pop(name, [default])
        if values[0] is None:
            raise PlanewiseError(f"-{name}: is missing; it has no default")
        return values[0]


@dataclass(frozen=True)
class Script:
    """An original script: its ``flags``, their other names (``aliases``), and our ``command``, whose ``options`` are
    flags here too.
    """

    name: str
    flags: dict[str, Flag]
    command: str = ""
    options: type[Options] = Options
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """The names of our options here, with the dash, if they differ."""
        return {flag.option: f"-{name}" for name, flag in self.flags.items() if flag.option not in ("", name)}

    def parse(self, words: list[str]) -> Given:
        """Return the content of ``words``. The last of repeated flags counts; flags without effect are printed.

        Raises PlanewiseError for a flag that neither the script nor our command has, or with too few values.
        """
        known = {name: Flag(name, _values(about.annotation)) for name, about in self.options.model_fields.items()}
        known |= self.flags
        given = Given()
        waiting = list(reversed(words))
        while waiting:
            word = waiting.pop()
            match = FLAG.fullmatch(word)
            if match is None:
                given.words.append(word)
                continue
            name, value = match[1].replace("-", "_"), match[2]
            name = self.aliases.get(name, name)
            if name not in known:
                raise PlanewiseError(f"{self.name}.py: has no flag {word.partition('=')[0]}; it has {self.usage}")
            wanted = known[name].values
            values = [] if value is None else [value]
            while value is None and len(values) != wanted and waiting and not FLAG.fullmatch(waiting[-1]):
                values.append(waiting.pop())
            if len(values) != wanted if wanted != MANY else not values:
                takes = {0: "no value", 1: "a value", MANY: "one value or more"}.get(wanted, f"{wanted} values")
                raise PlanewiseError(f"-{name}: takes {takes}; given: {' '.join(values) or 'none'}")
            if known[name].no_effect:
                say(f"{' '.join([f'-{name}', *values])} has no effect: {known[name].no_effect}")
            else:
                given.flags[name] = values
        return given

    @property
    def usage(self) -> str:
        """All flags, in a line."""
        listed = ", ".join(f"-{name}" for name in self.flags)
        return f"{listed}{f', and the options of planewise {self.command}' if self.command else ''}"

    def line(self, given: Given, words: list[str]) -> list[str]:
        """Return our command line: ``words``, which belong to no option, and the flags by our names."""
        options = []
        for name, values in given.flags.items():
            options += [f"--{self.flags.get(name, Flag(name)).option}", *values]
        return [*self.command.split(), *words, *options]


def _values(annotation: Any) -> int:
    """Return how many words one of our options takes."""
    kinds = [annotation, *get_args(annotation)]
    for kind in kinds:
        if get_origin(kind) is tuple:
            return MANY if ... in get_args(kind) else len(get_args(kind))
    return 0 if bool in kinds else 1
