"""A model without parameter values, so that a tensor an initializer forgets cannot keep a default."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import nn

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.models.describe.describe import unplaced
from initsuite.spec import Params


def skeleton(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a model and move its parameters, not its buffers, to the meta device.

    What `describe` cannot place, and the slope of a PReLU, keeps the model's own value: no initializer has a say in it.
    See `built` and `emptied`.

    Args:
        build: makes the model on the CPU.

    Raises:
        ConfigError: `build` returned something else.
    """
    model = built(build)
    return emptied(model, unplaced(model))


def built(build: Callable[[], nn.Module]) -> nn.Module:
    """The model that `build` makes, the same each time, with the caller's random state on the CPU left as it was.

    Raises:
        ConfigError: `build` returned something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = build()
    if not isinstance(model, nn.Module):
        raise ConfigError(f"skeleton: bad model of type {type(model).__name__}. Expected a torch.nn.Module.")
    return model


def emptied(model: nn.Module, kept: Collection[str]) -> nn.Module:
    """The same model with its parameters, but those in `kept`, on the meta device.

    Buffers keep their values, which matter (masks, index tables, running statistics). Tied parameters stay tied, frozen
    ones frozen.
    """
    named = dict(model.named_parameters())
    empty = {named[name]: named[name] for name in kept}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter not in empty:
                shell = torch.empty_like(parameter, device="meta")
                empty[parameter] = nn.Parameter(shell, requires_grad=parameter.requires_grad)
            setattr(module, name, empty[parameter])
    return model


def own_values(build: Callable[[], nn.Module], names: Collection[str], seed: int) -> Params:
    """The values that a model itself gives these parameters, drawn from a stream of the seed."""
    with rng.isolated(seed, "model"):
        model = build()
    return {name: model.get_parameter(name).detach() for name in names}
