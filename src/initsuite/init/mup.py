"""The maximal update parametrization: one learning rate for every width."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from initsuite.errors import check_whole_number, unknown_choice
from initsuite.init.base.compose import ZERO, ByLaws, Laws, weights_by_place
from initsuite.init.base.layout import each_block
from initsuite.init.theory.gains import check_gain
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.models.describe.layers import WEIGHTS
from initsuite.spec import Initialization, ParamSpec, Probe, Role, Specs, TensorInit


@dataclass(frozen=True)
class Mup(ByLaws):
    """Variances and learning rates with which features move by O(1) per step at any width.

    Var[w] = gain^2 / fan_in for input and hidden layers, and 1 / fan_in^2 for the head, or 0. Hidden pre-activations
    keep their size, outputs start at std ~ 1/sqrt(width) and vanish for wide networks. Biases are 0, embeddings
    N(0, 1).

    The learning rate of a tensor is multiplied by an lr factor; r = (inputs of the layer, receptive field left out) /
    base_width, s the same for its outputs. With them the best lr at one width is the best at every width:

        |                          | adam | sgd |
        | hidden weight            | 1/r  | 1   |
        | head weight              | 1/r  | 1/r |
        | other weight, embedding  | 1    | s   |
        | bias, norm               | 1    | s   |
        | bias of the head, scalar | 1    | 1   |

    A layer with base_width inputs and outputs has factor 1: base_width only sets the unit, never a ratio of widths. The
    adam column is also that of adamw and rmsprop, the sgd column that of nesterov. adamw's decay is slowed with the
    rest of the update. Hidden are all layers but the first and the head; a layer whose units see one input each
    (depthwise) has no fan that grows, and is not hidden. Departures: gain stands for constants that the paper leaves
    open. Attention keeps 1/sqrt(head width), where the paper has 1/width, so vary the number of heads rather than their
    width; the paper also recommends zero queries, not done here.

    Args:
        optimizer: adam or sgd: the column of the table.
        base_width: inputs and outputs of a layer whose lr factors are 1, from 1.
        gain: gain of input and hidden layers: a number above 0, `auto`, `backward` or `torch` (see `VarianceScaling`).
        output: law of the head: normal or zero.

    References:
        Yang et al. 2021, Tensor Programs V: Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer,
        table 3.
    """

    optimizer: str = "adam"
    base_width: int = 64
    gain: float | str = 1.0
    output: str = "normal"

    def __post_init__(self) -> None:
        check_whole_number("Mup", "base_width", self.base_width)
        check_gain("Mup", self.gain)
        for name, choices in (("optimizer", ("adam", "sgd")), ("output", ("normal", "zero"))):
            if getattr(self, name) not in choices:
                raise unknown_choice("Mup", name, getattr(self, name), choices)

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        start = super().__call__(model, specs, seed=seed, probe=probe)
        changed = {name: factor for name, factor in self.lr_factors(specs).items() if factor != 1}
        return Initialization(start.params, changed)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        def weight(spec: ParamSpec) -> TensorInit:
            if spec.is_head:
                return ZERO if self.output == "zero" else VarianceScaling(spec.fan_in**-0.5)
            return VarianceScaling(self.gain)

        return weights_by_place(weight, specs)

    def lr_factors(self, specs: Specs) -> dict[str, float]:
        """The factor of every tensor, also where it is 1."""
        return {spec.name: self.lr_factor(spec) for spec in specs}

    def lr_factor(self, spec: ParamSpec) -> float:
        """What the learning rate of a tensor is multiplied by: a row of the table above."""
        inputs, outputs = units_of(spec)
        is_weight = spec.role in WEIGHTS
        if is_weight and spec.is_head:
            return self.base_width / inputs
        is_hidden = is_weight and inputs > 1 and (spec.layer > 0 or spec.role is Role.RECURRENT)
        if self.optimizer == "adam":
            return self.base_width / inputs if is_hidden else 1.0
        is_scalar = math.prod(spec.shape) == 1
        return 1.0 if is_hidden or is_scalar or spec.is_head else outputs / self.base_width


def units_of(spec: ParamSpec) -> tuple[float, float]:
    """(inputs, outputs) of the layer of a tensor, the receptive field left out; a vector has one input."""
    if spec.role in WEIGHTS:
        field = math.prod(each_block(spec)[0].shape[2:])
        groups = max(1, len(spec.blocks)) if not spec.parts else 1  # fused matrices with parts are layers side by side
        return spec.fan_in / field, groups * spec.fan_out / field
    return 1, spec.fan_out if spec.role is Role.EMBEDDING else math.prod(spec.shape)
