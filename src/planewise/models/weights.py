"""Reads and writes weights: reads all forms of MitoNet weights, and writes the published form."""

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from planewise.data.preparation import sha256_of
from planewise.errors import PlanewiseError, first_line
from planewise.models.architectures import architectures
from planewise.models.downloads import fetch, is_url
from planewise.models.folding import fold_batch_norms
from planewise.models.model_file import ModelFile
from planewise.models.panoptic_deeplab import ARCHITECTURES, PanopticNetwork
from planewise.models.torchscript import is_torchscript, read_torchscript
from planewise.models.zoo import of_url
from planewise.progress import counted, say
from planewise.volumes.atomic import atomic_path

State = dict[str, Tensor]


def locate_weights(model: ModelFile, model_path: Path) -> Path:
    """Return the file of a model's weights, downloaded into the user's cache if its YAML names a URL.

    A relative path is looked for beside the YAML, then in the working folder. For an absolute one, the file of that
    name beside the YAML goes first: in a folder that was copied or moved, the YAML states where the weights were.
    Raises PlanewiseError saying what to put where if the file is missing, or cannot be downloaded and is not cached, or
    has another sha256 than the YAML states; for a download without a stated one, than when it was first used.
    """
    if not model.model:
        raise PlanewiseError(
            f"{model_path}: names no weights (model:); train it with planewise mito train --from_scratch, or with "
            "--base if its encoder is from the hub"
        )
    try:
        online = is_url(model.model)
    except ValueError as error:
        raise PlanewiseError(f"{model_path}: model: {model.model} is no URL ({str(error).lower()})") from error
    if online:
        otherwise = f"set model: in a copy of {model_path} to a path, or train with planewise mito train --from_scratch"
        weights = fetch(model.model, model.model_sha256, str(model_path), otherwise, read_state)
        if published := of_url(model.model):
            say(f"{weights}: {published.terms}")
        return weights
    path = _local_weights(Path(model.model), model_path)
    if model.model_sha256 is not None and (sha256 := sha256_of(path)) != model.model_sha256:
        raise PlanewiseError(
            f"{path}: its sha256 is {sha256}, not {model.model_sha256}, as {model_path} states (model_sha256): it is "
            "damaged, or another model's; put the right one there, or correct the YAML"
        )
    return path


def _local_weights(given: Path, model_path: Path) -> Path:
    """Return the file for ``given``, a path in a model's YAML; see ``locate_weights``."""
    relative, beside = model_path.parent / given, model_path.parent / given.name  # the first is ``given`` if absolute
    try:
        for path in (beside, given) if given.is_absolute() else (relative, given, beside):
            if path.is_file():
                if path != relative and not (relative.is_file() and relative.samefile(path)):
                    say(f"{model_path}: names weights {given}; those at {path} are used")
                return path
    except OSError as error:
        raise PlanewiseError(f"{model_path}: model: {str(given)[:60]}...: {first_line(error)[:99]}") from error
    raise PlanewiseError(
        f"{model_path}: its weights {given} do not exist; put the file beside the YAML, change model:, or train "
        "with --from_scratch"
    )


def load_network(path: Path, architecture: str | None = None) -> PanopticNetwork:
    """Return the network that the weights at ``path`` belong to, folded if they are, in evaluation mode.

    ``path``: a published TorchScript ``.pth``, a plain state_dict, or a training checkpoint that holds one under
    ``state_dict``, ``model`` or ``network``. ``architecture``: a name of ``architectures``; None recognises
    MitoNet's. Raises PlanewiseError listing every tensor that is missing, unexpected or of another shape.
    """
    return network_with(read_state(path), path, architecture)


def inference_network(path: Path, architecture: str | None, device: str) -> PanopticNetwork:
    """Return the network at ``path``, optimised for ``device``; see ``load_network``."""
    network = load_network(path, architecture)
    if any(name.startswith("encoder.bn1.") for name in network.state_dict()):
        fold_batch_norms(network)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def network_with(state: State, source: Path | str, architecture: str | None = None) -> PanopticNetwork:
    """Return the network that ``state`` belongs to; ``source`` names it in errors. See ``load_network``."""
    name, folded = _fitting(state, source, architecture)
    network = _built(architectures()[name], outputs_of(state), folded)
    network.load_state_dict(state)
    return network.eval()


def network_for_classes(path: Path, outputs: int, architecture: str | None = None) -> PanopticNetwork:
    """Return the network at ``path`` with a semantic head of ``outputs`` channels; a head with another number is new.

    A new head has random weights. For the forms of ``path``, and errors, see ``load_network``.
    """
    state = read_state(path)
    if outputs_of(state) == outputs:
        return network_with(state, path, architecture)
    name, folded = _fitting(state, path, architecture)
    network = _built(architectures()[name], outputs, folded)
    new = network.state_dict()
    kept = {key: value for key, value in state.items() if value.shape == new[key].shape}
    network.load_state_dict(new | kept)
    say(
        f"{path}: has {outputs_of(state)} semantic outputs, but {outputs} are needed: these start from random weights; "
        f"{len(kept)} of {len(new)} tensors are the base model's"
    )
    return network.eval()


def outputs_of(state: Mapping[str, Tensor]) -> int:
    """Return the number of channels of the semantic head in ``state``: 1 for one class, or if there is no such head."""
    bias = state.get("semantic_head.head.1.bias")
    return 1 if bias is None else max(1, bias.numel())


def refuse_other_classes(network: PanopticNetwork, model: ModelFile, model_path: Path) -> None:
    """Raise PlanewiseError if the weights have another number of classes than the model's YAML."""
    outputs = outputs_of(network.state_dict())
    if outputs != model.outputs:
        raise PlanewiseError(
            f"{model_path}: names {counted(len(model.labels), 'class')} "
            f"({', '.join(model.class_names.values())}), which need {model.outputs} semantic outputs, but the weights "
            f"have {outputs}: correct class_names, labels and thing_list, or give the right weights"
        )


