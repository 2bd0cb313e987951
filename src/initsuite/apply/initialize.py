"""The Python door: initialize your own model in place."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import nn

from initsuite import rng
from initsuite.apply.account import account
from initsuite.apply.inplace import check_parameters, stand_in, write
from initsuite.config import catalogue
from initsuite.errors import ConfigError, InitsuiteError, as_overrides, bad_value, check_whole_number
from initsuite.init import as_initializer
from initsuite.init.base.probing import on_cpu
from initsuite.models.describe.describe import describe
from initsuite.spec import Activation, Initialization, Initializer, ParamSpec, Probe, TensorInit
from initsuite.wording import format_first


def initialize_(
    model: nn.Module,
    initializer: str | Initializer | TensorInit,
    seed: int = 0,
    probe: Probe | None = None,
    strict: bool = False,
    nonlinearity: Activation | str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Initialize a model in place.

    Values are drawn in float32 on the CPU, each from a stream named after (seed, tensor), and cast to the dtype of the
    model on its device: the same on every device. Frozen parameters are initialized too. Tied ones are drawn once and
    stay tied. Buffers, `requires_grad`, the mode (train or eval) and torch's global random state stay as they are.
    Everything is computed before anything is written: an error leaves the model as it was.

    In a model built under `torch.device("meta")`, new parameters on the CPU replace the old ones, and the running
    statistics of norm layers become those of new layers. Everything else without a value (other buffers, parameters
    that no law is for) is left on the meta device and named in a warning.

    Args:
        model: any module; parameters that `describe` cannot place in a layer keep their values.
        initializer: a name in `initializers()`, or an instance of your own initializer or law for one tensor.
        seed: from 0.
        probe: examples for the initializers that need data; they see them on the CPU, in float32.
        strict: raise an error, instead of a warning, for parameters that cannot be placed.
        nonlinearity: what follows the layers, if tracing the model does not show it.
        options: options of the named initializer that replace its defaults.

    Returns:
        One row for each tensor: `tensor`; `shape`; `role`; `parts`, what its blocks are for; `fan_in` and `fan_out`;
        the `nonlinearity` that follows; `gain` and `expected_std`, as the law declares them, NaN where it does not;
        `realised_mean` and `realised_std`, of the entries now in the model; `how`: `drawn`, `kept` (the model's own
        value) or `missing` (on the meta device). `attrs["lr_factors"]` is a dict of factors on the learning rate by
        tensor, for initializers that need them.

    Raises:
        ConfigError: an unknown name or option, a model that this initializer is not for, or parameters that cannot be
            written.
        InitsuiteError: the initializer failed; with `strict`, a parameter without a place.

    Example:
        >>> table = initialize_(nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)), "he")
        >>> table[["tensor", "role", "fan_in", "nonlinearity"]].head(2).values.tolist()
        [['0.weight', 'weight', 64, 'relu'], ['0.bias', 'bias', 64, 'relu']]
    """
    _check_arguments(model, seed, probe)
    chosen = _chosen(initializer, options)
    check_parameters(model)
    specs = describe(model, strict=strict, nonlinearity=nonlinearity)
    start = _start(chosen, stand_in(model, {spec.name for spec in specs}), specs, seed, probe)
    write(model, start.params)
    _warn_of_lost(model)
    table = account(model, specs, chosen)
    table.attrs["lr_factors"] = dict(start.lr_factors)
    if any(factor != 1 for factor in start.lr_factors.values()):
        warnings.warn(
            f"initialize_: {type(chosen).__name__} is half of a law: multiply the learning rate of each tensor by its "
            'factor in table.attrs["lr_factors"], in parameter groups of your optimizer.',
            stacklevel=2,
        )
    return table


def _check_arguments(model: object, seed: object, probe: object) -> None:
    if not isinstance(model, nn.Module):
        raise bad_value("initialize_", "model", type(model).__name__, "a torch.nn.Module")
    check_whole_number("initialize_", "seed", seed, minimum=0)
    if probe is not None and not isinstance(probe, Probe):
        fix = "Example: Probe(images, labels, torch.nn.functional.cross_entropy)"
        raise bad_value("initialize_", "probe", type(probe).__name__, "an initsuite.spec.Probe", fix)


def _chosen(initializer: object, options: Mapping[str, Any]) -> Initializer:
    """The initializer, if it may be used on a user's model."""
    if not isinstance(initializer, str):
        if options:
            got = ", ".join(options)
            raise ConfigError(
                f"initialize_: unexpected options {got} beside an instance of {type(initializer).__name__}. Expected "
                "none: they belong to named initializers. Give them to its class."
            )
        return as_initializer(initializer)
    built = catalogue.build(initializer, options)
    requires = catalogue.choice(initializer).get("requires")
    if requires and not getattr(built, "checks_model", False):
        raise ConfigError(
            f"initialize_: `{initializer}` is made for a model with the options {as_overrides(requires)}, and "
            "yours is not known to have them. Expected an initializer whose `requires` in initializers() is empty, or "
            "whose class says that it refuses other models (`checks_model = True`). "
            f"Compare it with python -m initsuite.train init={initializer}, which builds the model so."
        )
    return as_initializer(built)


@rng.float32_on_cpu()
def _start(
    initializer: Initializer, model: nn.Module, specs: Sequence[ParamSpec], seed: int, probe: Probe | None
) -> Initialization:
    """What the initializer returns, checked: a finite value for each tensor that has a place, and for no other."""
    name = type(initializer).__name__
    try:
        start = initializer(model, specs, seed=seed, probe=probe and on_cpu(probe))
    except InitsuiteError:
        raise
    except Exception as error:  # an initializer runs the user's code, which may raise anything
        raise InitsuiteError(f"initialize_: {name} failed. {type(error).__name__}: {error}") from error
    Initialization.checked(start, specs, name)
    for key, tensor in start.params.items():
        if not tensor.isfinite().all():
            raise ConfigError(f"{name}: bad values of `{key}`: not finite. Expected finite numbers.")
    return start


def _warn_of_lost(model: nn.Module) -> None:
    """Name tensors that are still on the meta device."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    lost = [f"`{name}`" for name, tensor in tensors if tensor.is_meta]
    if lost:
        named = format_first(lost, 4)
        warnings.warn(
            f"initialize_: no value for tensors on the meta device: {named}. No law is for them, and what the "
            "model gave them is lost. Build the model without torch.device('meta'), or set them.",
            stacklevel=3,
        )
