"""What torch, Keras and Flax draw by themselves, for every type of layer.

Two samples of one law are compared by Kolmogorov-Smirnov and by their variances, at n >= 10,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.activations import activation
from initsuite.data.torchvision_import import import_torchvision
from initsuite.init import (
    FlaxDefault,
    KerasDefault,
    Orthogonal,
    TorchDefault,
    VarianceScaling,
)
from initsuite.models import Lstm, Rnn, TorchvisionModel, Transformer
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from support.laws import FALSE_ALARM, chi_square_p, draw, draws, same_law

ROUNDING = 1e-5
"""Of an orthogonal matrix in float32."""
TANH = activation("tanh")


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.ConvTranspose2d(48, 32, 3, groups=2),
        lambda: nn.RNN(40, 120, num_layers=2, bidirectional=True),
        lambda: nn.LSTM(200, 60),
        lambda: nn.LSTM(40, 80, proj_size=48),
        lambda: nn.GRU(30, 90),
        lambda: nn.LSTMCell(30, 80),
        lambda: nn.MultiheadAttention(96, 4),
        lambda: nn.MultiheadAttention(120, 4, kdim=90, vdim=100),
        lambda: nn.MultiheadAttention(96, 4, add_bias_kv=True),
        lambda: nn.Bilinear(7, 20, 30),
        lambda: nn.Transformer(48, 4, 1, 1, 80, batch_first=True),
    ],
    ids=[
        "transposed",
        "rnn",
        "lstm",
        "lstm-projected",
        "gru",
        "lstm-cell",
        "packed",
        "separate",
        "extra-token",
        "bilinear",
        "transformer",
    ],
)
def test_torch_default_is_what_torch_draws(build: Callable[[], nn.Module]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = [dict(build().named_parameters()) for _ in range(400)]
    some = {name: math.ceil(10_000 / value.numel()) for name, value in theirs[0].items()}
    ours = draws(TorchDefault(), build, range(min(400, max(some.values()))))
    for name, count in some.items():
        first, second = (torch.stack([params[name].detach() for params in side[:count]]) for side in (ours, theirs))
        if (second == second.flatten()[0]).all():
            assert torch.equal(first, second), name
        else:
            assert first.numel() >= 10_000
            assert same_law(first, second), name
            if name not in ("bias_k", "bias_v"):  # normal, without a bound
                assert float(first.abs().max()) == pytest.approx(float(second.abs().max()), rel=0.01)


def test_torch_default_of_our_attention_is_that_of_torchs_and_a_linear_called_qkv_is_a_linear() -> None:
    params = draw(TorchDefault(), lambda: Transformer((5,), 12, activation("gelu"), depth=1, width=96))
    qkv, out = params["blocks.attention1.branch.attention.qkv.weight"], "blocks.attention1.branch.attention.out"
    assert chi_square_p(qkv, 1 / (2 * 96)) > FALSE_ALARM
    assert not params["blocks.attention1.branch.attention.qkv.bias"].any()
    assert not params[f"{out}.bias"].any()
    assert float(params[f"{out}.weight"].abs().max()) == pytest.approx(1 / math.sqrt(96), rel=0.01)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(96, 3 * 96), nn.Linear(96, 96)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.proj(self.qkv(inputs)[..., :96])

    params = draw(TorchDefault(), Plain)
    assert chi_square_p(params["qkv.weight"], 1 / (3 * 96)) > FALSE_ALARM
    assert params["qkv.bias"].all()


def test_packed_attention_has_half_the_variance_in_torch() -> None:
    # pytorch issue 166378: Xavier sees [3 x 96, 96]; our `xavier` sees three matrices
    build = lambda: nn.MultiheadAttention(96, 4)  # noqa: E731
    assert chi_square_p(draw(TorchDefault(), build)["in_proj_weight"], 1 / (2 * 96)) > FALSE_ALARM
    ours = draw(VarianceScaling(1.0, "fan_avg", "uniform"), build)["in_proj_weight"]
    assert chi_square_p(ours, 1 / 96) > FALSE_ALARM
    for matrix in draw(Orthogonal(), build)["in_proj_weight"].chunk(3):
        assert (torch.linalg.svdvals(matrix) - 1).abs().max() < ROUNDING


def test_torch_default_treats_our_recurrent_models_as_torchs() -> None:
    for build, gates in ((lambda: Rnn((5, 4), 3, TANH, width=100), 1), (lambda: Lstm((5, 4), 3, TANH, width=100), 4)):
        params = draws(TorchDefault(), build, range(30))
        for name in ("input1.weight", "input1.bias", "recurrent1.weight"):
            values = torch.stack([start[f"layers.{name}"] for start in params])
            assert values.shape[1] == 100 * gates
            if values.numel() >= 10_000:
                assert chi_square_p(values, 1 / (3 * 100)) > FALSE_ALARM
            assert float(values.abs().max()) == pytest.approx(0.1, rel=0.01)
        assert float(torch.stack([start["layers.head.weight"] for start in params]).abs().max()) <= 0.1


def test_torch_draws_the_matrices_of_a_transformer_again() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Transformer(128, 4, 1, 1, 200, batch_first=True), nn.Linear(128, 100))

    params = draw(TorchDefault(), build)
    assert chi_square_p(params["0.encoder.layers.0.self_attn.in_proj_weight"], 2 / (128 + 3 * 128)) > FALSE_ALARM
    assert chi_square_p(params["0.decoder.layers.0.linear1.weight"], 2 / (128 + 200)) > FALSE_ALARM
    assert chi_square_p(params["1.weight"], 1 / (3 * 128)) > FALSE_ALARM  # outside of it, a linear layer


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1"])
def test_the_default_of_a_model_of_torchvision_is_torchvisions_own(arch: str) -> None:
    model = skeleton(lambda: TorchvisionModel((3, 64, 64), 10, TANH, arch=arch))
    specs = describe(model)
    before = torch.get_rng_state()
    params = TorchDefault()(model, specs, seed=3).params
    assert torch.equal(torch.get_rng_state(), before)
    with rng.isolated(3, "init", "torchvision"):
        theirs = import_torchvision().models.get_model(arch, num_classes=10)
    assert params.keys() == {spec.name for spec in specs}
    assert all(torch.equal(params[f"model.{name}"], value) for name, value in theirs.named_parameters())
    other = TorchDefault()(model, specs, seed=4).params
    weights = [name for name in params if params[name].ndim > 1]
    assert not any(torch.equal(params[name], other[name]) for name in weights)
    if arch == "resnet18":  # Kaiming normal by fan_out, where torch's own convolution is U(+-1/sqrt(fan_in))
        assert chi_square_p(params["model.layer1.0.conv1.weight"], 2 / (64 * 9)) > FALSE_ALARM
    assert (TorchDefault.law_version(model), TorchDefault.law_version(nn.Linear(1, 1))) == (2, 1)


def test_keras_default() -> None:
    params = draw(KerasDefault(), lambda: nn.Sequential(nn.Embedding(300, 50), nn.Linear(50, 256), nn.Linear(256, 64)))
    assert chi_square_p(params["1.weight"], 2 / (50 + 256)) > FALSE_ALARM
    assert float(params["1.weight"].abs().max()) <= math.sqrt(6 / (50 + 256)) * (1 + 1e-6)
    assert chi_square_p(params["0.weight"], 0.05**2 / 3) > FALSE_ALARM
    assert float(params["0.weight"].abs().max()) <= 0.05
    assert not params["1.bias"].any()


@pytest.mark.parametrize("module", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def test_keras_default_draws_the_gates_as_one_matrix(module: Any) -> None:
    params = draw(KerasDefault(), lambda: module(100, 50))
    gates = params["weight_hh_l0"].shape[0] // 50
    inputs = torch.cat([each["weight_ih_l0"] for each in draws(KerasDefault(), lambda: module(100, 50), range(3))])
    assert chi_square_p(inputs, 2 / (100 + gates * 50)) > FALSE_ALARM
    recurrent = params["weight_hh_l0"].double()
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(50, dtype=torch.float64), atol=ROUNDING, rtol=0)


def test_the_forget_bias_is_1_once() -> None:
    # torch has two bias vectors, which are added
    for build, ours, other in (
        (lambda: nn.LSTM(6, 5, num_layers=2, bidirectional=True), "bias_ih_l1_reverse", "bias_hh_l1_reverse"),
        (lambda: nn.LSTMCell(6, 5), "bias_ih", "bias_hh"),
    ):
        params = draw(KerasDefault(), build)
        assert params[ours].tolist() == [0] * 5 + [1] * 5 + [0] * 10
        assert not params[other].any()
    params = draw(KerasDefault(), lambda: Lstm((4, 3), 2, TANH, depth=2, width=5))
    assert params["layers.input2.bias"].tolist() == [0] * 5 + [1] * 5 + [0] * 10
    # torch's own and Flax' forget gates are not opened
    assert not draw(FlaxDefault(), lambda: nn.LSTM(6, 5))["bias_ih_l0"].any()
    assert float(draw(TorchDefault(), lambda: nn.LSTM(6, 5))["bias_ih_l0"].abs().max()) <= 1 / math.sqrt(5)


def test_flax_default() -> None:
    params = draw(FlaxDefault(), lambda: nn.Sequential(nn.Embedding(300, 50), nn.Linear(50, 256), nn.Linear(256, 64)))
    bound = 2 / math.sqrt(50) / 0.87962566
    assert chi_square_p(params["1.weight"], 1 / 50) > FALSE_ALARM
    assert 0.95 * bound < float(params["1.weight"].abs().max()) <= bound
    assert chi_square_p(params["0.weight"], 1 / 50) > FALSE_ALARM
    assert not params["1.bias"].any()
    for gate in draw(FlaxDefault(), lambda: nn.GRU(30, 20))["weight_hh_l0"].chunk(3):
        assert (torch.linalg.svdvals(gate) - 1).abs().max() < ROUNDING
