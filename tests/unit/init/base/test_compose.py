"""Lifting tensor laws to initializers, and what is refused on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.activations import activation
from initsuite.errors import ConfigError, InitsuiteError
from initsuite.init import Constant, Normal, Orthogonal, PerTensor, RandomWalk, VarianceScaling, as_initializer
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.spec import Initialization, ParamSpec, Role

SPEC = ParamSpec("0.weight", (6, 4), Role.WEIGHT, 4, 6, None, 0, 1, is_head=True)
MODEL = skeleton(lambda: nn.Sequential(nn.Linear(4, 6)))


@dataclass(frozen=True)
class Ramp:
    """A user's law for one tensor."""

    top: float = 1.0

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        return torch.linspace(0, self.top, steps=spec.shape[0] * spec.shape[1]).reshape(spec.shape)


@dataclass(frozen=True)
class Whole:
    """A user's law for a model."""

    def __call__(self, model: nn.Module, specs: list[ParamSpec], *, seed: int, probe: Any = None) -> Initialization:
        return Initialization({spec.name: torch.zeros(spec.shape) for spec in specs})


class WithoutProbe:
    def __call__(self, model: nn.Module, specs: list[ParamSpec], seed: int = 0) -> Initialization:
        return Initialization({})


class OneArgument:
    def __call__(self, tensor: Tensor) -> Tensor:
        return tensor


def test_a_tensor_law_gets_zero_biases() -> None:
    initializer = as_initializer(Ramp(2.0))
    assert initializer == PerTensor(weight=Ramp(2.0))
    params = initializer(MODEL, describe(MODEL), seed=0).params
    assert params["0.weight"][-1, -1] == 2
    assert not params["0.bias"].any()


def test_an_initializer_stays_as_it_is() -> None:
    assert as_initializer(Whole()) == Whole()
    lifted = PerTensor(weight=Ramp())
    assert as_initializer(lifted) is lifted


def test_a_plain_function_is_a_law_too() -> None:
    initializer = as_initializer(lambda spec, generator: torch.full(spec.shape, 3.0))
    assert (initializer(MODEL, describe(MODEL), seed=0).params["0.weight"] == 3).all()


@pytest.mark.parametrize(
    ("law", "got"),
    [
        (WithoutProbe(), r"WithoutProbe with __call__\(model.*seed"),
        (OneArgument(), r"OneArgument with __call__\(tensor"),
        (3, "int without __call__"),
        (Ramp, "the class Ramp, not an instance"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_anything_else_is_refused_with_both_signatures(law: object, got: str) -> None:
    with pytest.raises(ConfigError, match=got + r".*seed, probe=None\) for a model.*spec, generator\) for one tensor"):
        as_initializer(law)


def test_each_role_has_its_law() -> None:
    model = skeleton(lambda: nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 6)))
    laws = PerTensor(
        weight=Constant(1), bias=Constant(2), embedding=Constant(3), norm_scale=Constant(4), norm_shift=Constant(5)
    )
    params = laws(model, describe(model), seed=0).params
    assert {name: float(value.flatten()[0]) for name, value in params.items()} == {
        "0.weight": 3,
        "1.weight": 4,
        "1.bias": 5,
        "2.weight": 1,
        "2.bias": 2,
    }


def test_a_law_that_is_none_is_refused_with_its_role() -> None:
    with pytest.raises(ConfigError, match=r"bad law `bias`=0\.0.*Expected an instance with __call__\(self, spec"):
        PerTensor(weight=Ramp(), bias=0.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"bad law `weight`=Whole"):
        PerTensor(weight=Whole())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drawn", "got"),
    [
        (torch.zeros(4, 6), r"torch.float32 on cpu of shape \(4, 6\)"),
        (torch.zeros(6, 4).double(), "torch.float64 on cpu"),
        (torch.zeros(6, 4, device="meta"), "torch.float32 on meta"),
        (torch.full((6, 4), torch.nan), "values that are not finite"),
        (None, "NoneType"),
    ],
    ids=["shape", "dtype", "device", "nan", "none"],
)
def test_a_law_that_returns_something_else_is_named_with_the_tensor(drawn: Any, got: str) -> None:
    @dataclass(frozen=True)
    class Broken:
        def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
            return drawn

    expected = r"Expected a float32 CPU tensor of shape \(6, 4\).*Return a new tensor"
    with pytest.raises(ConfigError, match=rf"Broken: bad tensor for `0.weight`: {got}.*{expected}"):
        as_initializer(Broken())(MODEL, [SPEC], seed=0)


def test_a_law_that_raises_says_where() -> None:
    @dataclass(frozen=True)
    class Raising:
        def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
            raise ZeroDivisionError("division by zero")

    with pytest.raises(
        InitsuiteError, match=r"Raising: failed on `0.weight` of shape \(6, 4\). ZeroDivisionError: div"
    ):
        as_initializer(Raising())(MODEL, [SPEC], seed=0)
    spec = replace(SPEC, nonlinearity=activation("gelu"))
    with pytest.raises(ConfigError, match=r"Orthogonal: failed on `0.weight`.*torch_gain: .*Use gain=auto"):
        as_initializer(Orthogonal("torch"))(MODEL, [spec], seed=0)
    with pytest.raises(ConfigError, match=r"^RandomWalk: bad value .* \(Met at `0.weight` of shape \(6, 4\)\.\)"):
        as_initializer(RandomWalk())(MODEL, [spec], seed=0)


@pytest.mark.parametrize("law", [Orthogonal(2.0), VarianceScaling(), Normal(std=1.0)], ids=repr)
def test_fused_blocks_are_independent_matrices(law: Any) -> None:
    fused = replace(SPEC, shape=(24, 8), fan_in=8, fan_out=8, blocks=(8, 12, 4))
    weight = as_initializer(law)(MODEL, [fused], seed=0).params["0.weight"]
    assert weight.shape == (24, 8)
    generator = rng.generator(0, "init", "0.weight")
    for block, rows in zip(weight.split(fused.blocks), fused.blocks, strict=True):
        assert torch.equal(block, law(replace(fused, shape=(rows, 8), blocks=()), generator))
        if isinstance(law, Orthogonal):
            torch.testing.assert_close(torch.linalg.svdvals(block), torch.full((min(rows, 8),), 2.0))
