"""What a user of `initialize_` brings: models, and an initializer of a whole model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from initsuite.spec import Initialization, ParamSpec, Probe


def convnet() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return nn.Sequential(*layers)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict(keep_vars=False).items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@dataclass(frozen=True)
class Whole:
    """A user's initializer of a whole model that does what `act` does with the model it is given."""

    act: Callable[[nn.Module], Any] = lambda model: None
    change: Callable[[dict[str, Tensor]], Any] = lambda params: Initialization(params, {"0.weight": 0.5})

    def __call__(self, model: nn.Module, specs: Sequence[ParamSpec], *, seed: int, probe: Probe | None = None) -> Any:
        self.act(model)
        return self.change({spec.name: torch.full(spec.shape, 2.0) for spec in specs})
