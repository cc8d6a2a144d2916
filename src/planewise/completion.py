"""Completion by the shell: a script that knows all commands and their options."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import shtab

from planewise.option_help import options_of, without_none
from planewise.options import Options

SHELLS = tuple(shtab.SUPPORTED_SHELLS)


def script(shell: str, commands: Mapping[str, type[Options]], words: Mapping[str, str]) -> str:
    """Return the script for one of ``SHELLS``; ``commands``: their options by name; ``words``: a summary of each."""
    parser = argparse.ArgumentParser("planewise")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--print-completion", choices=SHELLS, help="print a script for completion")
    top = parser.add_subparsers()
    parsers: dict[str, argparse.ArgumentParser] = {}
    groups: dict[str, Any] = {}
    for name, kind in commands.items():  # a command may also be a group, such as models with models export
        first, _, second = name.partition(" ")
        if first not in parsers:
            parsers[first] = top.add_parser(first, help=words.get(first, f"commands of {first}"))
        if second and first not in groups:
            groups[first] = parsers[first].add_subparsers()
        _add(groups[first].add_parser(second, help=words[name]) if second else parsers[first], kind)
    return shtab.complete(parser, shell)


def _add(parser: argparse.ArgumentParser, kind: type[Options]) -> None:
    for option in options_of(kind):
        inner = without_none(option.type)
        several = get_origin(inner) is tuple
        element = get_args(inner)[0] if several else inner
        element = get_args(element)[0] if hasattr(element, "__metadata__") else element
        given: dict[str, Any] = {"help": option.text.replace("%", "%%")}
        if inner is bool:
            given["action"] = "store_true"
        else:
            given |= {"nargs": "*"} if several or option.positional else {}
            given |= {"choices": get_args(element)} if get_origin(element) is Literal else {}
        action = parser.add_argument(option.name if option.positional else option.flag, **given)
        if element is Path or "PATH" in option.values:  # PATH, PATH ..., or with a name before it
            action.complete = shtab.DIRECTORY if option.values == "FOLDER" else shtab.FILE  # type: ignore[attr-defined]
