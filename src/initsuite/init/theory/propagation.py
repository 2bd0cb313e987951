"""Mean and variance of the signal, carried through a recorded forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from initsuite.init.theory.signal import UNIT, Signal, mixture, product
from initsuite.init.theory.waves import Wave, chosen, joint
from initsuite.models.describe.graph.contractions import OPERANDS, contractions, operation, shape_of
from initsuite.models.describe.graph.kinds import (
    CHOICES,
    OPTIONS_ON_TENSORS,
    PARTS,
    is_attention,
    is_norm,
    is_pointwise,
)
from initsuite.models.describe.graph.recording import Recording
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Role, Specs

AT_START = {
    **dict.fromkeys((Role.BIAS, Role.NORM_SHIFT), Signal(0.0, 0.0)),
    **dict.fromkeys((Role.NORM_SCALE, Role.BRANCH_SCALE, Role.MULTIPLIER), Signal(1.0, 0.0)),
}
"""Parameters that are no weights."""
MADE = {
    **dict.fromkeys(("rand", "rand_like", "uniform"), Signal(0.5, 1 / 12)),
    **dict.fromkeys(("randn", "randn_like", "normal"), UNIT),
    **dict.fromkeys(("empty", "empty_like", "new_empty"), Signal(0.0, 0.0)),
}
"""What is drawn in the pass itself, and what is not filled yet."""
REDUCTIONS: Mapping[str, Callable[[Signal, float], Signal]] = {
    "mean": Signal.average, "sum": Signal.total, "amax": Signal.maximum, "max": Signal.maximum,
    "amin": Signal.minimum, "min": Signal.minimum, "_softmax": Signal.share, "_safe_softmax": Signal.share,
    "var": lambda signal, _: Signal(signal.variance, 0.0), "var_mean": lambda signal, _: Signal(signal.variance, 0.0),
    "std": lambda signal, _: Signal(math.sqrt(signal.variance), 0.0),
    "linalg_vector_norm": lambda signal, count: Signal(math.sqrt(count * signal.mean_square), 0.0),
}  # fmt: skip
"""What becomes of independent signals that are reduced to one; deviations and norms are taken as exact."""
SAME_FUNCTION: Mapping[str, Callable[..., Any]] = {
    "log_sigmoid_forward": torch.ops.aten.log_sigmoid,
    "rrelu_with_noise": lambda x, noise, lower, upper, *rest: torch.ops.aten.leaky_relu(x, (lower + upper) / 2),
    "_prelu_kernel": lambda x, slope: torch.where(x > 0, x, slope * x),
}
"""Operations on single entries that torch does not mark as such, or whose options are tensors."""
CONVOLUTIONS = ("convolution", "_convolution")
PLAIN = ("mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv", "matmul", "linear", *CONVOLUTIONS)
"""Products whose first factor is summed over its last axis, and convolutions."""


def seen_by_layers(model: nn.Module, recording: Recording, specs: Specs, inputs: Signal) -> dict[str, Signal]:
    """The signal that each weight is multiplied by, all its uses together, by its name.

    A product with a weight, a norm and a look-up put out mean 0 and variance 1. Every function of single entries is
    evaluated by quadrature, exact for those of one Gaussian signal; signals that do not come from the same entries
    count as independent, and their sums, products and other functions as Gaussian again. Pooling windows and means over
    axes reduce independent entries, a concatenation and zero padding mix theirs, dropout multiplies by what it draws,
    attention hands on what it weights; so does everything else.
    """
    return _Pass(model, recording, specs, inputs).seen


class _Pass:
    """One recorded forward pass, carried out on waves."""

    def __init__(self, model: nn.Module, recording: Recording, specs: Specs, inputs: Signal) -> None:
        self._recording, self._inputs = recording, inputs
        self._roles = {spec.name: spec.role for spec in specs}
        self._model = model
        self._uses = {use.node: use for use in contractions(recording)}
        self._waves: dict[fx.Node, Wave] = {}
        found: dict[str, list[Signal]] = {}
        for node in recording.nodes:
            use = self._uses.get(node)
            if use and not use.is_look_up and use.signal in self._waves:
                for name in use.parameters:
                    found.setdefault(name, []).append(self._waves[use.signal].signal)
            wave = self._wave(node)
            if wave is not None:
                self._waves[node] = wave
        # the first state of a recurrent layer is 0, and says nothing about the others
        known = {name: [each for each in signals if math.isfinite(each.mean_square)] for name, signals in found.items()}
        self.seen = {
            name: mixture([each for each in signals if each.mean_square] or signals)
            for name, signals in known.items()
            if signals
        }

    def _wave(self, node: fx.Node) -> Wave | None:
        """What a node puts out; None where that is no tensor."""
        name = operation(node)
        if node in self._recording.inputs:
            return Wave.gaussian(self._inputs, node)
        if node in self._recording.parameters:
            return Wave.gaussian(self._parameter(self._recording.parameters[node]), node)
        if name in MADE:
            return Wave.gaussian(MADE[name], node)
        if name == "bernoulli":
            chance = next((each for each in node.args[1:] if isinstance(each, float)), 0.5)
            return Wave.gaussian(Signal(chance, chance * (1 - chance)), node)
        if node not in self._recording.signals and not self._recording.sources.get(node):
            fixed = self._constant(node)
            if fixed is not None:
                return fixed
        if node in self._uses:
            signal = self._waves.get(self._uses[node].signal)
            is_dead = signal is not None and not signal.signal.mean_square and not self._uses[node].is_look_up
            return Wave.gaussian(Signal(0.0, 0.0) if is_dead else UNIT, node)
        own = self._own(node)
        return self._behind(node, name, own) if own else None

    def _parameter(self, name: str) -> Signal:
        role = self._roles.get(name)
        value = self._model.get_parameter(name)
        if role is None and not value.is_meta and not value.is_complex():
            return Signal.of(value)
        return AT_START.get(role, UNIT) if role is not None else UNIT

    def _constant(self, node: fx.Node) -> Wave | None:
        value = self._recording.value(node)
        if not isinstance(value, Tensor) or value.is_complex() or not value.numel() or not value.isfinite().all():
            return None
        return Wave.gaussian(Signal.of(value), node)

    def _own(self, node: fx.Node) -> list[Wave]:
        """The operands that are known, the signals among them first."""
        known = [each for each in node.all_input_nodes if each in self._waves]
        return [self._waves[each] for each in sorted(known, key=lambda each: each not in self._recording.signals)]

    def _behind(self, node: fx.Node, name: str, own: Sequence[Wave]) -> Wave | None:
        if is_norm(name) and "local" not in name:
            return Wave.gaussian(UNIT, node)
        if is_attention(name):
            return self._waves.get(node.args[2], own[0]) if len(node.args) > 2 else own[0]  # type: ignore[arg-type]
        if name in OPERANDS:
            return self._product(node, name, own)
        reduced = self._reduced(node, name, own[0])
        if reduced is not None:
            return reduced
        if name in SAME_FUNCTION or is_pointwise(name):
            return self._pointwise(node, name, own)
        if name in ("cat", "stack", "constant_pad_nd"):
            return Wave.gaussian(self._mixed(node, name), node)
        if name == "glu":
            return Wave.gaussian(product(own[0].signal, own[0].signal.through(torch.sigmoid)), node)
        if name == "copy":
            return self._waves.get(node.args[1], own[0])  # type: ignore[arg-type]
        return self._moved(node, name, own[0])

    def _reduced(self, node: fx.Node, name: str, wave: Wave) -> Wave | None:
        """Behind a reduction over axes or windows; None for other operations."""
        law = REDUCTIONS.get(name)
        is_of_two = name in ("max", "min") and any(isinstance(each, fx.Node) for each in node.args[1:2])
        window = name.partition("_pool")[2]
        is_pool = window[1:2] == "d" and "unpool" not in name
        if is_pool:
            law = Signal.maximum if "max" in name else Signal.average
        if law is None or is_of_two:
            return None
        before, after = shape_of(node.all_input_nodes[0]), _first_shape(node)
        count = math.prod(before) / max(math.prod(after), 1)
        if law is Signal.share:
            count = before[int(node.args[1])]  # type: ignore[arg-type]
        elif is_pool and "adaptive" not in name:
            size, dimensions = node.args[1], int(window[0])
            count = math.prod(size) if len(size) == dimensions else size[0] ** dimensions  # type: ignore[arg-type, index]
        return replace(Wave.gaussian(law(wave.signal, count), node), is_share=law is Signal.share)

    def _product(self, node: fx.Node, name: str, own: Sequence[Wave]) -> Wave:
        """Behind a product without a weight that is drawn: of two signals, or with a fixed matrix."""
        factors_at = [node.args[place] for place in OPERANDS[name] if place < len(node.args)]
        factors = [self._waves.get(each) for each in factors_at]  # type: ignore[arg-type]
        first, second = (*factors, None)[:2]
        if first is None or second is None or name not in PLAIN:
            return own[0]
        sources = [each for place in factors_at for each in self._recording.sources.get(place, ())]  # type: ignore[arg-type]
        is_dead = not first.signal.mean_square or not second.signal.mean_square
        if not is_dead and any(self._roles.get(each) in WEIGHTS for each in sources):
            return Wave.gaussian(UNIT, node)
        if first.is_share or second.is_share:
            return replace(second if first.is_share else first, origin=node, is_share=False)
        shape = shape_of(factors_at[1 if name in CONVOLUTIONS else 0])  # type: ignore[arg-type]
        count = math.prod(shape[1:]) if name in CONVOLUTIONS else shape[-1]
        return Wave.gaussian(product(first.signal, second.signal).total(count), node)

    def _mixed(self, node: fx.Node, name: str) -> Signal:
        """One of the entries of several tensors, or of one and its padding."""
        if name == "constant_pad_nd":
            (source, *_), number = node.all_input_nodes, (*node.args, 0.0)[2]
            kept = min(math.prod(shape_of(source)) / max(math.prod(shape_of(node)), 1), 1.0)
            return mixture([self._waves[source].signal, Signal(float(number), 0.0)], [kept, 1 - kept])  # type: ignore[arg-type]
        parts = [each for each in node.args[0] if each in self._waves]  # type: ignore[union-attr, operator]
        return mixture(
            [self._waves[each].signal for each in parts], [max(math.prod(shape_of(each)), 1) for each in parts]
        )  # type: ignore[arg-type]

    def _moved(self, node: fx.Node, name: str, wave: Wave) -> Wave:
        """Behind an operation that hands entries on; other entries are independent of those that are left behind."""
        source = node.args[0] if node.args else None
        if name == "getitem" and isinstance(source, fx.Node):
            if operation(source) in ("var_mean", "std_mean") and node.args[1] == 1:
                before = source.all_input_nodes[0]
                count = math.prod(shape_of(before)) / max(math.prod(shape_of(node)), 1)
                return Wave.gaussian(self._waves[before].signal.average(count), node)
            is_part = operation(source) in PARTS
        else:
            is_part = name in PARTS and (
                name in ("roll", "flip") or shape_of(node) != shape_of(node.all_input_nodes[0])
            )
        if wave.origin is None or not is_part:
            return wave
        return replace(wave, origin=(wave.origin, name, str(node.args[0]), str(node.args[1:])))

    def _pointwise(self, node: fx.Node, name: str, own: Sequence[Wave]) -> Wave:
        """Behind a function of single entries; the main operand where its moments are not known."""
        if any(each not in self._waves for each in node.all_input_nodes):
            return own[0]
        arguments = [self._waves[each] if isinstance(each, fx.Node) else each for each in node.args]
        keywords = {key: value for key, value in node.kwargs.items() if key not in OPTIONS_ON_TENSORS}
        function = partial(SAME_FUNCTION.get(name) or getattr(torch.ops.aten, name), **keywords)
        found = chosen(name, arguments, node) if name in CHOICES else None
        found = found or joint(function, name, arguments, node) or own[0]
        return replace(found, is_share=any(each.is_share for each in own) and name in ("mul", "div"))


def _first_shape(node: fx.Node) -> tuple[int, ...]:
    """The shape of the first tensor that an operation returns."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) else value
    return tuple(value.shape) if isinstance(value, Tensor) else ()
