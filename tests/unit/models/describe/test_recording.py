"""What counts as a signal in a recorded forward pass, and what its constants are."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.models import Cnn, Rnn
from initsuite.models.describe.describe import describe, recorded
from initsuite.models.describe.examples import Example, guesses
from initsuite.models.describe.graph.recording import record, takes
from initsuite.spec import ParamSpec, Role


class Learned(nn.Module):
    """Layers that are applied to something learned before it meets the inputs."""

    def __init__(self, before: Callable[[Learned], Tensor]) -> None:
        super().__init__()
        self.queries, self.norm = nn.Parameter(torch.randn(5, 8)), nn.LayerNorm(8)
        self.wide, self.narrow, self.plain = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 8, bias=False)
        self.key, self.head, self.before = nn.Linear(8, 8), nn.Linear(8, 2), before

    def forward(self, x: Tensor) -> Tensor:
        keys = self.key(x)
        return self.head((self.before(self) @ keys.transpose(1, 2)).softmax(-1) @ keys)


def specs_of(before: Callable[[Learned], Tensor]) -> dict[str, ParamSpec]:
    return {spec.name: spec for spec in describe(Learned(before), example=torch.zeros(2, 4, 8), frozen="keep")}


@pytest.mark.filterwarnings("ignore:describe. cannot place")
@pytest.mark.parametrize(
    ("before", "fans"),
    [
        (lambda model: model.narrow(model.wide(model.queries).relu()), {"wide.weight": 8, "narrow.weight": 16}),
        (lambda model: model.plain(model.norm(model.queries)), {"plain.weight": 8}),
        (lambda model: model.narrow(model.wide(model.queries[None].expand(2, -1, -1))), {"wide.weight": 8}),
    ],
    ids=["two layers", "norm and a layer without bias", "repeated"],
)
def test_layers_on_learned_tokens_are_layers(before: Callable[[Learned], Tensor], fans: dict[str, int]) -> None:
    specs = specs_of(before)
    assert (specs["queries"].role, specs["queries"].fan_in) == (Role.EMBEDDING, 1)
    assert {name: (specs[name].role, specs[name].fan_in) for name in fans} == {
        name: (Role.WEIGHT, fan) for name, fan in fans.items()
    }


def test_a_nonlinearity_on_learned_tokens_follows_its_layer() -> None:
    follows = specs_of(lambda model: model.narrow(functional.gelu(model.wide(model.queries))))[
        "wide.weight"
    ].nonlinearity
    assert follows is not None
    assert follows.name == "gelu"


def test_packed_projections_of_learned_queries() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.queries, self.attention = (
                nn.Parameter(torch.randn(5, 8)),
                nn.MultiheadAttention(8, 2, batch_first=True),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(self.queries.expand(len(x), -1, -1), x, x, need_weights=False)[0]

    specs = {spec.name: spec for spec in describe(Decoder(), example=torch.zeros(2, 4, 8))}
    assert (specs["attention.in_proj_weight"].fan_in, len(specs["attention.in_proj_weight"].blocks)) == (8, 3)
    assert specs["queries"].role is Role.EMBEDDING


MERGED: dict[str, Callable[[Learned], Tensor]] = {
    "an adapter": lambda model: model.plain.weight + model.narrow.weight @ model.wide.weight,
    "an adapter in one operation": lambda model: torch.addmm(
        model.plain.weight, model.narrow.weight, model.wide.weight
    ),
    "a standardised weight": lambda model: functional.batch_norm(
        model.plain.weight.reshape(1, 8, 8), None, None, training=True
    )[0],
}


@pytest.mark.parametrize("name", MERGED)
def test_weights_that_are_made_of_parameters_are_no_signals(name: str) -> None:
    class Merged(Learned):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(functional.linear(x, self.before(self)))

    recording = recorded(Merged(MERGED[name]), torch.zeros(2, 8))
    assert recording is not None
    assert recording.tokens == frozenset()
    assert any(len(recording.sources.get(node, ())) > 0 for node in recording.nodes)


def test_constants_are_computed_without_a_change_to_the_models_own() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.register_buffer("table", torch.arange(4.0))

        def forward(self, x: Tensor) -> Tensor:
            shift = self.get_buffer("table").view(1, 4)
            for _ in range(2000):  # longer than Python's recursion
                shift = shift + 1
            return self.layer(x + shift) * torch.zeros(4).add_(3)

    model = Shifted()
    recording = recorded(model, torch.zeros(2, 4))
    assert recording is not None
    shift = [node for node in recording.nodes if str(node.target) == "aten.add.Tensor"][-1]
    assert torch.equal(recording.value(shift.args[1]), torch.arange(4.0)[None] + 2000)  # type: ignore[arg-type]
    assert torch.equal(model.get_buffer("table"), torch.arange(4.0))
    filled = next(node for node in recording.nodes if str(node.target) == "aten.add_.Tensor")
    assert recording.value(filled) is not None
    assert float(recording.value(filled)[0]) == 3  # type: ignore[index]
    assert float(recording.value(filled)[0]) == 3  # type: ignore[index]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Rnn((3, 8, 16), 10, activation("tanh"), depth=2, width=24),  # takes the second guess
        lambda: Cnn((3, 8, 8), 10, activation("relu"), channels=[8, 24]),  # takes none
        lambda: nn.Sequential(nn.LSTM(4, 8), Split(), nn.Linear(8, 2)),
    ],
    ids=["second", "none", "depends on values"],
)
def test_what_runs_is_what_can_be_recorded(build: Callable[[], nn.Module]) -> None:
    """Wrong guesses are only run; the first one that can be recorded is found as if all had been recorded."""
    model = build()
    tried = list(guesses(model))[:4]
    can = [record(model, guess) is not None for guess in tried]
    assert [takes(model, guess) for guess in tried] == can
    found, right = recorded(model), [guess for guess, is_right in zip(tried, can, strict=True) if is_right]
    assert (found.example.assumed if found else None) == (right[0].assumed if right else None)


class Split(nn.Module):
    """Takes the larger half of what a recurrent layer gives: fake tensors do not know which that is."""

    def forward(self, outputs: tuple[Tensor, object]) -> Tensor:
        sequence = outputs[0]
        return sequence[:, :1] if sequence.sum() > 0 else sequence[:, 1:]


class LooksAtValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for _ in range(50):
            inputs = self.layer(inputs)
            if inputs.sum() > 1e9:
                return inputs
        return inputs


def test_a_run_on_values_takes_no_stack_trace_for_each_result(monkeypatch) -> None:
    real, traces = traceback.extract_stack, []
    monkeypatch.setattr(traceback, "extract_stack", lambda *given: traces.append(1) or real(*given))
    recording = record(LooksAtValues(), Example((torch.randn(2, 4),), {}, ""))
    assert recording is not None
    assert len(recording.nodes) > 100
    assert len(traces) < 10
