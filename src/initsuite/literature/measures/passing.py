"""One draw of a network, and one forward pass of it, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.engine.workload import Cell
from initsuite.models.branch import Residual
from initsuite.spec import Initialization, ParamSpec, Role

EXAMPLES = 64
"""Validation examples in a batch: other ones than those that laws which need data have seen."""


@dataclass(frozen=True, eq=False)
class Start:
    """A cell with the parameters that the trial of a seed starts from.

    Attributes:
        facts: the configuration of the cell, by dotted key.
        drawn: what the initializer returned.
        kept: the values of parameters that no initializer draws.
    """

    cell: Cell
    facts: Mapping[str, Any]
    seed: int
    drawn: Initialization
    kept: Mapping[str, Tensor]

    @property
    def params(self) -> dict[str, Tensor]:
        return {**self.kept, **self.drawn.params}

    @property
    def model(self) -> nn.Module:
        return self.cell.workload.model

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets."""
        chosen = self.cell.workload.dataset.validation.complete().map(lambda tensor: tensor[:EXAMPLES])
        return chosen.inputs, chosen.targets  # type: ignore[return-value]

    @cached_property
    def layers(self) -> list[ParamSpec]:
        """The weights of linear layers and convolutions, in order; the head is the last."""
        return [
            spec for spec in self.cell.workload.specs
            if spec.role is Role.WEIGHT and isinstance(self._owner(spec.name), nn.Linear | nn.Conv2d)
        ]  # fmt: skip

    def _owner(self, name: str) -> nn.Module:
        return self.model.get_submodule(name.rpartition(".")[0])

    def passed(self, inputs: Tensor | None = None, params: Mapping[str, Tensor] | None = None) -> Passed:
        """A forward pass; its tensors keep their graph where gradients are on."""
        found = Passed()
        handles = [self._owner(spec.name).register_forward_hook(_hook(found.add)) for spec in self.layers]
        blocks = [module for module in self.model.modules() if isinstance(module, Residual)]
        handles += [block.register_forward_hook(_hook(found.block)) for block in blocks]
        try:
            given = self.params if params is None else dict(params)
            found.output = functional_call(self.model, given, (self.batch[0] if inputs is None else inputs,))
        finally:
            for handle in handles:
                handle.remove()
        return found


def _hook(note: Callable[[Tensor, Tensor], None]) -> Callable[[nn.Module, Any, Any], None]:
    """Of a module: notes what it is given and what it returns."""
    return lambda _, given, output: note(given[0], output)


@dataclass
class Passed:
    """What a forward pass went through.

    Attributes:
        inputs, outputs: of each layer, in order: what it is given, and its pre-activations.
        stream: what goes into the first residual branch, and what comes out of each sum.
        output: of the model.
    """

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    stream: list[Tensor] = field(default_factory=list)
    output: Tensor = field(default_factory=lambda: torch.empty(0))

    def add(self, given: Tensor, output: Tensor) -> None:
        """Of one layer."""
        self.inputs.append(given)
        self.outputs.append(output)

    def block(self, given: Tensor, output: Tensor) -> None:
        """Of one residual branch with its sum."""
        self.stream = self.stream or [given]
        self.stream.append(output)

    @property
    def hidden(self) -> list[Tensor]:
        """The pre-activations of all layers but the head."""
        return self.outputs[:-1]


def mean_square(values: Tensor) -> float:
    """In float64, which does not underflow where float32 squares do."""
    return float(values.detach().double().square().mean())
