"""A person's own model as what the suite trains: its structure, the facts about its parameters, its identity."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves

from initsuite import rng
from initsuite.apply.checks import check_is_python
from initsuite.apply.own.reading import WHERE
from initsuite.apply.own.sources import Identity, digest_of, is_plain, state_of
from initsuite.apply.wrapping import unwrapped
from initsuite.data.base import Split
from initsuite.engine.passes import arguments
from initsuite.errors import ConfigError, bad_value
from initsuite.models.copying import copied
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.skeleton import built, emptied, own_values
from initsuite.spec import Params, ParamSpec, Role
from initsuite.wording import first_line

FEW = 8
"""Examples that a model is tried on before anything else."""
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Network:
    """A model without values.

    Attributes:
        model: its parameters on the meta device, but those without specs, which keep their values.
        specs: the facts about each parameter that an initializer draws.
        own_values: as in `Workload`.
        label: what to call it.
        activation: what follows its layers, in a word.
        returned: what it returns for the first examples.
        identity: of its source, its structure and its attributes.
    """

    model: nn.Module
    specs: tuple[ParamSpec, ...]
    own_values: Callable[[int], Params] | None
    label: str
    activation: str
    returned: Any
    identity: Identity


def network_of(given: Any, training: Split) -> Network:
    """A class or function without arguments, or an instance, as a network; an instance is left as it is.

    Args:
        training: its first examples are what the model is tried on, and its forward pass recorded with.

    Raises:
        ConfigError: what is no model, cannot be made or copied, does not take the data, or has nothing to learn.
    """
    build, model = _made(given)
    few = training.map(lambda tensor: tensor[:FEW])
    returned = _returned(model, few)
    args, kwargs = arguments(few.map(lambda tensor: tensor[:2]).inputs)
    found = describe(model, example=Example(args, kwargs, "two of your examples"))
    specs = tuple(spec for spec in found if model.get_parameter(spec.name).requires_grad)
    if not specs:
        raise bad_value(WHERE, "model", _label(given, model), "a model with weights that are learned")
    kept = {name for name, _ in model.named_parameters()} - {spec.name for spec in specs}
    own = functools.partial(own_values, build, sorted(kept)) if kept and build else None
    identity = _identity(model, specs, kept if build is None else (), build if own else None)
    return Network(emptied(model, kept), specs, own, _label(given, model), _activation(specs), returned, identity)


def _made(given: Any) -> tuple[Callable[[], nn.Module] | None, nn.Module]:
    """What makes the model anew, if anything does, and a model of ours to look at, with values."""
    if isinstance(given, nn.Module):
        check_is_python(given, WHERE)
        network = unwrapped(given)[1]
        model = copied(network)
        if model is network:
            fix = "Give its class, or a function that makes it."
            raise bad_value(WHERE, "model", f"a {type(network).__name__} that cannot be copied", "one that can", fix)
        for module in model.modules():
            if isinstance(module, _NormBase):
                module.reset_running_stats()
        return None, _on_cpu(model)
    if not callable(given):
        expected = "a class or function without arguments, an instance of nn.Module, or the name of a model"
        raise bad_value(WHERE, "model", type(given).__name__, expected)
    name = getattr(given, "__name__", type(given).__name__)
    try:
        inspect.signature(given).bind()
    except TypeError as error:
        fix = f"Give lambda: {name}(...), functools.partial({name}, ...), or an instance."
        raise bad_value(WHERE, "model", name, f"a class or function that takes no arguments ({error})", fix) from None
    except ValueError:  # no signature
        pass

    def build() -> Any:
        model = given()
        return _on_cpu(unwrapped(model)[1]) if isinstance(model, nn.Module) else model

    try:
        model = built(build)
    except ConfigError as error:
        raise bad_value(WHERE, "model", name, "what makes an nn.Module") from error
    except Exception as error:  # a person's code may raise anything
        raise ConfigError(f"{WHERE}: cannot make the model: {name}() failed. {first_line(error)}") from error
    check_is_python(model, WHERE)
    return build, model


def _on_cpu(model: nn.Module) -> nn.Module:
    """On the CPU, its half-precision numbers in float32: trials start there, and `dtype` says what they train in."""
    return model.to("cpu")._apply(lambda tensor: tensor.float() if tensor.dtype in HALF else tensor)


def _returned(model: nn.Module, few: Split) -> Any:
    """What the model returns for a few examples.

    Raises:
        ConfigError: it does not take them.
    """
    args, kwargs = arguments(few.inputs)
    try:
        with torch.no_grad(), rng.isolated(0, "compare"):
            return model.eval()(*args, **kwargs)
    except Exception as error:  # a person's code may raise anything
        fix = ""
        if all(each.dtype == torch.float64 for each in model.parameters()):
            fix = " Give model.float(): trials start in float32, and dtype='float64' trains in it."
        raise ConfigError(
            f"{WHERE}: {type(model).__name__} does not take your data: inputs {shapes_of(few.inputs)}. "
            f"{first_line(error)}. Expected inputs that model(inputs) takes: a tuple is passed on as arguments, a "
            f"dictionary as keywords.{fix}"
        ) from error


def shapes_of(tree: Any) -> str:
    """The types and shapes of tensors, for people.

    Example:
        >>> shapes_of((torch.zeros(2, 3), torch.zeros(2).long()))
        'float32 [2, 3] and int64 [2]'
    """
    leaves = [each for each in tree_leaves(tree) if isinstance(each, Tensor)]
    return " and ".join(f"{str(each.dtype).removeprefix('torch.')} {list(each.shape)}" for each in leaves)


def _label(given: Any, model: nn.Module) -> str:
    """The name of the class; of a container of torch, that of what made it, if it has one."""
    name = str(getattr(given, "__name__", ""))
    is_plain_container = type(model).__module__.startswith("torch.nn.")
    return name if name and is_plain_container and name != "<lambda>" else getattr(model, "label", type(model).__name__)


def _activation(specs: tuple[ParamSpec, ...]) -> str:
    """The commonest nonlinearity after a weight."""
    follows = Counter(
        each.name
        for spec in specs
        if spec.role in (Role.WEIGHT, Role.RECURRENT)
        for each in (spec.nonlinearities or (spec.nonlinearity,))
        if each is not None
    )
    return follows.most_common(1)[0][0] if follows else "identity"


def _identity(model: nn.Module, specs: tuple[ParamSpec, ...], kept: Any, build: Any) -> Identity:
    """What decides the numbers of a model: its source, its structure, its attributes, and values that stay.

    Args:
        kept: parameters of an instance that no initializer draws: their values count.
        build: what draws such values for each seed; its source counts.
    """
    found = Identity(*([build] if build else []))
    for place, module in model.named_modules():
        found.add(type(module))
        found.add(f"{type(module).__module__}.{type(module).__qualname__}", f"module {place}")
        for name, value in _attributes(module):
            found.add(value, f"{place}.{name}")
    for name, parameter in model.named_parameters(remove_duplicate=False):
        facts = (tuple(parameter.shape), parameter.dtype, parameter.requires_grad)
        found.add((*facts, digest_of(parameter) if name in kept else ""), f"parameter {name}")
    for name, buffer in model.named_buffers():
        found.add(digest_of(buffer), f"buffer {name}")
    for spec in specs:
        found.add(repr(spec), f"spec {spec.name}")
    return found


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The values, functions and tensors that a module keeps besides its parameters, buffers and children."""
    for name, value in vars(module).items():
        if name == "training" or name.startswith("_") or isinstance(value, nn.Module):
            continue
        if is_plain(value) or callable(value) or isinstance(value, Tensor):
            yield name, value
        else:  # such as a configuration: its own values, and no further
            yield name, {key: each for key, each in state_of(value).items() if is_plain(each)}
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        for index, hook in enumerate(getattr(module, name).values()):
            yield f"{name}[{index}]", hook
