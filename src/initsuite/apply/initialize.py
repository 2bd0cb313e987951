"""The Python door: initialize your own model in place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Any

import pandas as pd
import torch
from torch import nn

from initsuite import rng
from initsuite.apply.account import account
from initsuite.apply.checks import check_model, check_parameters
from initsuite.apply.inplace import stand_in, write
from initsuite.apply.precision import Casts, check_held, dtypes_of
from initsuite.apply.remembered import remember
from initsuite.apply.wrapping import selected, unwrapped, without_prefix
from initsuite.config import catalogue
from initsuite.errors import (
    ConfigError,
    InitsuiteError,
    as_overrides,
    bad_value,
    check_whole_number,
    exits_are_errors,
    unknown_choice,
)
from initsuite.init import as_initializer
from initsuite.init.base.compose import ByLaws, draw
from initsuite.init.base.probing import on_cpu
from initsuite.init.base.requirements import reads_nonlinearity, warn_of_order
from initsuite.models.describe.describe import NOT_LEARNED, Description, examine
from initsuite.models.describe.examples import Example
from initsuite.models.describe.given import Given
from initsuite.models.describe.graph.matrices import lengths_of
from initsuite.spec import Initialization, Initializer, Params, ParamSpec, Probe, TensorInit
from initsuite.wording import format_first


def initialize_(
    model: nn.Module,
    initializer: str | Initializer | TensorInit | Callable[..., Any],
    seed: int = 0,
    probe: Probe | None = None,
    strict: bool = False,
    nonlinearity: Given | None = None,
    example: Any = None,
    frozen: str = "keep",
    only: str | Sequence[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Initialize a model in place.

    Values are drawn in float32 on the CPU, each from a stream named after (seed, tensor), and cast to the dtype of the
    model on its device: the same on every device, and inside a wrapper that passes everything on (DataParallel, DDP,
    torch.compile, AveragedModel, a LightningModule around a network). Tied parameters are drawn once and stay tied.
    Buffers, `requires_grad`, the mode (train or eval) and torch's global random state stay as they are. Everything is
    computed before anything is written: an error leaves the model as it was.

    In a model built under `torch.device("meta")`, new parameters on the CPU replace the old ones, and the running
    statistics of norm layers become those of new layers. Everything else without a value (other buffers, parameters
    that no law is for) is left on the meta device and named in a warning. One that is larger than memory is initialized
    part by part: call this with `only` for each part, and save it before the next.

    Args:
        model: any module; parameters whose part in it is not known keep their values.
        initializer: a name in `initializers()`, an instance of your own initializer or law for one tensor, or a plain
            function that fills a tensor, such as those of `torch.nn.init`.
        seed: from 0.
        probe: examples for the initializers that need data; they see them on the CPU, in float32.
        strict: raise an error, instead of a warning, for parameters whose part in the model is not known, and for
            weights that are no parameters.
        nonlinearity: what follows the layers, if the forward pass does not show it; one for all, or by name.
        example: inputs to follow through the forward pass: a tensor, a tuple of positional arguments, a dict of
            keywords, a pair of these two, or a batch (inputs, targets). None = those of the probe, or guessed from the
            configuration and the first layers of the model. They are never computed with where shapes are enough.
        frozen: what becomes of tensors with `requires_grad=False`: they `keep` their values, as fixed tables and
            pretrained layers should, or `draw` them, too.
        only: names of parameters, or of modules with parameters, to initialize; None = all. Each gets the values that
            it gets when all are initialized.
        options: options of the named initializer that replace its defaults; `forget_bias`, which any of them takes, is
            the bias of the forget gates of LSTMs.

    Returns:
        One row for each tensor: `tensor`; `shape`; `role`; `parts`, what its blocks are for; `fan_in` and `fan_out`;
        the `nonlinearity` that follows; `described_by`, where these come from: `graph`, a recorded forward pass, or
        `order`, the types of the layers in the order of registration; `factor`, what the model multiplies the tensor by
        before it uses it; `gain` and `expected_std`, as the law declares them for that product, NaN where it does not;
        `realised_mean` and `realised_std`, of the product as it is now; `how`: `drawn`, `kept` (the model's own value)
        or `missing` (on the meta device), or `derived` from a drawn one; `why` it is not drawn. `attrs["inputs"]` says
        which inputs the forward pass was followed on, empty where that failed; `attrs["lr_factors"]` is a dict of
        factors on the learning rate by tensor, for initializers that need them.

    Raises:
        ConfigError: an unknown name or option, a model that this initializer is not for, or parameters that cannot be
            written.
        InitsuiteError: the initializer failed, or the model on the example; with `strict`, what is kept.

    Example:
        >>> table = initialize_(nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)), "he")
        >>> table[["tensor", "role", "fan_in", "nonlinearity"]].head(2).values.tolist()
        [['0.weight', 'weight', 64, 'relu'], ['0.bias', 'bias', 64, 'relu']]
    """
    _check_arguments(model, seed, probe, frozen)
    chosen = chosen_initializer(initializer, options)
    check_model(model, strict)
    prefix, network = unwrapped(model)
    check_parameters(network)
    wanted = selected(network, only, prefix)
    description = examine(
        network,
        example=Example((probe.inputs,), {}, "the inputs of the probe") if example is None and probe else example,
        nonlinearity=without_prefix(nonlinearity, prefix),
        strict=strict,
        frozen=frozen,
    )
    _check_some(description)
    if reads_nonlinearity(chosen) and nonlinearity is None:
        warn_of_order(type(chosen).__name__, description.specs, "what follows each layer")
    start = start_of(chosen, network, description.specs, seed, probe, wanted)
    wanted |= {name for name, direction in description.lengths.items() if direction in wanted}
    params = {**start.params, **_lengths(network, description, start)}
    check_held({name: values for name, values in params.items() if name in wanted}, dtypes_of(network))
    start = Initialization({}, start.lr_factors)  # `write` lets go of what it has written
    write(network, params, wanted)
    del params
    _warn_of_lost(network, wanted)
    table = account(network, description, chosen, wanted, prefix)
    remember(network, table)
    table.attrs["inputs"] = description.recording.example.assumed if description.recording else ""
    table.attrs["lr_factors"] = {prefix + name: factor for name, factor in start.lr_factors.items() if name in wanted}
    _warn_of_factors(start, type(chosen).__name__)
    return table


