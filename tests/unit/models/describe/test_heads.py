"""The layers that make a model's outputs, from a recorded pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from support.recorded import Net, seen


def test_every_output_has_its_head() -> None:
    layers = {name: nn.Linear(4, 4) for name in ("body", "actor", "critic")}

    def forward(net: Net, x: Tensor) -> dict[str, object]:
        hidden = net.body(x).tanh()
        return {"policy": net.actor(hidden).softmax(-1), "value": (net.critic(hidden), hidden)}

    assert seen(Net(forward, **layers), torch.ones(3, 4)).heads == ["actor", "critic"]


def test_auxiliary_outputs_of_one_head() -> None:
    layers = {name: nn.Linear(4, 4) for name in ("one", "two", "classes", "boxes")}

    def forward(net: Net, x: Tensor) -> list[Tensor]:
        first = net.one(x).relu()
        second = net.two(first).relu()
        return [each for level in (first, second) for each in (net.classes(level), net.boxes(level).sigmoid())]

    assert seen(Net(forward, **layers), torch.ones(3, 4)).heads == ["classes", "boxes"]


def test_a_token_that_is_chosen_and_looked_up_feeds_nothing() -> None:
    def forward(net: Net, ids: Tensor) -> Tensor:
        outputs = []
        state = torch.zeros(len(ids), 4)
        for _ in range(2):
            state = net.cell(net.token(ids), state)
            outputs.append(net.head(state))
            ids = outputs[-1].argmax(-1)
        return torch.stack(outputs)

    net = Net(forward, token=nn.Embedding(7, 4), cell=nn.GRUCell(4, 4), head=nn.Linear(4, 7))
    assert seen(net, torch.zeros(3, dtype=torch.long)).heads == ["head"]


def test_similarities_are_not_fed_by_the_projections_before_them() -> None:
    def forward(net: Net, x: Tensor, y: Tensor) -> Tensor:
        return net.one(x.relu()) @ net.two(y.relu()).T

    net = Net(forward, one=nn.Linear(4, 3), two=nn.Linear(4, 3))
    assert seen(net, torch.ones(3, 4), torch.ones(2, 4)).heads == ["one", "two"]


def test_the_weights_of_an_average_are_no_head() -> None:
    net = Net(lambda net, x: net.one(x) * net.two(x).tanh().softmax(0), one=nn.Linear(4, 3), two=nn.Linear(4, 3))
    assert seen(net, torch.ones(3, 4)).heads == ["one"]
    net = Net(lambda net, x: net.one(x).tanh() * net.two(x).sigmoid(), one=nn.Linear(4, 3), two=nn.Linear(4, 3))
    assert seen(net, torch.ones(3, 4)).heads == ["one", "two"]
