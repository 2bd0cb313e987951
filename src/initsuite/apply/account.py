"""What an initializer declares and what it did: one row per tensor of a model."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.errors import ConfigError
from initsuite.init.base.compose import OWN, ByLaws
from initsuite.init.base.layout import each_block
from initsuite.init.theory.gains import resolve_gain
from initsuite.models.describe.describe import Description
from initsuite.spec import Initializer, ParamSpec, TensorInit

DRAWN, KEPT, MISSING, DERIVED = "drawn", "kept", "missing", "derived"
Drawn = tuple[TensorInit | Initializer, ParamSpec]
"""The law that draws a tensor, and the facts that it is given."""


class Account(pd.DataFrame):
    """The table of `initialize_`, which a notebook shows without the columns that say nothing of this model.

    What is cut out of it is a plain table.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _repr_html_(self) -> str:
        says = [name for name in self.columns if (self[name].notna() & (self[name].astype(str) != "")).any()]
        return self[says].to_html(index=False, border=0, na_rep="", float_format="{:z.3g}".format)


@rng.float32_on_cpu()
def account(
    model: nn.Module,
    description: Description,
    initializer: Initializer,
    wanted: Collection[str],
    prefix: str = "",
    values: Mapping[str, Tensor] | None = None,
) -> pd.DataFrame:
    """The table that `initialize_` returns, of the tensors in `wanted`; its docstring explains the columns.

    Args:
        values: of the tensors; None = those of the model.
    """
    known = {spec.name: spec for spec in description.specs}
    with warnings.catch_warnings(action="ignore"):  # they were given when the laws were used
        laws = initializer.laws(model, description.specs) if isinstance(initializer, ByLaws) else {}
    drawn = {name: laws.get(name, (initializer, spec)) for name, spec in known.items()}
    rows = [
        {"tensor": prefix + name, **_facts(parameter, known.get(name)), **_done(parameter, drawn.get(name)),
         "why": description.kept.get(name, "")}
        for name, parameter in (values or dict(model.named_parameters())).items()
        if name in wanted
    ]  # fmt: skip
    for row in rows:
        name = row["tensor"].removeprefix(prefix)
        if name in description.lengths:
            row["how"] = DERIVED
        elif name in drawn and drawn[name][0] == OWN and drawn[name][1].own is not None:
            what = "scales the signal" if drawn[name][1].own else "starts at 0"
            row |= {"how": KEPT, "why": f"it {what}, and the law is not about that"}
    return Account(pd.DataFrame(rows).astype({"fan_in": "Int64", "fan_out": "Int64"}))


def _facts(parameter: Tensor, spec: ParamSpec | None) -> dict[str, Any]:
    """The columns about what a tensor is."""
    return {
        "shape": tuple(parameter.shape),
        "role": str(spec.role) if spec else "",
        "parts": ", ".join(spec.parts) if spec else "",
        "fan_in": spec.fan_in if spec else None,
        "fan_out": spec.fan_out if spec else None,
        "nonlinearity": spec.nonlinearity.name if spec and spec.nonlinearity else "",
        "described_by": spec.described_by if spec else "",
        "factor": spec.factor if spec else math.nan,
    }


def _done(parameter: Tensor, drawn: Drawn | None) -> dict[str, Any]:
    """The columns about the values of a tensor."""
    mean = std = math.nan
    if parameter.is_floating_point() and not parameter.is_meta:
        std, mean = (value.item() for value in torch.std_mean(parameter.detach().float(), correction=0))
    factor, offset = (drawn[1].factor, drawn[1].offset) if drawn else (1.0, 0.0)
    return {
        "gain": declared_gain(*drawn) if drawn else math.nan,
        "expected_std": declared_std(*drawn) if drawn else math.nan,
        "realised_mean": mean * factor + offset,
        "realised_std": std * abs(factor),
        "how": DRAWN if drawn else MISSING if parameter.is_meta else KEPT,
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
