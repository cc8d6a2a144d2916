"""A command's options for users: their help, and the words that stand for their values.

Everything is read from the command's ``Options``: names, types, defaults, and the docstring below each.
"""

import re
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo

from planewise.options import Options, as_folder, as_name, called

NEEDED, ONE_OF, OTHER = "needed", "needed, one of", "options"
GROUPS = {  # headings of options shared by commands; all other options are the command's main ones
    "data": (
        "channel", "sequence", "series", "intensity", "invert", "ignore_geometry", "window", "window_level",
        "window_width", "lungs", "image", "images", "dataset", "truth", "against", "reference", "groups", "patients",
        "patient_pattern", "split", "valid_share", "test_share", "slices", "background_share", "min_volume_mm3",
        "min_area_mm2", "min_voxels", "min_pixels", "npy_path", "class_name", "things", "skip_conversion",
        "corrections", "margin", "margin_mm",
    ),
    "model": (
        "model", "trained_model", "base_model", "base", "backbone", "from_scratch", "model_name", "task_name",
        "image_size",
    ),
    "training": (
        "iterations", "minutes", "epochs", "self_training", "learning_rate", "weight_decay", "patch_size",
        "finetune_layer", "train_planes", "train_prompts", "train_clips", "train_parts", "classes_per_slice", "upright",
        "checkpoint_interval", "resume",
    ),
    "prediction": (
        "test_after_training", "test_axes", "axes", "prompts", "bbox_shift", "propagation", "stability_fallback",
        "components", "downsampling", "confidence_thr", "center_confidence_thr", "min_distance_object_centers",
        "median_kernel", "min_size", "min_extent", "min_agreement", "pixel_vote_thr", "fuse", "repair", "extend",
        "published",
    ),
    "evaluation": ("semantic_class", "beside", "predicted_only", "tolerance_nm", "tolerance_mm", "tolerance_voxels"),
    "output": (
        "folder", "output", "format", "codes", "output_data_path", "json_file", "confidence_volume", "save_nii",
        "visualize", "overwrite",
    ),
    "computation": (
        "batch_size", "device", "devices", "num_nodes", "precision", "num_workers", "workers", "scheduler", "memory",
        "cache_slices", "gradient_checkpointing", "seed",
    ),
}  # fmt: skip
WIDEST, INDENT = 100, 6
KEPT = "\N{NO-BREAK SPACE}"  # between words that stay on one line; printed as a space


@dataclass(frozen=True)
class Option:
    """An option as typed: ``flag``, or the name of a positional argument; ``values``: words for its values.

    ``alternative``: whether it is one of several of which one is needed.
    """

    name: str
    flag: str
    values: str
    text: str
    default: str
    required: bool
    positional: bool
    alternative: bool
    type: Any

    @property
    def typed(self) -> str:
        """The option with its values."""
        return f"{self.flag} {self.values}".strip()

    @property
    def group(self) -> str:
        """The heading under which it is listed."""
        if self.required:
            return NEEDED
        if self.alternative:
            return ONE_OF
        return next((group for group, names in GROUPS.items() if self.name in names), OTHER)


def options_of(kind: type[Options]) -> list[Option]:
    """Return the options of a command, in the order of their declaration."""
    return [_option(name, info, name in kind.one_of) for name, info in kind.model_fields.items()]


def _option(name: str, info: FieldInfo, alternative: bool) -> Option:
    typed = called(name, info)
    positional = tyro.conf.Positional in info.metadata
    several = get_origin(without_none(info.annotation)) is tuple and positional
    flag = f"{typed.upper()}{' ...' if several else ''}" if positional else f"--{typed}"
    said = next(
        (one.metavar for one in info.metadata if getattr(one, "metavar", None)), ""
    )  # if the type is not informative enough
    values = "" if positional or info.annotation is bool else said or words_for(info.annotation, info.metadata)
    default = "" if info.is_required() or info.default in (None, False, ()) else _shown(info.default)
    text = info.description or next((one.help for one in info.metadata if getattr(one, "help", None)), "")
    required, text = info.is_required(), " ".join(text.split())
    return Option(name, flag, values, text, default, required, positional, alternative, info.annotation)


