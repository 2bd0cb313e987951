"""Wrappers: what they wrap is drawn as if they were not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import initsuite
from initsuite.apply.wrapping import unwrapped
from support.users import convnet, mlp, same, state


class Network(nn.Module):
    """A network that holds its layers in a container is no wrapper."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Task(nn.Module):
    """Around a network, as a training script writes it."""

    def __init__(self, change: Callable[[Any], Any] = lambda x: x) -> None:
        super().__init__()
        self.network, self.loss, self.change = Network(), nn.MSELoss(), change

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.change(x))


class LightningModule(nn.Module):
    """As the class of that name, which is not installed here."""


class Lit(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Unfinished(nn.Module):
    """Without a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()


@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (nn.DataParallel, "module."),
        (AveragedModel, "module."),
        (torch.compile, "_orig_mod."),
        (lambda network: AveragedModel(nn.DataParallel(network)), "module.module."),
    ],
)
def test_a_wrapped_network_is_drawn_like_itself(wrap: Callable[[nn.Module], nn.Module], prefix: str) -> None:
    network, model = convnet(), wrap(convnet())
    plain = initsuite.initialize_(network, "orthogonal", gain="auto", seed=3)
    table = initsuite.initialize_(model, "orthogonal", gain="auto", seed=3)
    found, inner = unwrapped(model)
    assert found == prefix
    assert same(state(inner), state(network))
    assert list(table["tensor"]) == [prefix + name for name in plain["tensor"]]
    assert list(table["tensor"]) == [name for name, _ in model.named_parameters()]
    assert table.drop(columns="tensor").equals(plain.drop(columns="tensor"))


def test_names_are_those_of_the_wrapper() -> None:
    model = nn.DataParallel(mlp())
    table = initsuite.initialize_(
        model, "xavier", gain="auto", only="module.0", nonlinearity={"module.0.weight": "tanh"}
    )
    assert list(table["tensor"]) == ["module.0.weight", "module.0.bias"]
    assert table["nonlinearity"].iloc[0] == "tanh"


def test_a_task_around_a_network_is_a_wrapper_only_if_it_passes_everything_on() -> None:
    assert unwrapped(Task())[0] == "network."
    assert unwrapped(Task(lambda x: x * 2))[0] == ""  # it does something to the input
    assert unwrapped(Task(lambda x: [x]))[0] == ""
    assert unwrapped(Lit())[0] == "model."
    for model in (Network(), mlp(), nn.Sequential(Network()), nn.ModuleList([Network()]), Unfinished()):
        assert unwrapped(model) == ("", model)
    task = Task()
    before = dict(vars(task))
    unwrapped(task)
    assert vars(task) == before
    assert isinstance(task.network, Network)
