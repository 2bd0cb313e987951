"""The article's rule as plain data: read by the initializer that follows it and by the report that judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initsuite.spec import ParamSpec, Role

ARTICLE = "Understanding Model Initialization: Key to Success in Deep Learning (2025)"
"""The article whose recommendations are tested: its title and year."""
DEEP_FROM = 30
"""Hidden layers from which a network is very deep. The article gives no number; this is the suite's reading of it."""
RECURRENT = ("rnn", "irnn", "lstm", "gru", "recurrent")
"""Names of models that count as recurrent where a stored configuration does not say so."""


@dataclass(frozen=True)
class Network:
    """What the rule needs to know about a network.

    Attributes:
        hidden_layers: layers with weights, without the head; 0 if unknown.
        is_recurrent: whether it reads a sequence with recurrent layers.
    """

    hidden_layers: int
    is_recurrent: bool


def network_of(specs: Sequence[ParamSpec]) -> Network:
    """A network, from the facts about its parameters."""
    layers = max((spec.num_layers for spec in specs), default=1)
    return Network(layers - 1, any(spec.role is Role.RECURRENT for spec in specs))


def stored_network(config: Mapping[str, Any]) -> Network:
    """A network, from the configuration of a trial; where it does not say, listed layers, else the option `depth`."""
    known, model = config.get("network") or {}, config.get("model") or {}
    listed = next((len(model[option]) for option in ("widths", "channels") if model.get(option)), model.get("depth"))
    layers, is_recurrent = known.get("hidden_layers"), known.get("is_recurrent")
    if not isinstance(layers, int):
        layers = listed if isinstance(listed, int) else 0
    if not isinstance(is_recurrent, bool):
        is_recurrent = str(model.get("name", "")).lower() in RECURRENT
    return Network(layers, is_recurrent)


def guideline_choice(network: Network, activation: str | None, deep_from: int = DEEP_FROM) -> str:
    """Orthogonal for recurrent and very deep networks; else what suits the nonlinearity.

    Args:
        network: the network to initialize.
        activation: name of the nonlinearity; None if nothing follows.
        deep_from: hidden layers from which a network is very deep.

    Example:
        >>> [guideline_choice(Network(2, False), name) for name in ("tanh", "relu")]
        ['xavier', 'he']
        >>> guideline_choice(Network(30, False), "relu"), guideline_choice(Network(1, True), "tanh")
        ('orthogonal', 'orthogonal')

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """
    is_hard = network.is_recurrent or network.hidden_layers >= deep_from
    return "orthogonal" if is_hard else choice_before(activation)


def choice_before(activation: str | None) -> str:
    """Xavier for tanh and sigmoid, he for everything else."""
    return "xavier" if activation in ("tanh", "sigmoid") else "he"
