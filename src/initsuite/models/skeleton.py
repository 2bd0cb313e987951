"""A model without parameter values, so that a tensor an initializer forgets cannot keep a default."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from initsuite.errors import ConfigError
from initsuite.models.describe.describe import unplaced


def skeleton(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a model and move its parameters, not its buffers, to the meta device.

    Buffers keep their values, which matter (masks, index tables, running statistics); those that the model draws at
    random come out the same each time. The caller's random state on the CPU is left as it was. Tied parameters stay
    tied, frozen ones frozen. What `describe` cannot place, and the slope of a PReLU, keeps the model's own value: no
    initializer has a say in it.

    Args:
        build: makes the model on the CPU.

    Raises:
        ConfigError: `build` returned something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = build()
    if not isinstance(model, nn.Module):
        raise ConfigError(f"skeleton: bad model of type {type(model).__name__}. Expected a torch.nn.Module.")
    named = dict(model.named_parameters())
    empty = {named[name]: named[name] for name in unplaced(model)}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter not in empty:
                shell = torch.empty_like(parameter, device="meta")
                empty[parameter] = nn.Parameter(shell, requires_grad=parameter.requires_grad)
            setattr(module, name, empty[parameter])
    return model
