"""Random numbers that a model takes in a pass: dropout masks, stochastic depth, noise.

They depend on the seed of the trial, on the step, and on the place of the draw in the pass. So all initializers of a
seed get the same masks, whatever else is in the stack, and whatever other threads do.
"""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from initsuite import rng
from initsuite.engine.manner import Manner

PURPOSE = "masks"
"""Of the streams of random numbers that a model takes."""
_global_streams = threading.RLock()
"""Held by the one who uses the global streams of this process."""


class NamedDraws(TorchDispatchMode):
    """Every random operation of torch draws from a stream of its own: (seed, "masks", "<name>/<place>").

    An operation is random if torch tags it so. One that was given a generator keeps it.

    Attributes:
        place: random operations so far.
        is_repeated: whether one of them came in a backward pass. Activation checkpointing repeats a forward pass there,
            and expects the numbers that torch's own generator gave it the first time.
    """

    def __init__(self, seed: int, name: str) -> None:
        super().__init__()
        self.seed, self.name, self.place, self.is_repeated = seed, name, 0, False
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and _is_random(func, args, given):
            return self._draw(func, args, given)
        return func(*args, **given)

    def _draw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        start = rng.stream_seed(self.seed, PURPOSE, f"{self.name}/{self.place}")
        self.place += 1
        self.is_repeated |= torch._C._current_graph_task_id() != -1
        written = [bool(each.alias_info and each.alias_info.is_write) for each in func._schema.arguments]
        # torch fills memory in its order, which differs between a stack and a trial; so each draw has the plain one
        plain = [
            value.contiguous() if isinstance(value, Tensor) and not is_written else value
            for value, is_written in zip(args, written, strict=False)
        ]
        if not (args and written[0] and isinstance(args[0], Tensor)):
            return self._seeded(start, func, plain, kwargs)
        drawn = torch.empty_like(args[0], memory_format=torch.contiguous_format)
        self._seeded(start, func, [drawn, *plain[1:]], kwargs)
        return args[0].copy_(drawn)

    def _seeded(self, start: int, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The operation with a generator that starts there; one that takes none gets torch's own, which is put back."""
        tensors = [value.device for value in args if isinstance(value, Tensor)]
        device = torch.device(kwargs.get("device") or (tensors[0] if tensors else "cpu"))
        if (seeded := _with_generator(func)) is not None:
            if device not in self._generators:
                self._generators[device] = torch.Generator(device)
            return seeded(*args, **{**kwargs, "generator": self._generators[device].manual_seed(start)})
        with _global_streams, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            _seed_torch(start, device)
            return func(*args, **kwargs)


def _is_random(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation that may draw does: not with a generator of its own, nor to drop nothing."""
    arguments = func._schema.arguments
    given = {each.name: value for each, value in zip(arguments, args, strict=False)}
    named = {**{each.name: each.default_value for each in arguments}, **given, **kwargs}
    return named.get("generator") is None and named.get("dropout_p") != 0 and named.get("train") is not False


@functools.cache
def _with_generator(func: Any) -> Any:
    """The overload of an operation that takes a generator, if there is one."""
    names = [each.name for each in func._schema.arguments]
    if "generator" in names:
        return func
    for overload in func.overloadpacket.overloads():
        other = getattr(func.overloadpacket, overload)
        if [each.name for each in other._schema.arguments if each.name != "generator"] == names and other is not func:
            return other
    return None


def _seed_torch(start: int, device: torch.device) -> None:
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(start)
    else:
        torch.default_generator.manual_seed(start)


@contextmanager
def drawing(manner: Manner, seed: int, name: str, device: torch.device) -> Iterator[NamedDraws | None]:
    """The context of a pass: where its random numbers come from.

    Args:
        name: of the pass, such as the number of the step.
    """
    with ExitStack() as stack:
        if manner.is_global:
            stack.enter_context(_global_streams)
            stack.enter_context(rng.isolated(seed, PURPOSE, name))
            if device.type == "cuda":
                stack.enter_context(torch.random.fork_rng(devices=[device]))
                _seed_torch(rng.stream_seed(seed, PURPOSE, name), device)
        yield stack.enter_context(NamedDraws(seed, name)) if manner.draws else None


def global_state() -> tuple[object, ...]:
    """Where the global streams of this process are: equal to an earlier value if nothing was drawn since."""
    _, keys, *place = np.random.get_state()  # noqa: NPY002
    return random.getstate(), keys.tobytes(), *place, bytes(torch.default_generator.get_state().tolist())  # type: ignore[union-attr]