def _check_arguments(model: object, seed: object, probe: object, frozen: str) -> None:
    if not isinstance(model, nn.Module):
        raise bad_value("initialize_", "model", type(model).__name__, "a torch.nn.Module")
    check_whole_number("initialize_", "seed", seed, minimum=0)
    if probe is not None and not isinstance(probe, Probe):
        fix = "Example: Probe(images, labels, torch.nn.functional.cross_entropy)"
        raise bad_value("initialize_", "probe", type(probe).__name__, "an initsuite.spec.Probe", fix)
    if frozen not in ("keep", "draw"):
        raise unknown_choice("initialize_", "frozen", frozen, ("keep", "draw"))


def chosen_initializer(initializer: object, options: Mapping[str, Any], where: str = "initialize_") -> Initializer:
    """The initializer, if it may be used on a user's model."""
    if not isinstance(initializer, str):
        if options:
            got = ", ".join(options)
            raise ConfigError(
                f"{where}: unexpected options {got} beside an instance of {type(initializer).__name__}. Expected "
                "none: they belong to named initializers. Give them to its class."
            )
        return as_initializer(initializer)
    built = catalogue.build(initializer, options, where)
    requires = catalogue.choice(initializer).get("requires")
    if requires and not getattr(built, "checks_model", False):
        raise ConfigError(
            f"initialize_: `{initializer}` is made for a model with the options {as_overrides(requires)}, and "
            "yours is not known to have them. Expected an initializer whose `requires` in initializers() is empty, or "
            "whose class says that it refuses other models (`checks_model = True`). "
            f"Compare it with python -m initsuite.train init={initializer}, which builds the model so."
        )
    return as_initializer(built)


