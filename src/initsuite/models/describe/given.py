"""The nonlinearity that follows a layer according to the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from initsuite.activations import activation
from initsuite.errors import bad_value
from initsuite.models.describe.following import without_identity
from initsuite.models.describe.places import Place, Places
from initsuite.spec import Activation, ParamSpec, Role

Given = str | Activation | Mapping[str, str | Activation | None]
"""What follows: everywhere, or by the name of a parameter or module."""


def chooser(given: Given | None, places: Places) -> Callable[[ParamSpec, Place], Activation | None]:
    """A function from a parameter, as found, and its place to the nonlinearity that follows.

    Raises:
        ConfigError: an unknown activation, or a name that is not in the model.
    """
    if given is None:
        return lambda spec, place: spec.nonlinearity
    if not isinstance(given, Mapping):
        everywhere = _activation(given)
        return lambda spec, place: None if spec.is_head or spec.role is Role.EMBEDDING else everywhere
    chosen = {name: _activation(value) for name, value in given.items()}
    names = {prefix for name in places.found for prefix in _prefixes(name)}
    for name in chosen:
        if name not in names:
            expected = "the name of a parameter, or of a module with parameters that can be placed"
            raise bad_value("describe", "nonlinearity", name, expected, "See model.named_parameters().")

    def choose(spec: ParamSpec, place: Place) -> Activation | None:
        # a norm goes with its layer, unless it is named itself
        layer = places.sites[place.site].owner
        names = (*_prefixes(spec.name), *_prefixes(place.owner), *_prefixes(layer))
        return next((chosen[name] for name in names if name in chosen), spec.nonlinearity)

    return choose


def _activation(value: str | Activation | None) -> Activation | None:
    """The activation of this name, or as given; None for the identity."""
    if isinstance(value, str):
        value = activation(value)
    if value is not None and not isinstance(value, Activation):
        expected = "a name of initsuite.activations.FUNCTIONS, an Activation, or a mapping of names to these"
        raise bad_value("describe", "nonlinearity", value, expected)
    return without_identity(value)


def _prefixes(name: str) -> Sequence[str]:
    """A dotted name and the names of the modules around it, the longest first."""
    steps = name.split(".")
    return [".".join(steps[:length]) for length in range(len(steps), 0, -1)]
