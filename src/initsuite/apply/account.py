"""What an initializer declares and what it did: one row per tensor of a model."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import nn

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.init.base.compose import ByLaws
from initsuite.init.base.layout import each_block
from initsuite.init.theory.gains import resolve_gain
from initsuite.spec import Initializer, ParamSpec, TensorInit

DRAWN, KEPT, MISSING = "drawn", "kept", "missing"
Drawn = tuple[TensorInit | Initializer, ParamSpec]
"""The law that draws a tensor, and the facts that it is given."""


@rng.float32_on_cpu()
def account(model: nn.Module, specs: Sequence[ParamSpec], initializer: Initializer) -> pd.DataFrame:
    """The table that `initialize_` returns; its docstring explains the columns."""
    known = {spec.name: spec for spec in specs}
    laws = initializer.laws(model, specs) if isinstance(initializer, ByLaws) else {}
    drawn = {name: laws.get(name, (initializer, spec)) for name, spec in known.items()}
    rows = [_row(name, parameter, known.get(name), drawn.get(name)) for name, parameter in model.named_parameters()]
    return pd.DataFrame(rows).astype({"fan_in": "Int64", "fan_out": "Int64"})


def _row(name: str, parameter: nn.Parameter, spec: ParamSpec | None, drawn: Drawn | None) -> dict[str, Any]:
    mean = std = math.nan
    if not parameter.is_meta:
        std, mean = (value.item() for value in torch.std_mean(parameter.detach().float(), correction=0))
    return {
        "tensor": name,
        "shape": tuple(parameter.shape),
        "role": str(spec.role) if spec else "",
        "parts": ", ".join(spec.parts) if spec else "",
        "fan_in": spec.fan_in if spec else None,
        "fan_out": spec.fan_out if spec else None,
        "nonlinearity": spec.nonlinearity.name if spec and spec.nonlinearity else "",
        "gain": declared_gain(*drawn) if drawn else math.nan,
        "expected_std": declared_std(*drawn) if drawn else math.nan,
        "realised_mean": mean,
        "realised_std": std,
        "how": DRAWN if spec else MISSING if parameter.is_meta else KEPT,
    }


def declared_gain(law: TensorInit | Initializer, spec: ParamSpec) -> float:
    """The gain of the law for one tensor as a number; NaN if it has none, or is an initializer of a whole model."""
    gain = getattr(law, "gain", None)
    if "seed" in inspect.signature(law).parameters or not isinstance(gain, float | int | str):
        return math.nan
    try:
        return resolve_gain(gain, spec.nonlinearity)
    except ConfigError:  # a user's law may mean something else by the word
        return math.nan


def declared_std(law: TensorInit | Initializer, spec: ParamSpec) -> float:
    """The std that the law for one tensor declares; NaN if it declares none.

    A law, or an initializer of a whole model, declares it with a method `declared_std(spec) -> float`. It is called for
    each of several matrices fused into one tensor; the std of the whole is the root of their mean square.
    """
    declare = getattr(law, "declared_std", None)
    if declare is None:
        return math.nan
    blocks = each_block(spec)
    if len(blocks) == 1:
        return float(declare(blocks[0]))
    squares = sum(math.prod(block.shape) * declare(block) ** 2 for block in blocks)
    return math.sqrt(squares / math.prod(spec.shape))