def _check_some(description: Description) -> None:
    """Refuse a model of which no tensor would be drawn."""
    if not description.specs:
        reasons = "; ".join(dict.fromkeys(description.kept.values()))
        fix = (
            'Give frozen="draw" to initialize frozen tensors, too.' if NOT_LEARNED in description.kept.values() else ""
        )
        raise ConfigError(
            f"initialize_: nothing to initialize: every parameter is kept ({reasons}). Expected one that a law is for. "
            f"{fix}".rstrip()
        )


@rng.float32_on_cpu()
def start_of(
    initializer: Initializer,
    model: nn.Module,
    specs: Sequence[ParamSpec],
    seed: int,
    probe: Probe | None,
    wanted: Set[str],
) -> Initialization:
    """What the initializer returns, checked: a finite value for each tensor that has a place, and for no other.

    Where each tensor has a law of its own, only the tensors in `wanted` are drawn, each in the dtype of the model.
    """
    name = type(initializer).__name__
    try:
        if isinstance(initializer, ByLaws) and type(initializer).__call__ is ByLaws.__call__:
            return _by_laws(initializer, model, specs, seed, wanted)
        given = stand_in(model, {spec.name for spec in specs})
        with exits_are_errors():
            start = initializer(given, specs, seed=seed, probe=probe and on_cpu(probe))
    except InitsuiteError:
        raise
    except Exception as error:  # an initializer runs the user's code, which may raise anything
        raise InitsuiteError(f"initialize_: {name} failed. {type(error).__name__}: {error}") from error
    return Initialization.checked(start, specs, name).finite(name)


def _by_laws(
    initializer: ByLaws, model: nn.Module, specs: Sequence[ParamSpec], seed: int, wanted: Set[str]
) -> Initialization:
    """The same as calling the initializer, in less memory: it sees no values, and none is kept in float32 as well.

    The largest tensors come first, while there is still room for what a law computes on the way.
    """
    dtypes = dtypes_of(model)
    laws = initializer.laws(stand_in(model, dtypes), specs)
    shapes = {name: torch.empty(spec.shape, device="meta") for name, (_, spec) in laws.items()}
    Initialization.checked(Initialization(shapes), specs, type(initializer).__name__)
    order = sorted(wanted & laws.keys(), key=lambda name: -shapes[name].numel())
    casts = Casts()
    params = {name: casts.to(dtypes[name], draw(*laws[name], seed), name) for name in order}
    casts.warn(type(initializer).__name__)
    return Initialization(params)


def _lengths(model: nn.Module, description: Description, start: Initialization) -> Params:
    """The lengths of rows whose direction alone the model takes from a tensor, so that it uses what was drawn."""
    return {
        name: lengths_of(start.params[direction].float(), model.get_parameter(name).shape)
        for name, direction in description.lengths.items()
        if direction in start.params
    }


def _warn_of_factors(start: Initialization, name: str) -> None:
    """Say what is left to do where a law is about learning rates, too."""
    if any(factor != 1 for factor in start.lr_factors.values()):
        warnings.warn(
            f"initialize_: {name} is half of a law: multiply the learning rate of each tensor by its factor in "
            'table.attrs["lr_factors"], in parameter groups of your optimizer.',
            stacklevel=3,
        )


def _warn_of_lost(model: nn.Module, wanted: Collection[str]) -> None:
    """Name tensors that are still on the meta device, among those that were to be initialized."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    lost = [f"`{name}`" for name, tensor in tensors if tensor.is_meta and name in wanted]
    if lost:
        named = format_first(lost, 4)
        warnings.warn(
            f"initialize_: no value for tensors on the meta device: {named}. No law is for them, and what the "
            "model gave them is lost. Build the model without torch.device('meta'), or set them.",
            stacklevel=3,
        )
