"""What torch draws by default: the baseline arm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from torch import nn

from initsuite.init.base.compose import ONE, OWN, UNIT_NORMAL, ZERO, ByLaws, Laws
from initsuite.init.base.layout import as_one_matrix, weight_name
from initsuite.init.distributions import Normal, Uniform
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import Initialization, Params, ParamSpec, Probe, Role, Specs, TensorInit

INVERSE_FAN_IN = VarianceScaling(gain=3**-0.5, fan="fan_in", distribution="uniform")
"""U(-1/sqrt(fan_in), 1/sqrt(fan_in)): torch writes it as He uniform for a leaky ReLU of slope sqrt(5)."""
INVERSE_FAN_OUT = VarianceScaling(gain=3**-0.5, fan="fan_out", distribution="uniform")
XAVIER = VarianceScaling(gain=1.0, fan="fan_avg", distribution="uniform")
PACKED = frozenset({"query", "key", "value"})
ATTENTION = PACKED | {"attention_out"}
FIXED = {
    Role.EMBEDDING: UNIT_NORMAL,
    Role.NORM_SCALE: ONE,
    Role.NORM_SHIFT: ZERO,
    Role.BRANCH_SCALE: OWN,
    Role.MULTIPLIER: OWN,
}


@dataclass(frozen=True)
class TorchDefault(ByLaws):
    """The law of torch's own modules, drawn from this suite's named streams.

    Linear and convolution weights, and their biases, are U(-1/sqrt(fan_in), 1/sqrt(fan_in)): Var[w] = 1/(3 fan_in).
    The head is drawn like any other layer. Embeddings are N(0, 1), norm scales 1, norm shifts 0.

    - Transposed convolutions have our fan_out instead of fan_in: torch reads the fan off the second axis, which holds
      their outputs.
    - Bilinear layers: U(-1/sqrt(n), 1/sqrt(n)) with n the features of the first input, where our fan_in counts pairs.
    - Recurrent layers (RNN, LSTM, GRU): all weights and biases U(-1/sqrt(hidden), 1/sqrt(hidden)), the input matrix
      too, whatever its fan. The suite's own recurrent models, which are made of linear layers, follow this rule.
    - Attention, torch's and the suite's: query, key and value Xavier uniform, with a packed tensor drawn as one matrix,
      so that its fan_out is three times theirs and its variance, 1 / (2 features), half of that of three separate ones;
      their biases and that of the output projection are 0; the weight of the projection is that of a linear layer.

    - nn.Transformer: after its layers have drawn their own, it draws every tensor of more than one axis again, Xavier
      uniform by the axes as they are, so that packed query, key and value are one matrix; vectors keep what they have.
    - `model=torchvision`: what the constructor of torchvision's model draws, all from one stream of the seed (Kaiming
      normal by fan_out in a ResNet, truncated normal in a ViT ...), where torch's layers would be no one's baseline.

    Pitfall: it preserves no variance: with ReLU the weights alone shrink the mean square by 6 per layer.

    Departure: torch keeps the `padding_idx` row of an embedding at 0, which a `ParamSpec` does not know.

    Elsewhere:
        Keras: `keras_default`.
        Flax: `flax_default`.
        timm: models draw again once they are made: a vision transformer from a normal law of std 0.02, a ResNet
            Kaiming normal.
        transformers: models draw again once they are made: N(0, 0.02^2) and biases 0 in most of them.

    References:
        torch 2.13, `reset_parameters` of nn.Linear, nn.Conv2d, nn.RNNBase, nn.Embedding, nn.BatchNorm2d and
        `_reset_parameters` of nn.MultiheadAttention and nn.Transformer. The packed variance: pytorch issue 166378.
    """

    @staticmethod
    def law_version(model: nn.Module) -> int:
        """2 where a model has values of its own: they were drawn by the types of its layers before."""
        return 2 if hasattr(model, "own_values") else 1

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization:
        if not hasattr(model, "own_values"):
            return super().__call__(model, specs, seed=seed, probe=probe)
        values = cast("Callable[[int], Params]", model.own_values)(seed)
        return Initialization({spec.name: values[spec.name] for spec in specs})

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        hidden = _hidden_sizes(specs)
        # torch's attention and the suite's have layers of their own; a Linear that is only called qkv is a Linear
        modules = {f"{name}." if name else "": module for name, module in model.named_modules()}
        linears = {owner for owner, module in modules.items() if type(module) is nn.Linear}
        bilinear = {owner: module.in1_features for owner, module in modules.items() if isinstance(module, nn.Bilinear)}
        weights = {spec.name: spec for spec in specs if spec.role is Role.WEIGHT}
        redrawn = tuple(owner for owner, module in modules.items() if isinstance(module, nn.Transformer))
        laws: Laws = {}
        for spec in specs:
            if len(spec.shape) > 1 and redrawn and spec.name.startswith(redrawn):
                laws[spec.name] = (XAVIER, _by_axes(spec))
                continue
            weight = weights.get(weight_name(spec.name), spec)
            parts = () if _owner(spec.name) in linears else spec.parts or weight.parts
            units = None if spec.is_head else hidden.get(_cell(spec.name))
            law = _law(spec, parts, weight.is_transposed, units, bilinear.get(_owner(spec.name)))
            laws[spec.name] = (law, as_one_matrix(spec) if law is XAVIER else spec)
        return laws


def _law(
    spec: ParamSpec, parts: tuple[str, ...], is_transposed: bool, hidden: int | None, bilinear: int | None
) -> TensorInit:
    if spec.role in FIXED:
        return FIXED[spec.role]
    if hidden:
        return Uniform(1 / math.sqrt(hidden))
    if ATTENTION.intersection(parts) and spec.role is Role.BIAS:
        # [1, 1, feature]: the extra token of key and value (`add_bias_kv`), which torch draws as Xavier normal
        return Normal(0.0, spec.shape[-1] ** -0.5) if len(spec.shape) > 1 else ZERO
    if PACKED.intersection(parts):
        return XAVIER
    if bilinear:
        return Uniform(1 / math.sqrt(bilinear))
    return INVERSE_FAN_OUT if is_transposed else INVERSE_FAN_IN


def _by_axes(spec: ParamSpec) -> ParamSpec:
    """A weight as `torch.nn.init` sees it: one matrix [fan_out, fan_in] times the size of the kernel."""
    outputs, inputs, *kernel = spec.shape
    field = math.prod(kernel)
    return replace(as_one_matrix(spec), fan_in=inputs * field, fan_out=outputs * field, is_transposed=False)


def _hidden_sizes(specs: Specs) -> dict[str, int]:
    """Units of a hidden state by the module that holds all matrices of the recurrent layers."""
    recurrent = [spec for spec in specs if spec.role is Role.RECURRENT]
    return {_cell(spec.name): spec.blocks[0] if spec.blocks else spec.shape[0] for spec in recurrent}


def _cell(name: str) -> str:
    """The module of a parameter or, for a layer's own `weight` and `bias`, the module that holds the layer.

    A recurrent layer of torch holds `weight_ih_l0`, `weight_hh_l0` ...; one made of linear layers holds those.
    """
    owner, _, local = name.rpartition(".")
    return owner.rpartition(".")[0] if local in ("weight", "bias") else owner


def _owner(name: str) -> str:
    """The name of a parameter's module, with its dot."""
    return name[: name.rfind(".") + 1]
