"""From a module to the facts about each of its parameters: the one place where fans are known."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from initsuite.errors import InitsuiteError, callers_level
from initsuite.models.describe.following import activation_called, activation_of, following_in_order, without_identity
from initsuite.models.describe.given import Given, chooser
from initsuite.models.describe.layers import EMBEDDINGS, LAYERS, NORM_PARAMETERS, NORMS
from initsuite.models.describe.places import Place, Places, Site, find_places
from initsuite.models.describe.residual import Member, members
from initsuite.models.describe.tracing import Trace, trace
from initsuite.spec import Activation, ParamSpec, Role
from initsuite.wording import plural


def describe(model: nn.Module, *, nonlinearity: Given | None = None, strict: bool = False) -> list[ParamSpec]:
    """The facts about every parameter of a model, in the order of `model.named_parameters()`.

    The values are never read: the parameters may be on the meta device.

    Fans follow from the type of the layer.
        Linear: (inputs, outputs). Bilinear: (inputs1 inputs2, outputs inputs2), as seen from the first input.
        Convolution, k taps, g groups: (k inputs / g, k outputs / g), transposed or not, whatever the stride. With a
            stride of s in d dimensions an output of a transposed convolution sums over k / s^d taps on average, and an
            input of an ordinary one feeds as many; neither is divided out. torch.nn.init swaps the two fans of
            a transposed convolution.
        Embedding: (1, features), since a look-up sums over one row. The row of a `padding_idx` is not marked:
            whoever writes the values must keep it at 0.
        RNN, LSTM, GRU and their cells: a layer for each direction of each level; (inputs, hidden) of what comes in,
            (hidden, hidden) of RECURRENT weights. The gates are blocks.
        MultiheadAttention: query, key and value are one layer, (inputs, features) each, blocks where they are packed;
            the output projection is another one.
        A norm carries the facts of the layer with weights before it, or, at the start of a model, of the first one.
        `class_token`, `pos_embedding` and the like, held by the model itself, are embeddings: (1, features).
    A parameter that several modules share is described once, under its first name, by the first of them that multiplies
    by it: an embedding tied to the head has the fans of the head.

    The nonlinearity of a layer is the first one that its output meets before the next layer with weights; norm,
    pooling, dropout, reshaping, sums and nn.Identity are passed over. It is read from a trace of the forward pass where
    `torch.fx` can make one, whether it is a module or a function. Without a trace it is the next activation module, in
    the order of registration. A recurrent layer has its own; with gates, which are sigmoid, it is that of the cell
    (tanh).

    The head is the layer whose output reaches the model's output last (without a trace, the last one registered). A
    model whose last layer is an embedding, a recurrent layer or part of a residual branch has no head.

    Residual branches are those of `models.branch.Branch`, of torch's transformer layers and torchvision's (and timm's)
    ResNet, ViT and Swin blocks, by the name of the class, and in a trace every sum of a tensor and one computed from
    it. A shortcut with weights of its own is not recognised in an unknown block.

    The groups of a convolution are independent matrices: `blocks` has one entry for each.

    Args:
        model: any module.
        nonlinearity: what follows, instead of what is found: one for all layers but embeddings and the head, or by the
            name of a parameter or of a module with parameters (the longest name counts). A name of
            `activations.FUNCTIONS`, or an `Activation`.
        strict: refuse parameters that cannot be placed, which are otherwise left out and named in a warning. Their
            values, like the slopes of PReLU, are for the model to set: see `unplaced`.

    Raises:
        InitsuiteError: no layer with weights, a parameter without entries or of no shape yet, or with `strict` one that
            cannot be placed.
        ConfigError: `nonlinearity` names what is not there.

    Example:
        >>> describe(nn.Sequential(nn.Linear(3, 8, bias=False), nn.ReLU(), nn.Linear(8, 2)))[0].fan_out
        8
    """
    places = find_places(model)
    _report(model, places, strict)
    context = _context(model, places.sites)
    is_blind = not context.is_traced and not any(activation_of(module) for module in model.modules())
    is_network = len(context.sites) > 1 and not isinstance(model, LAYERS)
    if is_network and is_blind and nonlinearity is None and not any(context.follows):
        _warn_of_unseen(model)
    choose = chooser(nonlinearity, places)
    specs = []
    for name, place in places.found.items():
        spec = _spec(name, tuple(model.get_parameter(name).shape), place, context)
        specs.append(replace(spec, nonlinearity=choose(spec, place)))
    return specs


def unplaced(model: nn.Module) -> list[str]:
    """Names of the parameters that `describe` leaves out, in order: their values are for the model to set.

    Example:
        >>> unplaced(nn.Sequential(nn.Linear(3, 8), nn.PReLU(), nn.Linear(8, 2)))
        ['1.weight']
    """
    places = find_places(model)
    return [name for name, _ in model.named_parameters() if name not in places.found]


@dataclass(frozen=True)
class _Context:
    """What is known about a whole model.

    Attributes:
        sites: its layers with weights.
        follows: the nonlinearity after each of them.
        head: index of the one that makes the output.
        members: the modules in residual branches.
        is_traced: whether this comes from a trace, or from the order of the modules.
    """

    sites: Sequence[Site]
    follows: Sequence[Activation | None]
    head: int | None
    members: Mapping[str, Member]
    is_traced: bool


def _context(model: nn.Module, sites: Sequence[Site]) -> _Context:
    # a module used twice comes twice, so that a shared ReLU is seen wherever it follows
    modules = dict(model.named_modules(remove_duplicate=False))
    owners = list(dict.fromkeys(site.owner for site in sites))
    traced = trace(model, owners)
    inside = members(modules, owners, traced.residual_branches() if traced else [])
    head = _head(sites, modules, traced, inside)
    follows = [site.layer.nonlinearity or without_identity(_following(site.owner, modules, traced)) for site in sites]
    if head is not None:
        follows[head] = None
    return _Context(sites, follows, head, inside, traced is not None)


def _head(
    sites: Sequence[Site], modules: Mapping[str, nn.Module], traced: Trace | None, inside: Mapping[str, Member]
) -> int | None:
    """Index of the layer that makes the output, if there is one."""
    last = {site.owner: index for index, site in enumerate(sites) if not isinstance(modules[site.owner], EMBEDDINGS)}
    reaching = [name for name in (traced.heads() if traced else []) if name in last] or list(last)[-1:]
    if not reaching or any(name in inside for name in reaching):
        return None
    head = last[reaching[-1]]
    return head if sites[head].layer.nonlinearity is None else None


def _following(owner: str, modules: Mapping[str, nn.Module], traced: Trace | None) -> Activation | None:
    """What follows a layer with weights that applies no nonlinearity itself."""
    parent, _, local = owner.rpartition(".")
    block = modules[parent]
    if isinstance(block, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        if local != "linear1":
            return None
        phi = block.activation  # a module or a function
        return activation_of(phi) if isinstance(phi, nn.Module) else activation_called(phi, (), {})
    if traced is not None and owner in traced:
        return traced.following(owner)
    names = list(modules)
    return following_in_order(modules[later] for later in names[names.index(owner) + 1 :])


def _spec(name: str, shape: tuple[int, ...], place: Place, context: _Context) -> ParamSpec:
    """The facts about one parameter."""
    facts = place.facts
    is_of_layer = place.is_own or facts.role in NORM_PARAMETERS
    member = context.members.get(place.owner) if is_of_layer else None
    branch = [index for index, each in enumerate(context.sites) if member and context.members.get(each.owner) == member]
    if not facts.parts and member and member.is_mlp and place.is_own and facts.role is Role.WEIGHT:
        facts = replace(facts, parts=("mlp",))
    return ParamSpec(
        name=name,
        shape=shape,
        **vars(facts),
        nonlinearity=context.follows[place.site] if is_of_layer else None,
        layer=place.site,
        num_layers=len(context.sites),
        is_head=is_of_layer and place.site == context.head,
        closes_residual=bool(branch) and place.site == branch[-1],
        branches=len({each.branch for each in context.members.values()}),
        branch_layers=len(branch),
        branch=member.branch if member and branch else 0,
    )


def _warn_of_unseen(model: nn.Module) -> None:
    """Say that no nonlinearity was found: those that are called as functions are seen only in a trace."""
    warnings.warn(
        f"describe: the forward pass of {type(model).__name__} cannot be traced, and no module in it shows what "
        "follows a layer: every layer counts as linear. Give what follows, such as nonlinearity='relu'.",
        stacklevel=callers_level(),
    )


def _report(model: nn.Module, places: Places, strict: bool) -> None:
    """Warn of parameters that cannot be placed, or refuse them."""
    if not places.unknown:
        return
    named = []
    for name in places.unknown:
        owner = model.get_submodule(name.rpartition(".")[0])
        named.append(f"`{name}` {tuple(model.get_parameter(name).shape)} of a {type(owner).__name__}")
    known = ", ".join(kind.__name__ for kind in LAYERS + NORMS)
    parameters = f"{plural(len(named), 'parameter')} {', '.join(named)}"
    reason = "role and fans are not known" if places.sites else "the model has no layer with weights"
    text = f"describe: cannot place {parameters}: {reason}. Expected parameters of: {known}."
    if strict or not places.sites:
        raise InitsuiteError(f"{text} Build the model from these layers.")
    text += " The model keeps its own values there; strict=True makes this an error."
    warnings.warn(text, stacklevel=callers_level())