def without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        (kept,) = (one for one in get_args(annotation) if one is not type(None))
        return kept
    return annotation


def words_for(annotation: Any, metadata: list[Any]) -> str:
    """Return the words for the values of an option: PATH, NUMBER, xy|xz|yz ...; None among its types is left out."""
    annotation = without_none(annotation)
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        return words_for(annotation, more)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        parts = get_args(annotation)
        if parts[-1] is Ellipsis:
            return f"{words_for(parts[0], metadata)} ..."
        return " ".join(words_for(part, metadata) for part in parts)
    checks = {getattr(one, "func", None) for one in metadata}
    if annotation is Path:
        return "FOLDER" if as_folder in checks else "PATH"
    if annotation is str:
        return "NAME" if as_name in checks else "TEXT" if not checks - {None} else "PATH"
    return {int: "N", float: "NUMBER"}[annotation]


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else f"{default}"


def help_text(program: str, kind: type[Options], what: str, examples: tuple[str, ...]) -> str:
    """Return a command's help: its usage, examples, and its options in groups, required ones first."""
    width = min(WIDEST, shutil.get_terminal_size().columns)
    options = options_of(kind)
    groups: dict[str, list[Option]] = {NEEDED: [], ONE_OF: [], OTHER: [], **{group: [] for group in GROUPS}}
    for option in options:
        groups[option.group].append(option)
    needed = [option.typed for option in sorted(options, key=lambda o: not o.positional) if option.required]
    optional = [f"[{option.typed}]" for option in options if option.positional and not option.required]
    either = [f"({' | '.join(option.typed for option in groups[ONE_OF])})"] if groups[ONE_OF] else []
    words = [program, *needed, *either, *optional, "[options]"]
    usage = "\n".join(_folded(f"usage: {' '.join(word.replace(' ', KEPT) for word in words)}", width, "", " " * INDENT))
    about = textwrap.fill(" ".join((kind.__doc__ or what).split()), width)
    shown = ["examples:", *(f"  {_command(example, width)}" for example in examples)] if examples else []
    lines = [usage, "", about, "", *shown]
    for group, members in groups.items():
        if members:
            lines += ["", f"{group}:"]
            for option in members:
                text = f"{option.text} (default:{KEPT}{option.default})" if option.default else option.text
                lines.append(f"  {option.typed}")
                pad = " " * INDENT
                lines += _folded(text, width, pad, pad)
    return "\n".join([*lines, "", "-h, --help shows this. Options may be written with underscores or hyphens."])


def _folded(text: str, width: int, first: str, others: str) -> list[str]:
    """Return the lines of a text; words joined by ``KEPT`` stay together."""
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
    return [line.replace(KEPT, " ") for line in lines]


def _command(text: str, width: int) -> str:
    """Return a command line, folded as a shell accepts it; an option and its first value stay together."""
    return f" \\\n{' ' * INDENT}".join(
        _folded(re.sub("(--\\w+) (?!-)", rf"\1{KEPT}", text), width - INDENT - 2, "", "")
    )


def readable(info: tyro.constructors.StructTypeInfo) -> tyro.constructors.StructConstructorSpec | None:
    """A rule for tyro: its messages, too, name and describe options as ``help_text`` does."""
    kind: Any = info.type
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        return None
    instantiate: Callable[..., Options] = kind
    fields = []
    for (name, field), option in zip(kind.model_fields.items(), options_of(kind)):
        kept = [one for one in field.metadata if not hasattr(one, "metavar")]  # without tyro's, which must be unique
        called = None if option.positional else option.flag.removeprefix("--")
        metavar = option.flag if option.positional else option.values or None
        annotation: Any = Annotated[(field.annotation, *kept, tyro.conf.arg(name=called, metavar=metavar))]
        default = tyro.MISSING if field.is_required() else field.get_default(call_default_factory=True)
        fields.append(tyro.constructors.StructFieldSpec(name, annotation, default, helptext=option.text))
    return tyro.constructors.StructConstructorSpec(instantiate, tuple(fields))
