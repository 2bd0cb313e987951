"""What the article's rule asks of a network: by its parameters when it is trained, by its configuration later."""

from dataclasses import asdict
from typing import Any

import pytest

from initsuite.activations import activation
from initsuite.models.describe.describe import describe
from initsuite.models.mlp import Mlp
from initsuite.models.recurrent import Rnn
from initsuite.protocol.guideline import Network, guideline_choice, network_of, stored_network


def test_the_parameters_say_what_a_network_is() -> None:
    deep = network_of(describe(Mlp((4,), 3, activation=activation("relu"), widths=[5, 6, 7])))
    assert deep == Network(3, False)
    assert network_of(describe(Rnn((8, 4), 3, activation=activation("tanh"), width=5))).is_recurrent
    assert network_of([]) == Network(0, False)
    assert stored_network({"network": asdict(deep)}) == deep


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Network(0, False)),
        ({"model": {"name": "mlp", "widths": [64, 64], "depth": 9}}, Network(2, False)),
        ({"model": {"name": "cnn", "channels": [8]}}, Network(1, False)),
        ({"model": {"name": "mlp", "depth": 30}}, Network(30, False)),
        ({"model": {"name": "GRU", "depth": 2}}, Network(2, True)),
        ({"model": {"name": "own", "depth": "deep"}}, Network(0, False)),
        ({"model": {"name": "gru"}, "network": {"hidden_layers": 4, "is_recurrent": False}}, Network(4, False)),
    ],
)
def test_an_older_configuration_says_it_by_its_options(config: dict[str, Any], expected: Network) -> None:
    assert stored_network(config) == expected


def test_very_deep_is_a_number_that_can_be_chosen() -> None:
    assert guideline_choice(Network(5, False), "sigmoid", 6) == "xavier"
    assert guideline_choice(Network(6, False), "sigmoid", 6) == "orthogonal"
    assert guideline_choice(Network(1, False), None) == "he"
