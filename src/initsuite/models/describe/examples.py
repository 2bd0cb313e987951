"""Inputs to try a model on: those that a user gives, or guesses from what the model says about itself.

A guess is never checked here: whoever asks runs the model on one after the other, until one passes.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from initsuite.errors import bad_value
from initsuite.models.describe.inputs import (
    LENGTHS,
    NEIGHBOURS,
    NODES,
    PICTURES,
    STEPS,
    Input,
    named,
    picture,
    setting,
    tokens,
    vectors,
)

SIGNALS = {1: (64, 1024, 16000), 3: (16, 32, 64)}
"""Sizes to try in front of a convolution over one and over three dimensions."""
MOST = 30
"""Guesses in all. A model that fails on so many fails for another reason."""


@dataclass(frozen=True)
class Example:
    """What to call a model with.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments.
        assumed: what they are, in words.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    assumed: str = ""


def given(example: object, model: nn.Module) -> Example:
    """What a user gives as `example=`, with every tensor on the CPU and every real one in float32.

    Args:
        example: a tensor; a tuple or list of positional arguments; a mapping of keywords; or a pair of these two. The
            last of several arguments is left out where `forward` takes one less: a batch of inputs and targets.
        model: what will be called with it.

    Raises:
        ConfigError: anything else.
    """
    args: Sequence[Any]
    if isinstance(example, Tensor):
        args, kwargs = (example,), {}
    elif isinstance(example, Mapping) and all(isinstance(name, str) for name in example):
        args, kwargs = (), dict(example)
    elif isinstance(example, (tuple, list)) and example:
        is_pair = len(example) == 2 and isinstance(example[0], (tuple, list)) and isinstance(example[1], Mapping)
        args, kwargs = example if is_pair else (_without_targets(example, model), {})
    else:
        expected = "a tensor, a tuple of positional arguments, a dict of keywords, or a pair (arguments, keywords)"
        fix = "For batches, give one: example=next(iter(loader)). Put another kind of object into a tuple."
        raise bad_value("initialize_", "example", type(example).__name__, expected, fix)
    return Example(tree_map(_plain, tuple(args)), tree_map(_plain, dict(kwargs)), "the example given")


def _plain(value: object) -> object:
    if not isinstance(value, Tensor) or value.is_meta:
        return value
    return value.detach().to("cpu", torch.float32 if value.is_floating_point() else value.dtype)


def _without_targets(batch: Sequence[Any], model: nn.Module) -> Sequence[Any]:
    """The positional arguments of a batch."""
    kinds = [each.kind for each in inspect.signature(_innermost(model).forward).parameters.values()]
    takes = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    is_batch = len(batch) == takes + 1 and inspect.Parameter.VAR_POSITIONAL not in kinds
    return batch[:takes] if is_batch and takes else batch


def guesses(model: nn.Module) -> Iterator[Example]:
    """Inputs that the model may take, the likeliest first, on the CPU in float32 or long.

    The parameters may be on the meta device, and no random state is touched. Sizes come from the configuration of the
    model (timm, transformers, diffusers), from attributes that say them, and from its first layers; the number of
    inputs from the signature of `forward`, and some of them from their names.
    """
    inner = _innermost(model)
    made = itertools.chain(_by_configuration(inner), _by_layers(inner))
    seen = set()
    for example in itertools.islice(made, 4 * MOST):
        if example.assumed not in seen and len(seen) < MOST:
            seen.add(example.assumed)
            yield example


def _innermost(model: nn.Module) -> nn.Module:
    """What a wrapper of any inputs, such as DataParallel, passes them on to."""
    while True:
        first = next(iter(inspect.signature(model.forward).parameters.values()), None)
        inside = [child for child in model.children() if next(child.parameters(), None) is not None]
        if first is None or first.kind is not inspect.Parameter.VAR_POSITIONAL or len(inside) != 1:
            return model
        model = inside[0]


def _example(inputs: Mapping[str, Input], options: Mapping[str, Any], batch: int) -> Example:
    tensors = {name: each.tensor()[:batch] for name, each in inputs.items()}
    words = " and ".join(each.words for each in inputs.values())
    return Example((), {**tensors, **options}, words if batch == 2 else f"the first of {words}")


# ---- what the configuration says ------------------------------------------------------------------------------------


MODALITIES = ("input_ids", "pixel_values", "input_features")
"""What a model of several kinds of input takes, by the names of transformers."""


