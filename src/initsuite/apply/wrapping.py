"""What a wrapper wraps: DataParallel, DDP, torch.compile, AveragedModel, a LightningModule around a network ..."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from initsuite import rng
from initsuite.errors import bad_value
from initsuite.models.describe.given import Given

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
LIGHTNING = "LightningModule"


def unwrapped(model: nn.Module) -> tuple[str, nn.Module]:
    """The network inside wrappers, so that it is drawn from the same streams with and without them.

    A wrapper has no parameters of its own, and passes what it is called with on to the one child that has some. Whether
    it does is known where it takes any inputs, as wrappers for any model must, and otherwise from a call on objects
    that are no tensors: whatever touches them fails. A network that holds its own layers in an nn.Sequential is none.

    Returns:
        What the names of the parameters in the wrapper begin with, and the network; "" and the model itself if it wraps
        nothing.

    Example:
        >>> unwrapped(nn.DataParallel(nn.Linear(2, 3)))
        ('module.', Linear(in_features=2, out_features=3, bias=True))
    """
    prefix = ""
    while (name := _only_child(model)) and _passes_on(model, name):
        prefix, model = f"{prefix}{name}.", model.get_submodule(name)
    return prefix, model


def _only_child(module: nn.Module) -> str:
    """The name of the one child with parameters; "" if there are several, or others beside it."""
    names = [name for name, child in module.named_children() if next(child.parameters(), None) is not None]
    has_own = next(module.parameters(recurse=False), None) is not None
    return names[0] if len(names) == 1 and not has_own and not isinstance(module, CONTAINERS) else ""


def _passes_on(module: nn.Module, name: str) -> bool:
    if type(module).__module__.startswith("initsuite."):
        return False
    if getattr(module.forward, "__name__", "") == "_forward_unimplemented":  # torch's own, which takes any inputs
        return False
    parameters = list(inspect.signature(module.forward).parameters.values())
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return True
    is_lightning = any(kind.__name__ == LIGHTNING for kind in type(module).__mro__)
    if isinstance(module.get_submodule(name), CONTAINERS) and not is_lightning:
        return False
    inputs = tuple(object() for each in parameters if each.default is each.empty)
    return bool(inputs) and _is_call(module, name, inputs)


def _is_call(module: nn.Module, name: str, inputs: tuple[object, ...]) -> bool:
    """Whether `forward` calls the child with these inputs, once, and returns what that returns."""
    child = _Recorder()
    shell = copy.copy(module)
    held = (dict, list, set)
    vars(shell).update({key: copy.copy(value) for key, value in vars(module).items() if isinstance(value, held)})
    vars(shell)["_modules"] = {**module._modules, name: child}
    try:
        with rng.isolated(0, "unwrapped"):
            output = shell.forward(*inputs)
    except Exception:  # a model's own code may raise anything
        return False
    return output is child.output and child.calls == [(inputs, {})]


class _Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.output = object()

    def forward(self, *args: Any, **kwargs: Any) -> object:
        self.calls.append((args, kwargs))
        return self.output


def without_prefix(given: Given | None, prefix: str) -> Given | None:
    """The nonlinearities that a user gave, by the names inside of the wrapper."""
    if not isinstance(given, Mapping):
        return given
    return {name.removeprefix(prefix): value for name, value in given.items()}


def selected(network: nn.Module, only: str | Sequence[str] | None, prefix: str) -> set[str]:
    """The parameters and buffers of a network that `only` names, as tensors or by a module that holds them.

    Raises:
        ConfigError: a name that is not in the network.
    """
    names = [name for name, _ in (*network.named_parameters(), *network.named_buffers())]
    if only is None:
        return set(names)
    chosen: set[str] = set()
    for given in [only] if isinstance(only, str) else only:
        local = str(given).removeprefix(prefix)
        found = [name for name in names if name == local or name.startswith(f"{local}.")]
        if not found:
            expected = "the name of a parameter, or of a module with parameters"
            raise bad_value("initialize_", "only", given, expected, "See model.named_parameters().")
        chosen.update(found)
    return chosen
