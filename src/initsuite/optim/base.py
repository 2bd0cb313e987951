"""Optimizers as functions of one trial; the engine maps them over a stack.

Each is written once, in place and element by element (`begin_step_`, `move_`), so that the engine can move a whole
stack block by block, while a block is in the processor's cache. `update` is the same on copies, for one trial.

Every number of an optimizer is a scalar that may differ between the trials of a stack, so each program computes every
term (a weight decay of 0 is multiplied, not skipped): what a trial gets never depends on its stack-mates, except for
the rounding of Adam, which runs in torch's own kernel where all trials share its betas and eps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from initsuite.errors import bad_value, check_number
from initsuite.spec import Optimizer, Params

Scalars = Mapping[str, Tensor]
"""`lr` and the optimizer's own scalars, each a zero-dimensional tensor."""


@runtime_checkable
class Elementwise(Optimizer, Protocol):
    """An optimizer whose every operation is elementwise: it may move many trials at once and any part of a tensor.

    Attributes:
        slots: the parts of the state that hold a tensor for each parameter, in the order that `move_` takes them.
    """

    slots: ClassVar[tuple[str, ...]]

    def begin_step_(self, state: Any, scalars: Scalars, /) -> dict[str, Tensor]: ...

    @property
    def move_(self) -> Callable[..., None]:
        """(param, grad, *slots, **numbers): tensors of one shape, and numbers that are broadcast."""
        ...


class Slotted:
    """What all elementwise optimizers share: the checks of their scalars, their first state, the update of one trial.

    Attributes:
        names: the options that are scalars; but for `eps` and `weight_decay`, numbers from 0 and below 1.
        slots: as in `Elementwise`.
    """

    names: ClassVar[tuple[str, ...]]
    slots: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        where = type(self).__name__
        for name in self.names:
            value = getattr(self, name)
            if name == "eps":
                check_number(where, name, value, above=0, fix="The usual value is 1e-8.")
            elif name == "weight_decay":
                check_number(where, name, value, minimum=0)
            else:
                check_number(where, name, value, minimum=0, fix="It is below 1.")
                if value >= 1:
                    raise bad_value(where, name, value, "a number from 0 and below 1")

    @property
    def scalars(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in self.names}

    def init(self, params: Params, /) -> dict[str, Any]:
        """The state before the first step: 0 for every parameter in every slot."""
        return {slot: {name: torch.zeros_like(value) for name, value in params.items()} for slot in self.slots}

    def update(
        self: Elementwise, grads: Params, state: dict[str, Any], params: Params, scalars: Scalars, /
    ) -> tuple[Params, dict[str, Any]]:
        """New parameters and state of one trial; the arguments stay as they are."""
        grads, state, params = tree_map(torch.clone, (grads, state, params))
        numbers = self.begin_step_(state, scalars)
        for name, param in params.items():
            self.move_(param, grads[name], *(state[slot][name] for slot in self.slots), **numbers)
        return params, state