def _by_configuration(model: nn.Module) -> Iterator[Example]:
    """Guesses for a model of transformers, whose arguments are all optional: `main_input_name` says what it needs."""
    main = str(getattr(model, "main_input_name", ""))
    parameters = inspect.signature(model.forward).parameters
    if main not in parameters or not hasattr(model, "config"):
        return
    wanted = [name for name in (main, *MODALITIES) if name in parameters]
    if getattr(model.config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        wanted.append("decoder_input_ids")
    options = {"use_cache": False} if "use_cache" in parameters else {}
    for length, batch in (*((length, 2) for length in LENGTHS), (LENGTHS[0], 1)):
        every = {name: found for name in wanted if (found := named(model, name, length))}
        alone = {name: found for name, found in every.items() if name == main or name not in MODALITIES}
        if main in every:
            yield from (_example(inputs, options, batch) for inputs in (every, alone))


# ---- what the first layers say --------------------------------------------------------------------------------------


def _by_layers(model: nn.Module) -> Iterator[Example]:
    """Guesses by the first layer of each kind: what it takes is what the model is given."""
    names, entries = _required(model), list(_entries(model))
    for first in entries:
        for inputs in [names] if names else (["input"] * count for count in (1, 2, 3)):
            known = [named(model, name, LENGTHS[0]) for name in inputs[1:]]
            yield _positional(first, *(found or first for found in known))
            if known and not all(known):
                yield from (_positional(first, *(found or other for found in known)) for other in (STEPS, *entries))
            if known:  # as functions of space and time: several numbers, joined to one vector
                yield from (_positional(*(part,) * len(inputs)) for part in _split(first, len(inputs)))


def _positional(*inputs: Input) -> Example:
    return Example(tuple(each.tensor() for each in inputs), {}, " and ".join(each.words for each in inputs))


def _split(whole: Input, count: int) -> Iterator[Input]:
    if len(whole.shape) == 2 and not whole.below and whole.shape[1] % count == 0:
        yield vectors(whole.shape[1] // count)


def _required(model: nn.Module) -> list[str]:
    """The arguments without a default; the first one if all have one, and none of a function of any inputs."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    every = [each for each in inspect.signature(model.forward).parameters.values() if each.kind in kinds]
    return [each.name for each in every if each.default is each.empty] or [each.name for each in every[:1]]


def _entries(model: nn.Module) -> Iterator[Input]:
    """Inputs for the first layer of each kind, in the order of registration, the smallest of each first."""
    found: dict[str, list[Input]] = {}
    for module in model.modules():
        for kind, inputs in _taken(model, module):
            made = list(inputs)
            if kind not in found:
                found[kind] = made
            elif (
                made[0] not in found[kind]
            ):  # the layer that is registered first need not be the first one that is used
                found[kind].append(made[0])
    if not found:  # a model of bare parameters
        sizes = [size for parameter in model.parameters() if parameter.ndim == 2 for size in parameter.shape]
        found = {"vector": [vectors(size) for size in sizes], "sequence": [vectors(size, LENGTHS[0]) for size in sizes]}
    is_graph = not NEIGHBOURS.keys().isdisjoint(_required(model))
    is_sequence = any(isinstance(each, (nn.RNNBase, nn.MultiheadAttention)) for each in model.modules())
    order = ["nodes"] * is_graph + ["sequence"] * is_sequence + [kind for kind in found if kind != "nodes"]
    for turn in itertools.zip_longest(*(found.get(kind, ()) for kind in dict.fromkeys(order))):
        yield from filter(None, turn)


def _taken(model: nn.Module, module: nn.Module) -> Iterator[tuple[str, Iterable[Input]]]:
    """What a layer takes, by its kind."""
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        yield "tokens", (tokens(length, module.num_embeddings) for length in LENGTHS)
    elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        channels = module.in_channels
        yield "picture", (picture(channels, *sides) for sides in _sides(model))
    elif isinstance(module, (nn.Conv1d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose3d)):
        channels, dimensions = module.in_channels, len(module.kernel_size)
        shapes = [(2, channels, *(side,) * dimensions) for side in SIGNALS[dimensions]]
        yield "signal", (Input(shape, f"2 signals of {' x '.join(map(str, shape[1:]))}") for shape in shapes)
    elif isinstance(module, nn.Bilinear):
        yield "vector", (vectors(module.in1_features), vectors(module.in2_features))
    elif features := _features(module):
        yield "nodes", (Input((NODES, features), f"{NODES} nodes of {features} features"),)
        yield "vector", (vectors(features),)
        yield "sequence", (vectors(features, length) for length in LENGTHS)


def _features(module: nn.Module) -> int | None:
    """The size of the vectors that a layer takes, by the names that torch and others give it."""
    if isinstance(module, nn.LayerNorm):
        return module.normalized_shape[-1]
    names = ["in_features", "in_channels"]
    names += ["embed_dim"] * isinstance(module, nn.MultiheadAttention)
    names += ["input_size"] * isinstance(module, (nn.RNNBase, nn.RNNCellBase))
    found = [getattr(module, name, None) for name in names]
    return next((each for each in found if isinstance(each, int) and each > 0), None)


def _sides(model: nn.Module) -> list[tuple[int, ...]]:
    """Heights and widths of pictures: what the model or a part of it declares, then the usual ones."""
    declared = [getattr(module, name, None) for module in model.modules() for name in ("image_size", "img_size")]
    declared += [setting(model, "image_size", "sample_size")]
    declared += [(getattr(model, "pretrained_cfg", None) or {}).get("input_size", ())[1:]]
    pairs = [(each, each) if isinstance(each, int) else tuple(each or ()) for each in declared]
    usual = [(side, side) for side in PICTURES]
    return list(dict.fromkeys(pair for pair in (*pairs, *usual) if len(pair) == 2))
