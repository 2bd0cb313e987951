"""From a module to the facts about each of its parameters: the one place where fans are known."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from initsuite.errors import InitsuiteError, bad_value, callers_level
from initsuite.models.describe.examples import Example, given, guesses
from initsuite.models.describe.given import Given, chooser
from initsuite.models.describe.graph.reading import NOT_USED, Reading, read
from initsuite.models.describe.graph.recording import Recording, record, takes
from initsuite.models.describe.layers import NORM_PARAMETERS
from initsuite.models.describe.places import Place, Places, find_places
from initsuite.models.describe.standing import Standing, by_graph, by_order
from initsuite.spec import ParamSpec, Role
from initsuite.wording import format_count, format_first, plural

FROZEN = ("keep", "draw")
"""What happens to tensors that are not learned, or that the recorded pass does not use."""
NOT_LEARNED = "it is not learned (requires_grad=False)"
COMPLEX = "its numbers are complex"


@dataclass(frozen=True)
class Description:
    """What is known about a model.

    Attributes:
        specs: the facts about each parameter that a law may draw, in the order of the model.
        kept: why a parameter has no such facts, and keeps its value, by its name.
        recording: the forward pass that was recorded; None where none could be.
        lengths: parameters that say the length of the rows of another one, whose direction alone counts, and that one.
        doubts: what follows a layer, where the recorded pass does not say, by the name of its weight.
    """

    specs: Sequence[ParamSpec]
    kept: Mapping[str, str]
    recording: Recording | None = None
    doubts: Mapping[str, str] = field(default_factory=dict)
    lengths: Mapping[str, str] = field(default_factory=dict)


def describe(
    model: nn.Module,
    *,
    example: object = None,
    nonlinearity: Given | None = None,
    strict: bool = False,
    frozen: str = "draw",
) -> list[ParamSpec]:
    """The facts about every parameter of a model, in the order of `model.named_parameters()`; see `examine`.

    Example:
        >>> describe(nn.Sequential(nn.Linear(3, 8, bias=False), nn.ReLU(), nn.Linear(8, 2)))[0].fan_out
        8
    """
    return list(examine(model, example=example, nonlinearity=nonlinearity, strict=strict, frozen=frozen).specs)


def examine(
    model: nn.Module,
    *,
    example: object = None,
    nonlinearity: Given | None = None,
    strict: bool = False,
    frozen: str = "draw",
) -> Description:
    """The facts about the parameters of a model, from one forward pass that is recorded without being computed.

    The values are never read: the parameters may be on the meta device. Everything follows from the operation that
    consumes a tensor, whatever the modules are called:

    - A weight is what a contraction multiplies by; its fans are what one output sums over and one input feeds, taps of
      a kernel included, groups and other independent matrices divided out. With a stride of s in d dimensions an output
      of a transposed convolution sums over k / s^d taps on average, and an input of an ordinary one feeds as many;
      neither is divided out. torch.nn.init swaps the two fans of a transposed convolution.
    - `blocks` are matrices that share a tensor: groups, and parts of the output that go different ways (query, key and
      value, gates, the halves of a GLU).
    - An embedding is looked up, joined to the signal (a token) or added to it at each place (positions): (1, features).
    - A bias is added to a contraction's output, scale and shift act on a normalised signal; they carry the facts of
      that layer.
    - The nonlinearity is the function of each entry between a layer and the next one; norm, pooling, dropout, reshaping
      and sums are passed over, the other factor of a product counts as 1. Nothing follows a layer before an output.
    - Residual branches are what is added to a tensor that they are computed from; the shortcut may have weights.
    - Every output has its head, unless a residual branch, a recurrent layer or an embedding makes it.

    Recurrent layers and attention of torch say themselves what their tensors are for. A tensor that several layers
    share is described once, by the first one that multiplies by it.

    Where no forward pass can be recorded, the facts follow from the type of each layer and the order of registration
    (`described_by` is `order`): the nonlinearity is the next activation module, the head the last layer, and residual
    branches are those of `models.branch.Branch`, torch's transformer layers and torchvision's blocks.

    Args:
        model: any module.
        example: inputs to record the pass on; see `examples.given`. None = guess them from what the model says.
        nonlinearity: what follows, instead of what is found: one for all layers but embeddings and heads, or by the
            name of a parameter or of a module with parameters (the longest name counts). A name of
            `activations.FUNCTIONS`, or an `Activation`.
        strict: refuse parameters that cannot be placed, which are otherwise left out and named in a warning. Their
            values, like the slopes of PReLU, are for the model to set.
        frozen: `keep` leaves out tensors that are not learned or not used; `draw` describes them by their type.

    Raises:
        InitsuiteError: no layer with weights, a parameter without entries or of no shape yet, or with `strict` one that
            cannot be placed; a given example that the model does not take.
        ConfigError: `nonlinearity` names what is not there, or `frozen` is neither of the two.
    """
    if frozen not in FROZEN:
        raise bad_value("describe", "frozen", frozen, f"one of: {', '.join(FROZEN)}")
    recording = recorded(model, example)
    reading = _read(recording, model)
    complex_ = {name: COMPLEX for name, parameter in model.named_parameters() if parameter.is_complex()}
    expected = _not_learned(model, reading) if frozen == "keep" else {}
    kept = expected | complex_
    if reading and frozen == "draw":  # its type still says what a tensor is for that the pass does not use
        reading.kept = {name: reason for name, reason in reading.kept.items() if reason != NOT_USED}
    places = find_places(model, reading, kept)
    reasons = {**dict.fromkeys(places.unknown, UNKNOWN), **(reading.kept if reading else {}), **kept}
    silent = (
        {name for name, reason in expected.items() if reason == NOT_LEARNED}
        | (reading.lengths.keys() if reading else set())
    ) - complex_.keys()
    _report(
        model, places, {name: reasons[name] for name in places.unknown if name not in silent}, strict, bool(reading)
    )
    standing = by_graph(model, places, reading) if reading else by_order(model, places)
    _warn_of_doubts(model, standing, nonlinearity)
    choose = chooser(nonlinearity, places)
    specs = []
    for name, place in places.found.items():
        spec = _spec(name, tuple(model.get_parameter(name).shape), place, places, standing)
        chosen = choose(spec, place)
        specs.append(
            replace(spec, nonlinearity=chosen, nonlinearities=spec.nonlinearities if nonlinearity is None else ())
        )
    left_out = {name: reason for name, reason in reasons.items() if name not in places.found}
    lengths = {name: each for name, each in (reading.lengths if reading else {}).items() if each in places.found}
    return Description(specs, left_out, recording, standing.doubts, lengths)


UNKNOWN = "its role and fans are not known"


def unplaced(model: nn.Module) -> list[str]:
    """Names of the parameters that `describe` leaves out, in order: their values are for the model to set.

    Example:
        >>> unplaced(nn.Sequential(nn.Linear(3, 8), nn.PReLU(), nn.Linear(8, 2)))
        ['1.weight']
    """
    places = find_places(model)
    return [name for name, _ in model.named_parameters() if name not in places.found]


def recorded(model: nn.Module, example: object = None, *, is_training: bool = False) -> Recording | None:
    """The forward pass on the example, or on the first guess that the model takes; None where it takes none.

    Raises:
        InitsuiteError: the model does not take the example that a user gave.
    """
    if example is not None and not isinstance(example, Example):
        return record(model, given(example, model), must_run=True, is_training=is_training)
    likely = [] if example is None else [example]
    for place, guess in enumerate(itertools.chain(likely, guesses(model))):
        # most models take the first guess; where that is wrong, many more may be
        if place == 0 or takes(model, guess, is_training=is_training):
            found = record(model, guess, is_training=is_training)
            if found is not None:
                return found
    return None


def _read(recording: Recording | None, model: nn.Module) -> Reading | None:
    """What the recorded pass shows; None, with a warning, where it holds what nobody thought of."""
    if recording is None:
        return None
    try:
        return read(recording, model)
    except Exception as error:  # the graph is that of any code
        warnings.warn(
            f"describe: cannot read the recorded pass of {type(model).__name__}: {type(error).__name__}: {error}. The "
            "types of its layers and their order count instead. Please report this with the model.",
            stacklevel=callers_level(),
        )
        return None


def _not_learned(model: nn.Module, reading: Reading | None) -> dict[str, str]:
    frozen = {name: NOT_LEARNED for name, parameter in model.named_parameters() if not parameter.requires_grad}
    unused = {name: reason for name, reason in (reading.kept if reading else {}).items() if reason == NOT_USED}
    return {**unused, **frozen}


def _spec(name: str, shape: tuple[int, ...], place: Place, places: Places, standing: Standing) -> ParamSpec:
    """The facts about one parameter."""
    facts = place.facts
    is_of_layer = place.is_own or facts.role in NORM_PARAMETERS
    member = standing.member(name, place) if is_of_layer else None
    parts = standing.parts.get(name, ()) or facts.parts
    if not parts and member and member.is_mlp and place.is_own and facts.role is Role.WEIGHT:
        parts = ("mlp",)
    role = Role.BRANCH_SCALE if name in standing.scales and facts.own is not None else facts.role
    own = 0.0 if name in standing.idle else facts.own
    return ParamSpec(
        name=name,
        shape=shape,
        **{**vars(facts), "parts": parts, "role": role, "own": own},
        nonlinearity=standing.follows[place.site] if is_of_layer else None,
        nonlinearities=standing.nonlinearities.get(name, ()),
        layer=place.site,
        num_layers=len(places.sites),
        is_head=is_of_layer and place.site in standing.heads,
        closes_residual=bool(member) and standing.closes(name, place),
        branches=standing.branches,
        branch_layers=standing.branch_layers(member) if member else 0,
        branch=member.branch if member else 0,
        shortcut=member.shortcut if member else 1.0,
        head_width=standing.head_width(name) if "query" in parts and facts.role is Role.WEIGHT else 0,
        described_by=standing.described_by,
    )


def _warn_of_doubts(model: nn.Module, standing: Standing, nonlinearity: Given | None) -> None:
    """Say where it is not known what follows a layer."""
    if nonlinearity is not None:
        return
    if standing.is_blind:
        warnings.warn(
            f"describe: no forward pass of {type(model).__name__} could be recorded, and no module in it shows what "
            "follows a layer: every layer counts as linear. Give inputs as example=..., or what follows, such as "
            "nonlinearity='relu'.",
            stacklevel=callers_level(),
        )
    elif standing.doubts:
        named = format_first([f"`{name}` ({doubt})" for name, doubt in standing.doubts.items()], 4)
        warnings.warn(
            f"describe: what follows {format_count(len(standing.doubts), 'layer')} is not known and counts as linear: "
            f"{named}. Give it: " + "nonlinearity={'name of the layer': 'relu'}.",
            stacklevel=callers_level(),
        )


def _report(model: nn.Module, places: Places, unknown: Mapping[str, str], strict: bool, is_recorded: bool) -> None:
    """Warn of parameters that cannot be placed, or refuse them."""
    if not unknown and places.sites:
        return
    named = []
    for name, reason in unknown.items():
        owner = model.get_submodule(name.rpartition(".")[0])
        why = "" if reason == UNKNOWN else f" ({reason})"
        named.append(f"`{name}` {tuple(model.get_parameter(name).shape)} of a {type(owner).__name__}{why}")
    if not named and not strict:
        return
    parameters = f"{plural(len(named), 'parameter')} {format_first(named, 8)}"
    reason = "their role and fans are not known" if places.sites else "the model has no layer with weights"
    text = f"describe: cannot place {parameters}: {reason}. Expected weights, biases, norms or embeddings."
    fix = "" if is_recorded else " No forward pass could be recorded, which would say more: give inputs as example=..."
    if strict or not places.sites:
        raise InitsuiteError(f"{text}{fix}")
    text += f" The model keeps its own values there; strict=True makes this an error.{fix}"
    warnings.warn(text, stacklevel=callers_level())
