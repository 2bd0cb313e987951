"""Recurrent networks, written from linear layers, against torch's own."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.errors import ConfigError
from initsuite.models import Gru, Lstm, Rnn
from initsuite.models.recurrent import GatedLinear

REORDERED = 1e-9
"""Relative and absolute: float64 sums in another order, 1e-16 a term, over tens of terms and times."""
TANH = activation("tanh")
TORCHS: dict[Any, Any] = {Lstm: nn.LSTM, Gru: nn.GRU, Rnn: nn.RNN}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def torchs_own(ours: nn.Module, kind: Any, inputs: int, width: int, depth: int) -> Any:
    """torch's layer with the weights of ours and its second bias at 0."""
    theirs = kind(inputs, width, num_layers=depth, batch_first=True, dtype=torch.float64)
    layers = dict(ours.layers.named_parameters())  # type: ignore[union-attr,operator]
    with torch.no_grad():
        for number in range(depth):
            getattr(theirs, f"weight_ih_l{number}").copy_(layers[f"input{number + 1}.weight"])
            getattr(theirs, f"bias_ih_l{number}").copy_(layers[f"input{number + 1}.bias"])
            getattr(theirs, f"weight_hh_l{number}").copy_(layers[f"recurrent{number + 1}.weight"])
            getattr(theirs, f"bias_hh_l{number}").zero_()
    return theirs


@pytest.mark.parametrize("kind", TORCHS)
@pytest.mark.parametrize("depth", [1, 2])
def test_it_is_torchs_own(kind: Any, depth: int) -> None:
    """With the same weights, on images and on sequences; torch's gates are in the same order."""
    ours = kind((3, 9, 8), 10, TANH, depth=depth, width=16).double()
    theirs = torchs_own(ours, TORCHS[kind], 24, 16, depth)
    images = noise(5, 3, 9, 8)
    rows = torch.cat(list(images.unbind(1)), dim=-1)  # [example, height, channel x width]
    head = ours.layers["head"]
    expected = functional.linear(theirs(rows)[0][:, -1], head.weight, head.bias)
    torch.testing.assert_close(ours(images), expected, rtol=REORDERED, atol=REORDERED)
    sequences = kind((9, 24), 10, TANH, depth=depth, width=16).double()
    sequences.load_state_dict(ours.state_dict())
    torch.testing.assert_close(sequences(rows), expected, rtol=REORDERED, atol=REORDERED)
    assert not torch.allclose(ours(images.flip(2)), expected)  # the order of the rows matters


@pytest.mark.parametrize("kind", TORCHS)
def test_its_gradients_are_torchs_own(kind: Any) -> None:
    ours = kind((9, 3), 1, TANH, width=5).double()
    theirs = torchs_own(ours, TORCHS[kind], 3, 5, 1)
    head, inputs = ours.layers["head"], noise(4, 9, 3)
    ours(inputs).square().sum().backward()
    functional.linear(theirs(inputs)[0][:, -1], head.weight, head.bias).square().sum().backward()
    for our_name, their_name in (("input1", "weight_ih_l0"), ("recurrent1", "weight_hh_l0")):
        expected = getattr(theirs, their_name).grad
        torch.testing.assert_close(ours.layers[our_name].weight.grad, expected, rtol=REORDERED, atol=REORDERED)


def test_an_open_forget_gate_keeps_the_cell() -> None:
    """Forget gate 1, input gate 1 only at the first time: the last cell is the first candidate (hand-computed)."""
    model = Lstm((4, 1), 1, TANH, width=1).double()
    values = {"input1.weight": [[20.0], [0.0], [0.0], [0.0]], "input1.bias": [0.0, 40.0, 0.5, 40.0]}
    with torch.no_grad():
        for name, parameter in model.layers.named_parameters():
            parameter.copy_(torch.tensor(values.get(name, torch.zeros(parameter.shape).tolist())))
        dict(model.layers.named_parameters())["head.weight"].fill_(1)
    series = torch.tensor([40.0, -40.0, -40.0, -40.0], dtype=torch.float64).view(1, 4, 1)
    expected = torch.tensor(0.5, dtype=torch.float64).tanh().tanh()  # gates are within 1e-17 of 0 or 1
    assert model(series).item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("kind", TORCHS)
def test_the_activation_is_used(kind: Any) -> None:
    tanh, relu = (kind((9, 3), 2, activation(name), width=5).double() for name in ("tanh", "relu"))
    relu.load_state_dict(tanh.state_dict())
    assert not torch.allclose(tanh(noise(4, 9, 3)), relu(noise(4, 9, 3)))


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (Rnn, ()),
        (Lstm, ("input_gate", "forget_gate", "cell", "output_gate")),
        (Gru, ("reset_gate", "update_gate", "new")),
    ],
)
def test_matrices_say_what_they_are_for(kind: Any, parts: tuple[str, ...]) -> None:
    model = kind((9, 8), 10, TANH, depth=2, width=16)
    assert model.label == f"{kind.__name__.lower()}-2x16"
    linears = {name: layer for name, layer in model.layers.items() if isinstance(layer, GatedLinear)}
    assert list(linears) == ["input1", "recurrent1", "input2", "recurrent2"]
    for name, layer in linears.items():
        assert layer.parts == parts
        assert layer.is_recurrent == name.startswith("recurrent")
        assert (layer.bias is None) == layer.is_recurrent
        assert layer.out_features == 16 * max(1, len(parts))
        assert all(part in repr(layer) for part in parts)


@pytest.mark.parametrize("kind", TORCHS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth`=0. Expected a whole number from 1"),
        ({"width": 2.5}, "`width`=2.5. Expected a whole number from 1"),
    ],
    ids=str,
)
def test_it_refuses(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: .*{message}"):
        kind((9, 8), 10, TANH, **options)
    with pytest.raises(ConfigError, match=rf"{kind.__name__}: .*Expected \[time, feature\] or .* Use model=mlp"):
        kind((64,), 10, TANH)


def test_blocks_are_equal() -> None:
    with pytest.raises(ConfigError, match=r"GatedLinear: .*`out_features`=10. Expected a multiple of 3"):
        GatedLinear(4, 10, parts=("query", "key", "value"))
