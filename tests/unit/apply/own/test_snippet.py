"""The choice as plain torch: on a fresh model with the same seed it draws the same weights."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import initsuite
from initsuite.apply.own.snippet import snippet_of
from initsuite.config import catalogue
from initsuite.errors import InitsuiteError
from initsuite.init import as_initializer
from initsuite.models.describe.describe import describe
from initsuite.spec import ParamSpec

DEPENDING = {"asymmetric"}
"""Laws that compute numbers out of what they have drawn."""
WRITTEN = [tree for tree in catalogue.names() if not catalogue.choice(tree).get("requires")]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 32), nn.Tanh(), nn.LayerNorm(32), nn.Linear(32, 5)
    )


def drawn(text: str, seed: int) -> dict[str, Tensor]:
    space: dict[str, object] = {}
    exec(text, space)
    model = network()
    space["initialize_"](model, seed=seed)  # type: ignore[operator]
    return dict(model.named_parameters())


@pytest.mark.parametrize("name", WRITTEN)
def test_it_draws_the_same_weights(name: str) -> None:
    specs = describe(network(), example=torch.zeros(2, 2, 4, 4))
    initializer = as_initializer(catalogue.build(name, {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            start = initializer(network(), specs, seed=3)
        except InitsuiteError:
            pytest.skip("not for this model, or needs data")
        if name in DEPENDING:
            with pytest.raises(InitsuiteError, match="cannot be written"):
                snippet_of(initializer, network(), specs, "x")
            return
        text = snippet_of(initializer, network(), specs, "x")
    assert "initsuite" not in text
    for key, value in drawn(text, seed=3).items():
        assert torch.equal(value, start.params[key]), key


@dataclass(frozen=True)
class Own:
    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        weight = torch.empty(spec.shape)
        nn.init.kaiming_uniform_(weight, a=0.5, generator=generator)
        weight.view(-1)[:2] = 0.25
        weight[0].mul_(2)
        return weight + 0.01


@dataclass(frozen=True)
class Peeking:
    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        weight = torch.randn(spec.shape, generator=generator)
        return weight * float(weight.abs().max())


def test_a_law_of_ones_own_with_views_and_changes_in_place() -> None:
    specs = describe(network(), example=torch.zeros(2, 2, 4, 4))
    text = snippet_of(as_initializer(Own()), network(), specs, "x")
    expected = as_initializer(Own())(network(), specs, seed=5).params
    assert all(torch.equal(value, expected[key]) for key, value in drawn(text, 5).items())


def test_lines_that_would_draw_something_else_are_not_handed_out() -> None:
    specs = describe(network(), example=torch.zeros(2, 2, 4, 4))
    with pytest.raises(
        InitsuiteError, match=r"cannot be written as fixed lines of torch.*initialize_\(model, \.\.\.\)"
    ):
        snippet_of(as_initializer(Peeking()), network(), specs, "x")


@pytest.mark.slow
def test_it_runs_where_initsuite_is_not(tmp_path: Path) -> None:
    """In a process that cannot import the package, for a seed that it was not checked on."""
    model = network()
    specs = describe(model, example=torch.zeros(2, 2, 4, 4))
    text = snippet_of(as_initializer(catalogue.build("orthogonal", {})), model, specs, "x")
    end = (
        "from torch import nn\nmodel = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 32), "
        "nn.Tanh(), nn.LayerNorm(32), nn.Linear(32, 5))\ninitialize_(model, seed=11)\n"
        "torch.save(model.state_dict(), 'state.pt')\n"
    )
    (tmp_path / "alone.py").write_text(text + end)
    subprocess.run([sys.executable, "-I", "alone.py"], cwd=tmp_path, check=True)
    initsuite.initialize_(model, "orthogonal", seed=11, example=torch.zeros(2, 2, 4, 4))
    for name, value in torch.load(tmp_path / "state.pt").items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=0, atol=1e-6)  # QR may use more threads there
