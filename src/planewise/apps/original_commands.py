"""The original scripts' command lines, translated to ours. ``scripts/`` holds the names; the flags are here."""

import sys

from planewise.cli import run


def mito(arguments: list[str]) -> list[str]:
    """Return our command line for one of ``mitoNet_finetune_from_nnunet.py``.

    ``--mode`` (train, or predict) becomes the command. ``--use_gpu``, off by default, becomes ``--device``.
    """
    rest: list[str] = []
    mode, gpu = "train", False
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        match name.replace("-", "_"):
            case "__mode":
                mode = value if equals else next(words, "")
            case "__use_gpu":
                gpu = True
            case _:
                rest.append(word)
    if mode == "predict" or gpu:
        rest += ["--device", "auto" if gpu else "cpu"]
    return ["mito", mode, *rest]


def main_mito() -> None:
    """Run ``mitoNet_finetune_from_nnunet.py``."""
    sys.exit(run(mito(sys.argv[1:])))
