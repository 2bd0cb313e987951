"""AutoInit's moments behind every kind of operation, against the operation itself on random inputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.init.theory.propagation import seen_by_layers
from initsuite.init.theory.signal import UNIT, Signal, mixture, product
from initsuite.models.describe.describe import describe, recorded
from initsuite.models.resnet import ResNet

MONTE_CARLO = 0.015
"""Of the root mean square of half a million entries, which share what a mean over axes or a batch leaves of them."""
Between = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """A convolution, a function, and a layer that sees what the function puts out."""

    def __init__(self, between: Between) -> None:
        super().__init__()
        self.conv, self.head, self.between = nn.Conv2d(3, 64, 3, padding=1), nn.LazyLinear(5), between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.conv(x)).flatten(1))


def rms_seen(between: Between) -> float:
    model = Net(between)
    inputs = torch.zeros(2, 3, 12, 12)
    model(inputs)
    recording = recorded(model, inputs, is_training=True)
    assert recording is not None
    return math.sqrt(seen_by_layers(model, recording, describe(model, example=inputs), UNIT)["head.weight"].mean_square)


def rms_measured(between: Between) -> float:
    z = torch.randn(128, 64, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        return float(between(z).double().square().mean().sqrt())


def gaussian(x: Tensor) -> Tensor:
    """What pooling takes the outputs of a ReLU for: a mean of 0.399 and a variance of 0.341."""
    return 1 / math.sqrt(2 * math.pi) + math.sqrt(0.5 - 0.5 / math.pi) * x


OPERATIONS: dict[str, Between] = {
    "largest of 4": lambda x: functional.max_pool2d(x, 2),
    "largest of 16": lambda x: functional.max_pool2d(x, 4),
    "largest of 9 with a mean": lambda x: functional.max_pool2d(gaussian(x), 3),
    "largest of 2 in a row": lambda x: functional.max_pool1d(x.flatten(2), 2),
    "adaptive largest": nn.AdaptiveMaxPool2d(3),
    "global largest": lambda x: x.amax((2, 3)),
    "largest with its place": lambda x: x.flatten(2).max(-1).values,
    "smallest": lambda x: (1 + x).amin(-1),
    "average of 4": lambda x: functional.avg_pool2d(x.relu(), 2),
    "average of 3 in a row": lambda x: functional.avg_pool1d(x.relu().flatten(2), 3),
    "global average": lambda x: x.relu().mean((2, 3)),
    "global average as a layer": lambda x: nn.AdaptiveAvgPool2d(1)(x.relu()),
    "total": lambda x: x.relu().sum((2, 3)),
    "half": lambda x: x / 2,
    "twice itself": lambda x: x + x,
    "times minus 3, and 1": lambda x: 1 - 3 * x.relu(),
    "dropout": lambda x: functional.dropout(x.relu(), 0.4),
    "dropout of channels": lambda x: functional.dropout2d(x.relu(), 0.4),
    "alpha dropout": lambda x: functional.alpha_dropout(x, 0.3, training=True),
    "unequal parts": lambda x: torch.cat([0.1 * x[:, :16].relu(), x[:, 16:]], 1),
    "zero padding": lambda x: functional.pad(x.relu(), (3, 3, 3, 3)),
    "padding with ones": lambda x: functional.pad(x, (3, 3), value=1.0),
    "GLU": lambda x: functional.glu(x, 1),
    "GLU by hand": lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1].sigmoid(),
    "SwiGLU": lambda x: x[:, :32] * functional.silu(x[:, 32:]),
    "bilinear gate": lambda x: x[:, :32] * x[:, 32:],
    "squared ReLU": lambda x: functional.relu(x) ** 2,
    "mish by hand": lambda x: x * torch.tanh(functional.softplus(x)),
    "leaky by choice": lambda x: torch.where(x > 0, x, 0.1 * x),
    "larger of two": lambda x: torch.maximum(x[:, :32], x[:, 32:]),
    "ratio": lambda x: x[:, :32] / (1 + x[:, 32:] ** 2),
    "a mask": lambda x: x.masked_fill(torch.arange(12) < 3, 2.0),
    "RReLU": lambda x: functional.rrelu(x, training=True),
    "PReLU": lambda x: functional.prelu(x, torch.tensor([0.3])),
    "log-sigmoid": functional.logsigmoid,
    "squeeze and excitation": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "norm": lambda x: functional.group_norm(3 + 2 * x, 4),
    "RMSNorm by hand": lambda x: 3 * x * (x.square().mean((1, 2, 3), keepdim=True) + 1e-6).rsqrt(),
    "standardised by hand": lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True),
    "a fixed kernel": lambda x: functional.conv2d(x, torch.ones(1, 64, 1, 1) / 8),
    "rotated by an angle": lambda x: x * torch.arange(12.0).cos() + x.roll(1, 1) * torch.arange(12.0).sin(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_mean_square_behind_an_operation(name: str) -> None:
    assert rms_seen(OPERATIONS[name]) == pytest.approx(rms_measured(OPERATIONS[name]), rel=MONTE_CARLO)


def test_a_norm_by_hand_over_few_entries() -> None:
    """The mean square counts as independent of the entries and Gaussian, which costs 1 / 64, and not less than 0."""
    seen = rms_seen(lambda x: x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt())
    assert seen == pytest.approx(1, rel=1.5 / 64)


def test_a_signal_beyond_all_bounds_is_left_out() -> None:
    huge = 1e150
    assert rms_seen(lambda x: x + 0 * (huge * x) ** 4) == pytest.approx(1)


def test_an_error_of_a_window_is_found() -> None:
    wrong = rms_seen(OPERATIONS["largest of 4"])
    assert wrong != pytest.approx(rms_measured(OPERATIONS["largest of 9 with a mean"]), rel=MONTE_CARLO)
    assert rms_seen(lambda x: x.relu()) != pytest.approx(rms_measured(OPERATIONS["squared ReLU"]), rel=MONTE_CARLO)


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (lambda x: functional.scaled_dot_product_attention(x, x, 2 * x), 2.0),
        (lambda x: (x @ x.transpose(2, 3) / 12**0.5).softmax(-1) @ (2 * x), 2.0),
        (lambda x: (x @ x.transpose(2, 3)).masked_fill(torch.ones(12, 12).triu(1) > 0, -math.inf).softmax(-1) @ x, 1.0),
    ],
    ids=["one operation", "by hand", "masked"],
)
def test_attention_hands_on_its_values(between: Between, expected: float) -> None:
    assert rms_seen(between) == pytest.approx(expected)


def test_a_layer_that_sees_zeros_first_is_scaled_by_the_rest() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.state = nn.Linear(8, 16), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            state = torch.zeros(len(x), 16)
            for step in x.unbind(1):
                state = (self.inner(step) + self.state(state)).relu()
            return state

    model = Recurrent()
    recording = recorded(model, torch.zeros(2, 3, 8))
    assert recording is not None
    seen = seen_by_layers(model, recording, describe(model), UNIT)
    # the state is relu(N(0, 1)) after the first step, where the recurrent layer adds nothing, and relu(N(0, 2)) then
    assert seen["state.weight"].mean_square == pytest.approx((0.5 + 1) / 2)


def test_the_last_layer_of_a_residual_network_sees_an_average() -> None:
    model = ResNet((3, 16, 16), 10, activation("relu"), depth=8)
    recording = recorded(model, torch.zeros(2, 3, 16, 16))
    assert recording is not None
    seen = seen_by_layers(model, recording, describe(model), UNIT)
    heads = [spec.name for spec in describe(model) if spec.is_head]
    share = seen[heads[0]].variance / seen[heads[0]].mean_square
    assert 0.5 / 16 < share < 0.1  # above 0.5 for a sum that ends in ReLU, averaged over 4 x 4 places


def test_moments_in_closed_form() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert Signal.of(values) == Signal(pytest.approx(3.0), pytest.approx(14 / 3))  # type: ignore[arg-type]
    assert product(Signal(2.0, 1.0), Signal(3.0, 2.0)) == Signal(6.0, 5 * 11 - 36)
    assert mixture([Signal(0.0, 1.0), Signal(4.0, 1.0)], [3, 1]) == Signal(1.0, 4.0)
    assert Signal(1.0, 2.0).minimum(1) == Signal(pytest.approx(1.0), pytest.approx(2.0))  # type: ignore[arg-type]
    assert Signal(0.0, 100.0).share(4) == Signal(0.25, 3 / 16)  # all of it on one of 4
