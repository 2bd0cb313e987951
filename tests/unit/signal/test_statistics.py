"""What is measured on a layer, against values that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.models.describe.examples import Example
from initsuite.models.describe.graph.recording import record
from initsuite.signal import statistics
from initsuite.signal.attention import spread
from initsuite.signal.examples import Place, by_example, places_of

GENERATOR = torch.Generator().manual_seed(0)


def test_correlation_and_input_share_of_correlated_gaussians() -> None:
    """z = sqrt(c) a + sqrt(1 - c) b with a common to all examples: correlation c, share 1 - c."""
    common, own = torch.randn(1, 1, 20_000, generator=GENERATOR), torch.randn(8, 1, 20_000, generator=GENERATOR)
    values = math.sqrt(0.3) * common + math.sqrt(0.7) * own
    # a standard error of 1 / sqrt(20,000) = 0.007
    assert statistics.correlation(values) == pytest.approx(0.3, abs=0.02)
    assert statistics.input_share(values) == pytest.approx(0.7, abs=0.02)
    assert statistics.correlation(common.expand(4, 1, -1)) == pytest.approx(1.0)
    assert statistics.input_share(common.expand(4, 1, -1)) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(statistics.correlation(values[:1]))


def test_duplicates_are_found_whatever_their_place() -> None:
    values = torch.randn(16, 1, 40, generator=GENERATOR)
    assert statistics.duplicate_share(values) == 0.0
    values[..., 30] = values[..., 3]
    values[..., 31] = values[..., 3]
    assert statistics.duplicate_share(values) == pytest.approx(3 / 40)
    values[..., 5] = -values[..., 6]
    assert statistics.duplicate_share(values) == pytest.approx(3 / 40)
    assert statistics.duplicate_share(torch.zeros(4, 1, 7)) == 1.0


def test_the_effective_rank_of_known_spectra() -> None:
    basis, _ = torch.linalg.qr(torch.randn(64, 64, generator=GENERATOR))
    assert statistics.effective_rank(basis[:, :10].T[None] * 3) == pytest.approx(10, rel=1e-4)
    one = torch.randn(64, 1, generator=GENERATOR) @ torch.randn(1, 32, generator=GENERATOR)
    assert statistics.effective_rank(one[None]) == pytest.approx(1, rel=1e-4)


def test_tails_of_nonlinearities() -> None:
    relu, sigmoid = statistics.tails(activation("relu")), statistics.tails(activation("sigmoid"))
    assert (relu.left, relu.right, relu.left_is_off) == (0.0, math.inf, True)
    assert not sigmoid.left_is_off
    assert sigmoid.right == pytest.approx(-sigmoid.left, abs=0.02)
    # 4 s (1 - s) = 0.05
    assert sigmoid.right == pytest.approx(math.log((1 + math.sqrt(0.95)) / (1 - math.sqrt(0.95))), abs=0.02)
    assert statistics.tails(activation("identity")) == statistics.Tails(-math.inf, math.inf, False, False)


def test_dead_and_saturated_shares() -> None:
    values = torch.tensor([[1.0, -1.0, -3.0], [-2.0, -1.0, -4.0]])
    assert statistics.dead_share(values, activation("relu"), -1) == pytest.approx(2 / 3)
    assert statistics.dead_share(values.T, activation("relu"), 0) == pytest.approx(2 / 3)
    assert statistics.dead_share(values, activation("tanh"), -1) == 0.0
    assert statistics.saturated_share(values, activation("tanh")) == pytest.approx(2 / 6)
    assert statistics.saturated_share(values, activation("relu")) == 0.0


def test_a_histogram_of_a_gaussian_is_its_density() -> None:
    density = statistics.histogram(5 * torch.randn(400_000, generator=GENERATOR))
    at = (torch.arange(40) + 0.5) / 5 - 4
    expected = torch.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    # 400,000 x 0.2 x 0.4 in a bin: 0.6 %
    torch.testing.assert_close(density, expected, atol=0.01, rtol=0)


def test_the_spread_of_attention() -> None:
    uniform = spread(torch.full((2, 3, 8), 1 / 8))
    assert (uniform.entropy, uniform.collision, uniform.deviation) == pytest.approx((1.0, 1 / 8, 0.0), abs=1e-6)
    hot = spread(functional.one_hot(torch.tensor([0, 2]), 4).float() + 1e-30)
    assert (hot.entropy, hot.collision) == pytest.approx((0.0, 1.0), abs=1e-6)
    causal = torch.zeros(5, 5).masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf).softmax(-1)
    assert spread(causal).entropy == pytest.approx(1.0)


@pytest.mark.parametrize("batch_first", [True, False])
def test_examples_are_followed_through_what_moves_them(batch_first: bool) -> None:
    """Each layer's rows are sorted by example: changing one example changes its rows alone."""
    model = nn.Sequential(nn.Linear(6, 8), nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)).eval()
    if not batch_first:
        attention = nn.TransformerEncoderLayer(8, 2, 16, 0.0)
        model = _Turned(attention).eval()
    x = torch.randn(3, 5, 6 if batch_first else 8, generator=GENERATOR)
    recording = record(model, Example((x,)))
    assert recording is not None
    places = places_of(recording, 3)
    changed = x.clone()
    changed[1] += 1
    from initsuite.signal.replay import Replay, Watch

    params = dict(model.named_parameters())
    values = {node: params[key] for node, key in recording.parameters.items()}
    products = frozenset(node for node in recording.nodes if "mm" in str(node.target) and node in places)
    assert len(products) >= 4
    with torch.no_grad():
        first, second = (
            Replay(recording).run({**values, **dict.fromkeys(recording.inputs, each)}, Watch(keep=products))
            for each in (x, changed)
        )
    for node in products:
        rows = [by_example(each[node], places[node], 3, -1) for each in (first, second)]
        assert rows[0] is not None
        assert rows[1] is not None
        moved = (rows[0] - rows[1]).abs().amax((1, 2)) > 0
        assert moved.tolist() == [False, True, False]


class _Turned(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.transpose(0, 1)).transpose(0, 1)


def test_rows_of_examples() -> None:
    values = torch.arange(24.0).view(4, 3, 2)  # time first: rows of example 1 are 1, 4, 7, 10
    split = by_example(values.view(12, 2), Place(0, 1), 3, -1)
    assert split is not None
    assert split[1, :, 0].tolist() == [2.0, 8.0, 14.0, 20.0]
    assert by_example(values, None, 3, -1) is None
