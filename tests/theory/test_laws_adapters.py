"""LoRA and PiSSA: what an adapter computes at the start, beside a base with and without frozen values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from initsuite.errors import ConfigError
from initsuite.init import Lora, Pissa, TorchDefault, principal_factors
from initsuite.spec import Params, ParamSpec
from support.laws import FALSE_ALARM, chi_square_p
from support.networks import spec_of

ROUNDING = 1e-5
"""Of sums of 128 float32 products of size 1."""
RANK = 8


class Adapted(nn.Module):
    """Two layers with an adapter each, named as in peft, and a head; the adapters are multiplied by `scaling`."""

    def __init__(self, scaling: float = 1.0) -> None:
        super().__init__()
        self.scaling = scaling
        for name, (outputs, inputs) in {"query": (128, 128), "value": (128, 128)}.items():
            holder = nn.Module()
            holder.base_layer = nn.Linear(inputs, outputs, bias=False)
            holder.lora_A, holder.lora_B = nn.Linear(inputs, RANK, bias=False), nn.Linear(RANK, outputs, bias=False)
            self.add_module(name, holder)
        self.head = nn.Linear(128, 128, bias=False)

    def forward(self, inputs: Tensor, adapted: bool = True) -> Tensor:
        for layer in (self.query, self.value):
            added: Tensor = self.scaling * layer.lora_B(layer.lora_A(inputs)) if adapted else torch.zeros(())  # type: ignore[operator, union-attr]
            inputs = layer.base_layer(inputs) + added  # type: ignore[operator, union-attr]
        return self.head(inputs)


def facts(model: nn.Module, frozen: tuple[str, ...] = ()) -> list[ParamSpec]:
    parts = {"lora_A": ("lora_a",), "lora_B": ("lora_b",)}
    return [
        spec_of(name, tuple(value.shape), parts=parts.get(name.split(".")[1], ()))
        for name, value in model.named_parameters()
        if name not in frozen
    ]


def start(law: Any, frozen: tuple[str, ...] = ()) -> Params:
    model = Adapted()
    return law(model, facts(model, frozen), seed=0).params


def test_an_adapter_of_lora_is_zero_at_the_start() -> None:
    model, params = Adapted(), start(Lora())
    inputs = torch.randn(20, 128, generator=torch.Generator().manual_seed(0))
    whole = functional_call(model, params, (inputs,))
    torch.testing.assert_close(whole, functional_call(model, params, (inputs, False)), rtol=0, atol=0)
    firsts = torch.cat([Lora()(model, facts(model), seed=seed).params["query.lora_A.weight"] for seed in range(10)])
    assert chi_square_p(firsts, 1 / (3 * 128)) > FALSE_ALARM
    assert not torch.equal(params["query.lora_A.weight"], params["value.lora_A.weight"])


def test_only_the_second_factor_of_lora_has_a_gradient_at_the_first_step() -> None:
    model = Adapted()
    params = {name: value.requires_grad_() for name, value in start(Lora()).items()}
    inputs = torch.randn(20, 128, generator=torch.Generator().manual_seed(0))
    functional_call(model, params, (inputs,)).square().sum().backward()
    for name in ("query", "value"):
        first, second = (params[f"{name}.lora_{letter}.weight"].grad for letter in "AB")
        assert first is not None
        assert not first.any()
        assert second is not None
        assert second.any()


@pytest.mark.parametrize("inside", ["he", "lecun", "torch_default"])
def test_a_frozen_base_is_none_of_loras_business(inside: str) -> None:
    kept = ("query.base_layer.weight", "value.base_layer.weight")
    params = start(Lora(inside), kept)
    assert params.keys().isdisjoint(kept)
    assert (
        chi_square_p(params["head.weight"], {"he": 2, "lecun": 1, "torch_default": 1 / 3}[inside] / 128) > FALSE_ALARM
    )


@pytest.mark.parametrize("scaling", [1.0, 2.0])
def test_a_model_of_pissa_computes_what_its_base_did(scaling: float) -> None:
    model = Adapted(scaling)
    specs = facts(model)
    params, plain = (law(model, specs, seed=0).params for law in (Pissa(scaling=scaling), TorchDefault()))
    inputs = torch.randn(20, 128, generator=torch.Generator().manual_seed(0))
    expected = functional_call(model, plain, (inputs, False))
    torch.testing.assert_close(functional_call(model, params, (inputs,)), expected, atol=ROUNDING, rtol=0)
    assert not torch.allclose(functional_call(model, params, (inputs, False)), expected, atol=0.01)


def test_the_adapter_of_pissa_has_the_largest_singular_values() -> None:
    params, plain = start(Pissa()), start(TorchDefault())
    largest = torch.linalg.svdvals(plain["value.base_layer.weight"])
    product = params["value.lora_B.weight"] @ params["value.lora_A.weight"]
    torch.testing.assert_close(torch.linalg.svdvals(product)[:RANK], largest[:RANK], atol=ROUNDING, rtol=0)
    rest = torch.linalg.svdvals(params["value.base_layer.weight"])
    torch.testing.assert_close(rest[: 128 - RANK], largest[RANK:], atol=ROUNDING, rtol=0)
    for letter in "AB":  # split evenly
        roots = torch.linalg.svdvals(params[f"value.lora_{letter}.weight"])
        torch.testing.assert_close(roots, largest[:RANK].sqrt(), atol=ROUNDING, rtol=0)


def test_pretrained_values_can_be_factored_by_hand() -> None:
    weight = torch.randn(40, 24, generator=torch.Generator().manual_seed(0))
    first, second, rest = principal_factors(weight, rank=3, scaling=0.5)
    assert (first.shape, second.shape) == ((3, 24), (40, 3))
    torch.testing.assert_close(rest + 0.5 * second @ first, weight, atol=ROUNDING, rtol=0)


def test_layers_side_by_side_are_paired_by_their_names() -> None:
    """Adapters beside their base in one module: only the beginning of the names tells which belong together."""
    shapes = {"q": (16, 12), "k": (16, 12)}
    specs = [spec_of(f"attn.{name}.weight", shape) for name, shape in shapes.items()]
    for name, (outputs, inputs) in shapes.items():
        specs.append(spec_of(f"attn.{name}_b", (outputs, 2), parts=("lora_b",)))
        specs.append(spec_of(f"attn.{name}_a", (2, inputs), parts=("lora_a",)))
    params, plain = (law(nn.Module(), specs, seed=0).params for law in (Pissa(), TorchDefault()))
    for name in shapes:
        whole = params[f"attn.{name}.weight"] + params[f"attn.{name}_b"] @ params[f"attn.{name}_a"]
        torch.testing.assert_close(whole, plain[f"attn.{name}.weight"], atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Lora()(nn.Module(), [spec_of("w", (4, 4))], seed=0), r"Lora: .*no low-rank adapter.*Use init=he"),
        (lambda: Pissa()(nn.Module(), [spec_of("w", (4, 4))], seed=0), r"Pissa: .*no low-rank adapter"),
        (
            lambda: Lora()(nn.Module(), [spec_of("a", (2, 4), parts=("lora_a",))], seed=0),
            r"no second factor of `a`. Expected A \[rank, in\] and B \[out, rank\]",
        ),
        (
            lambda: start(Pissa(), ("query.base_layer.weight", "value.base_layer.weight", "head.weight")),
            r"no base of shape \(128, 128\) for `query.lora_A.weight` that is drawn.*use principal_factors on",
        ),
        (lambda: Lora("xavier"), r"Lora: unknown `inside`='xavier'. Expected one of: he, lecun, normal"),
        (lambda: Pissa("xavier"), r"Pissa: unknown `inside`='xavier'"),
        (lambda: Pissa(scaling=0), r"Pissa: bad value `scaling`=0"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
