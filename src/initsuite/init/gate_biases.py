"""The biases of gates, which decide how long a recurrent network remembers at the start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ByLaws, Laws
from initsuite.init.base.layout import each_block, weight_name
from initsuite.init.base.requirements import refusal
from initsuite.init.inside import INSIDE, check_inside
from initsuite.spec import Initialization, Initializer, ParamSpec, Probe, Role, Specs, TensorInit

KEEPING = {"forget_gate": 1.0, "input_gate": -1.0, "update_gate": 1.0}
"""By gate, the sign of a bias with which a state keeps its value; a GRU of torch keeps the share `update_gate`."""


@dataclass(frozen=True)
class ForgetBias(ByLaws):
    """Any initializer, with the bias of the forget gate of every LSTM at `value`.

    All else, lr factors included, is what the initializer inside makes of it. The cell then keeps sigmoid(value) of its
    state per step, as far as inputs and state do not matter: 0.73 at 1, against 0.5 at 0, so that gradients reach
    further back. Where a layer has two bias vectors, which are added, the one beside the input matrix has the value
    and the other one 0 in this gate.

    Named initializers take it as an option: `initialize_(model, "he", forget_bias=1)`, `+init.forget_bias=1`. Initial
    values that were tuned on a probe (`lsuv`) are tuned without it. A GRU has no such gate: see `Chrono`.

    Args:
        inside: the initializer of everything else.
        value: any finite number; Keras has 1.

    Raises:
        ConfigError: the model has no forget gate with a bias.

    References:
        Gers, Schmidhuber & Cummins 2000, Learning to Forget: Continual Prediction with LSTM.
        Jozefowicz, Zaremba & Sutskever 2015, An Empirical Exploration of Recurrent Network Architectures, section 4.
    """

    inside: Initializer
    value: float = 1.0

    def __post_init__(self) -> None:
        check_number("ForgetBias", "forget_bias", self.value)
        object.__setattr__(self, "checks_model", getattr(self.inside, "checks_model", False))

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        gates = self._gates(specs)
        start = self.inside(model, specs, seed=seed, probe=probe)
        biases = {name: _overwritten(start.params[name], spec, values) for name, (spec, values) in gates.items()}
        return Initialization({**start.params, **biases}, start.lr_factors)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        """Those of the initializer inside, which draws what has none of its own, and of the biases."""
        gates = self._gates(specs)
        inside = cast("TensorInit", self.inside)
        laws = self.inside.laws(model, specs) if isinstance(self.inside, ByLaws) else {}
        laws = {spec.name: laws.get(spec.name, (inside, spec)) for spec in specs}
        return laws | {name: (_Filled(laws[name][0], values), spec) for name, (spec, values) in gates.items()}

    def _gates(self, specs: Specs) -> dict[str, tuple[ParamSpec, Mapping[str, float]]]:
        found = gate_biases("ForgetBias", "LSTM layers with biases", specs, {"forget_gate"})
        return {spec.name: (spec, {"forget_gate": self.value if is_first else 0.0}) for spec, is_first in found}


@dataclass(frozen=True)
class Chrono(ByLaws):
    """Gates that remember for a time between 1 and `max_time` steps, spread over the units of each layer.

    An LSTM's forget gate has the bias log(u), its input gate -log(u), with the same u ~ U(1, max_time - 1) for a unit:
    without any input the unit keeps u/(1 + u) of its state per step, a memory of 1 + u steps, and takes in 1/(1 + u).
    A GRU's update gate has log(u), as in torch and here it is what the unit *keeps*; the paper's is what it takes in,
    with -log(u). All other weights and biases are those of the law inside. Where a layer has two bias vectors, which
    are added, the one beside the input matrix has these values and the other one 0 in these gates.

    Pitfall: `max_time` is the longest dependency to be learned, in steps, not the length of the sequences; far above
    it the states saturate. Departure: the paper leaves the weights open.

    Args:
        max_time: above 2; the paper's T_max.
        inside: the law of everything else: he, lecun, normal (std 0.02), keras_default (Glorot, recurrent matrices
            orthogonal), torch_default.

    Raises:
        ConfigError: the model has no gated layer with biases.

    Elsewhere:
        torch: biases near 0, with which a unit keeps half of its state per step: a memory of 2 steps.
        Keras: LSTM has forget bias 1 (`unit_forget_bias`): 0.73 of the state per step, a memory of 3.7 steps.

    References:
        Tallec & Ollivier 2018, Can recurrent neural networks warp time?, section 2.
    """

    max_time: float = 100.0
    inside: str = "keras_default"

    def __post_init__(self) -> None:
        check_number("Chrono", "max_time", self.max_time, above=2)
        check_inside("Chrono", self.inside)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        laws = INSIDE[self.inside].laws(model, specs)
        for spec, is_first in gate_biases("Chrono", "LSTM or GRU layers with biases", specs, KEEPING):
            law = laws[spec.name][0]
            if is_first:  # the gates of a unit have one u: drawn together
                laws[spec.name] = (_Remembering(law, spec, self.max_time), replace(spec, blocks=(), parts=()))
            else:
                laws[spec.name] = (_Filled(law, dict.fromkeys(KEEPING, 0.0)), spec)
        return laws


def gate_biases(where: str, expected: str, specs: Specs, gates: Collection[str]) -> list[tuple[ParamSpec, bool]]:
    """The biases of layers with one of these gates, and whether each is the one of its layer that sets them.

    Raises:
        ConfigError: there is none.
    """
    found = [spec for spec in specs if spec.role is Role.BIAS and not set(spec.parts).isdisjoint(gates)]
    if not found:
        fix = "Use model=lstm, or leave the biases of gates as they are."
        raise refusal(where, f"no bias of a {' or '.join(sorted(gates))}", expected, fix)
    recurrent = {spec.name for spec in specs if spec.role is Role.RECURRENT}
    first: dict[int, str] = {}
    for spec in sorted(found, key=lambda spec: (weight_name(spec.name) in recurrent, spec.name)):
        first.setdefault(spec.layer, spec.name)
    return [(spec, spec.name in first.values()) for spec in found]


def _overwritten(bias: Tensor, spec: ParamSpec, values: Mapping[str, float]) -> Tensor:
    """The bias with other values in some of its gates."""
    rows = zip(spec.parts, bias.split(spec.blocks or bias.shape[0]), strict=True)
    return torch.cat([torch.full_like(own, values[part]) if part in values else own for part, own in rows])


@dataclass(frozen=True)
class _Filled:
    """A law, with constants in some gates."""

    law: TensorInit
    values: Mapping[str, float] = field(hash=False)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        drawn = self.law(spec, generator)
        return _overwritten(drawn, spec, self.values)


@dataclass(frozen=True)
class _Remembering:
    """A law for the bias `whole` of a gated layer, whose gates are drawn together."""

    law: TensorInit
    whole: ParamSpec
    max_time: float

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        units = self.whole.shape[0] // len(self.whole.parts)
        keep = torch.empty(units).uniform_(1.0, self.max_time - 1, generator=generator).log()
        drawn = [self.law(block, generator) for block in each_block(self.whole)]
        signs = [KEEPING.get(part) for part in self.whole.parts]
        return torch.cat([own if sign is None else sign * keep for own, sign in zip(drawn, signs, strict=True)])
