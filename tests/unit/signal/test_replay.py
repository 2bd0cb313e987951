"""A replayed pass gives what the model gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.models.describe.examples import Example
from initsuite.models.describe.graph.recording import record
from initsuite.signal.replay import Replay, Watch


class Written(nn.Module):
    """Writes into views, in place and over its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        y = self.layer(x)
        y[:, 0] = 3.0
        y[:, 1:3].mul_(2)
        return torch.relu_(y) + x


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), (4, 6)),
    "conv": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Flatten()), (4, 3, 6, 6)),
    "lstm": (lambda: nn.LSTM(6, 5, batch_first=True), (4, 7, 6)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), (4, 5, 8)),
    "time first": (lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), (5, 4, 8)),
    "written": (Written, (4, 6)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), (4, 6)),
}


def first_of(outputs: Any) -> Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("twice", [False, True])
def test_outputs_and_gradients_are_those_of_the_model(name: str, twice: bool) -> None:
    """With other values than those it was recorded with; batch norm with the statistics of the batch."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model, x = make(), torch.randn(shape)
    recording = record(model, Example((x.clone(),)), is_training=lambda module: isinstance(module, nn.BatchNorm2d))
    assert recording is not None
    params = {key: torch.randn_like(each).requires_grad_() for key, each in model.named_parameters()}
    wanted = first_of(functional_call(model, params, (x.clone(),)))
    probe = torch.randn_like(wanted)
    gradients = torch.autograd.grad((wanted * probe).sum(), list(params.values()), materialize_grads=True)

    replay = Replay(recording, twice=twice)
    values = {node: params[key] for node, key in recording.parameters.items()}
    (entry,) = recording.inputs
    got = replay.run({**values, entry: x.clone()})[replay.outputs[0]]
    torch.testing.assert_close(got, wanted)
    again = torch.autograd.grad((got * probe).sum(), list(params.values()), materialize_grads=True)
    for one, other in zip(again, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_results_are_seen_once_and_let_go() -> None:
    model, x = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), torch.randn(4, 6)
    recording = record(model, Example((x,)))
    assert recording is not None
    replay = Replay(recording)
    values = dict(model.named_parameters())
    given = {node: values[key] for node, key in recording.parameters.items()} | dict.fromkeys(recording.inputs, x)
    products = [node for node in recording.nodes if "addmm" in str(node.target)]
    seen: list[tuple[int, ...]] = []
    watch = Watch(
        before={products[1]: [(products[1].args[1], lambda value: seen.append(tuple(value.shape)))]},  # type: ignore[list-item]
        after={products[0]: [lambda value: seen.append(tuple(value.shape))]},
    )
    kept = replay.run(given, watch)
    assert seen == [(4, 5), (4, 5)]
    assert list(kept) == replay.outputs


def test_a_weight_for_the_whole_batch_is_multiplied_once() -> None:
    """The gradient of a weight is never made for each of the batch: it would be 200 times as large."""
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(4, 50, 8)
    recording = record(model, Example((x, x, x)))
    assert recording is not None
    folded = Replay(recording)._one_matrix
    assert {tuple(node.meta["val"].shape) for node in folded.values()} <= {(8, 8), (8, 24)}
    assert folded
