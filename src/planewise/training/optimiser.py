"""The optimiser: AdamW's groups of parameters, and the schedule of the learning rate."""

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters in two groups: with weight decay, and without it (biases and norms)."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def moments_by_name(network: nn.Module, state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return AdamW's state of each parameter, by name, from the state_dict of one over ``parameter_groups``."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = zip(parameter_groups(network, 0.0), state["param_groups"], strict=True)
    places = {
        place: names[id(parameter)]
        for ours, stored in groups
        for parameter, place in zip(ours["params"], stored["params"], strict=True)
    }
    return {places[place]: moments for place, moments in state["state"].items()}


def schedule_after(
    optimizer: torch.optim.Optimizer, peak: float, warm_up: float, ends: list[int], step: int
) -> OneCycleLR:
    """Return the schedule of the learning rate in its state after ``step`` steps; ``warm_up``: share of rising steps.

    It is a OneCycle over all steps. A training that was extended has several cycles, each up to one of ``ends``: the
    added steps begin with a warm-up from the last weights and optimiser state, whether the training was finished or
    stopped when they were added.
    """
    begin = max((end for end in ends if end <= step), default=0)
    end = min(end for end in ends if end > step)
    return OneCycleLR(
        optimizer, peak, total_steps=end - begin + 1, pct_start=warm_up, last_epoch=step - begin - 1
    )  # one step more than are taken, so that a training of any length, even of one step, has a schedule
