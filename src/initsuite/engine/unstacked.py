"""The passes of a stack whose model `torch.vmap` cannot map: the model itself is called, once for each trial.

Everything else is that of a stack: the state with its [trial] axis, the update, the batches, evaluations, checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from initsuite.data.base import Split, Tree
from initsuite.engine.by_seed import Seat
from initsuite.engine.draws import NamedDraws, drawing
from initsuite.engine.evaluate import EVALUATION, chunk_of, sum_of
from initsuite.engine.manner import Manner
from initsuite.engine.passes import outputs_of
from initsuite.engine.step import StackState
from initsuite.engine.workload import Workload
from initsuite.models.copying import copied
from initsuite.spec import Params


class Unstacked:
    """The passes of some trials, each by a module of its own, so that what a module keeps belongs to one trial.

    Args:
        workload: what is trained.
        state: of the stack; the modules compute with its tensors, not with copies.
        seats: of the trials, in their order.
        step: the number of updates made.

    Attributes:
        is_random, is_repeated: whether a model has drawn by torch; and again in a backward pass.
    """

    def __init__(
        self, workload: Workload, state: StackState, seats: Sequence[Seat], manner: Manner, step: Callable[[], int]
    ) -> None:
        self.workload, self.state, self.seats, self.manner, self.step = workload, state, seats, manner, step
        self.device = state.scalars["lr"].device
        self.bodies = [_Body(workload.model, state, seat.trial) for seat in seats]
        self.is_random = self.is_repeated = False

    def gradients(self, inputs: Tree, targets: Tree) -> tuple[Params, Tensor, Params]:
        """From the batch of each seed, [seed, example, ...], the gradients of all trials, their losses, the buffers."""
        parts = []
        for body, seat in zip(self.bodies, self.seats, strict=True):
            batch = Split(inputs, targets).map(lambda tensor, index=seat.batch: tensor[index])
            with body.living(self.state) as module, self._drawing(seat.seed, str(self.step())):
                outputs = outputs_of(self.workload, module.train(), batch.inputs)
                loss = self.workload.loss(outputs, batch.targets).mean()
                loss.backward()  # not autograd.grad, which a reentrant checkpoint refuses
                parts.append((loss.detach(), body.gradients()))
        losses, grads = zip(*parts, strict=True)
        stacked = {name: torch.stack([part[name] for part in grads]) for name in grads[0]}
        return stacked, torch.stack(losses), self.state.buffers

    @torch.no_grad()
    def evaluate(self, split: Split, trials: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """What `make_evaluate` says, of these trials, or of all."""
        chosen = self.bodies if trials is None else [self.bodies[trial] for trial in trials]
        loss, score = torch.stack([self._sums_of(body, split) for body in chosen]).T / len(split)
        return loss, score

    def _sums_of(self, body: _Body, split: Split) -> Tensor:
        """The loss and the score of a trial, each the sum over a split."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, part in enumerate(split.parts(chunk_of(self.workload, 1, split))):
            with body.living(self.state) as module, self._drawing(0, f"{EVALUATION}/{number}"):
                outputs = outputs_of(self.workload, module.eval(), part.inputs)
                for index, measure in enumerate((self.workload.loss, self.workload.score)):
                    sums[index] += sum_of(measure(outputs, part.targets), len(part))
        return sums

    @contextmanager
    def _drawing(self, seed: int, name: str) -> Iterator[None]:
        with drawing(self.manner, seed, name, self.device) as draws:
            yield
        if isinstance(draws, NamedDraws):
            self.is_random |= draws.place > 0
            self.is_repeated |= draws.is_repeated


class _Body:
    """A module that computes with the values of one trial: a copy of the model, or the model where there can be none.

    Attributes:
        own: its parameters and buffers by name, the same objects in each pass, since modules may hold them in lists.
    """

    def __init__(self, model: nn.Module, state: StackState, trial: int) -> None:
        self.trial = trial
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.own: Params = {name: torch.empty_like(value) for name, value in self._values(state).items()}
        for name, parameter in model.named_parameters():
            self.own[name] = nn.Parameter(self.own[name], parameter.requires_grad)
        self.module = copied(model, {tensor: self.own[name] for name, tensor in named.items()})
        names = {id(tensor): name for name, tensor in named.items()}
        self.places: list[tuple[dict[str, Any], str, Tensor, str]] = [
            (into, local, tensor, names[id(tensor)])
            for owner, mine in zip(model.modules(), self.module.modules(), strict=True)
            for held, into in ((owner._parameters, mine._parameters), (owner._buffers, mine._buffers))
            for local, tensor in held.items()
            if tensor is not None
        ]
        self.is_lent = self.module is model

    def _values(self, state: StackState) -> Params:
        return {name: value[self.trial] for name, value in {**state.params, **state.buffers}.items()}

    @contextmanager
    def living(self, state: StackState) -> Iterator[nn.Module]:
        """The module with the memory of the trial, into which it writes its buffers."""
        values = self._values(state)
        for name, tensor in self.own.items():
            tensor.data, tensor.grad = values[name], None
        for held, local, _, name in self.places:
            held[local] = self.own[name]
        try:
            yield self.module
            for held, local, _, name in self.places:
                if name in state.buffers and held[local] is not self.own[name]:  # replaced by the module
                    values[name].copy_(held[local].detach())
        finally:
            for held, local, original, _ in self.places if self.is_lent else ():
                held[local] = original

    def gradients(self) -> Params:
        """Of the trained parameters; 0 for those that the loss does not depend on."""
        trained = {name: tensor for name, tensor in self.own.items() if tensor.requires_grad}
        return {
            name: torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.to_dense()
            for name, tensor in trained.items()
        }