def _fitting(state: State, source: Path | str, architecture: str | None) -> tuple[str, bool]:
    """Return the architecture that ``state`` belongs to, and whether it is folded. For errors see ``load_network``."""
    if architecture is not None and architecture not in architectures():
        raise PlanewiseError(f"{source}: unknown architecture {architecture}; known are {', '.join(architectures())}")
    shapes, outputs = shapes_of(state), outputs_of(state)
    candidates = []
    for name in [architecture] if architecture else ARCHITECTURES:
        for folded in (False, True):
            problems = differences(_shapes_of_built(architectures()[name], outputs, folded), shapes)
            if not problems:
                return name, folded
            candidates.append((len(problems), name, folded, problems))
    _, name, folded, problems = min(candidates, key=lambda candidate: candidate[0])
    raise PlanewiseError(
        f"{source}: {len(problems)} tensors do not fit {name}, the most similar architecture:{listed(problems)}"
    )


@cache
def _shapes_of_built(build: Callable[..., PanopticNetwork], outputs: int, folded: bool) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return shapes_of(_built(build, outputs, folded).state_dict())


def _built(build: Callable[..., PanopticNetwork], outputs: int, folded: bool) -> PanopticNetwork:
    network = build(outputs=outputs)
    return fold_batch_norms(network) if folded else network


def differences(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return a line for every tensor that is missing, unexpected or of another shape, by name and shape."""
    problems = [f"missing {key} {shape}" for key, shape in expected.items() if key not in given]
    problems += [f"unexpected {key} {shape}" for key, shape in given.items() if key not in expected]
    for key in expected.keys() & given.keys():
        if expected[key] != given[key]:
            problems.append(f"{key} has shape {given[key]}, {expected[key]} is needed")
    return sorted(problems)


def listed(problems: list[str]) -> str:
    """Return the result of ``differences`` as lines of a message: the first twenty, and how many more there are."""
    return "".join(f"\n  {line}" for line in problems[:20] + [f"and {len(problems) - 20} more"] * (len(problems) > 20))


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by name."""
    return {key: tuple(value.shape) for key, value in state.items()}


def read_state(path: Path) -> State:
    """Return the tensors by name in a file of weights; see ``load_network`` for the forms. Nothing in it is run."""
    try:
        content: Any = (
            read_torchscript(path) if is_torchscript(path) else torch.load(path, map_location="cpu", weights_only=True)
        )
    except FileNotFoundError as error:
        raise PlanewiseError(f"{path}: no such file") from error
    except PlanewiseError:
        raise
    except Exception as error:  # a damaged or foreign file fails in many ways
        raise PlanewiseError(f"{path}: cannot be read as PyTorch weights ({_reason(error)})") from error
    for key in ("state_dict", "model", "network"):
        if isinstance(content, dict) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise PlanewiseError(f"{path}: holds no state_dict, neither alone nor under state_dict, model or network")
    for key, value in content.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            kind = "has no values (meta)" if value.is_meta else f"is {value.layout}, {value.dtype}"
            raise PlanewiseError(f"{path}: {key} {kind}; plain tensors of numbers are needed")
    prefix = "module."  # of a model that was saved inside DistributedDataParallel
    return {str(key).removeprefix(prefix): value for key, value in content.items()}


def _reason(error: Exception) -> str:
    """Return why a file cannot be read; torch's message on content that it does not unpickle fills a page."""
    if "PytorchStreamReader" in str(error) or isinstance(error, BadZipFile | EOFError):
        return "it is damaged or was cut short; copy or download it again"
    if "weights_only" in str(error) or "Weights only" in str(error):
        return "it holds more than tensors, such as a whole model or objects of a program, which are not loaded"
    if isinstance(error, LookupError):  # from unpickling other bytes: "101", "pop from empty list"
        return "it is not a file of PyTorch, or its download is incomplete"
    return first_line(error)


def write_weights(network: PanopticNetwork, path: Path) -> None:
    """Write weights that ``load_network`` reads, in MitoNet's published form if ``network`` has one."""
    if network.published_form:
        export_torchscript(network, path)
        return
    with atomic_path(path) as temporary:
        torch.save({name: value.detach().cpu() for name, value in network.state_dict().items()}, temporary)


def export_torchscript(network: PanopticNetwork, path: Path) -> None:
    """Write ``network`` in the published form, which empanada-napari loads: folded, scripted, on the CPU.

    Its signature is ``forward(x, render_steps: int = 2, interpolate_ins: bool = True)``, its state_dict has the
    published keys.
    """
    save_scripted(as_published(network), path)


def as_published(network: PanopticNetwork) -> PanopticNetwork:
    """Return a copy of ``network`` as it is published: folded, on the CPU, in evaluation mode.

    Raises PlanewiseError if it has no such form.
    """
    if not network.published_form:
        raise PlanewiseError(
            f"{type(network).__name__}: cannot be written as TorchScript, which other programs need to run it; "
            "planewise itself takes the YAML with the weights beside it"
        )
    published = copy.deepcopy(network).cpu().float().eval()
    if any(isinstance(module, nn.BatchNorm2d) for module in published.encoder.modules()):
        fold_batch_norms(published)
    for parameter in published.parameters():
        parameter.requires_grad_(True)  # layers are frozen for one training only
    return published


def save_scripted(network: nn.Module, path: Path) -> None:
    """Write ``network`` as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted: Any = torch.jit.script(network)
    with atomic_path(path) as temporary:
        scripted.save(str(temporary))
