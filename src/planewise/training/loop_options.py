"""How long a training loop runs, and how it trains."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class LoopOptions:
    """Length and settings of a training. The batch is shared between devices."""

    iterations: int
    batch_size: int
    learning_rate: float  # peak of the OneCycle schedule
    seed: int
    checkpoint_interval: int  # steps between validations, each with a checkpoint
    accelerator: str  # cpu, cuda, mps
    devices: int  # of each node
    precision: Literal["32", "bf16"]
    num_workers: int
    identity: dict[str, Any]  # what else identifies this training: compared before it is resumed
    weight_decay: float = 0.1  # none on biases and norms
    warm_up: float = 0.3  # share of the steps in which the rate rises
    clip_norm: float | None = None  # largest norm of all gradients together
    averaging: float | None = None  # decay of the running average of the weights, which is then validated instead
    num_nodes: int = 1  # with several, each process is started from outside (torchrun, srun)
    counted_in: tuple[str, int] = ("iterations", 1)  # the option for the length, and how many steps one of it has
