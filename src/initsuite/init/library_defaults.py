"""What Keras and Flax draw by default."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.init.base.compose import ZERO, ByLaws, Laws, PerTensor
from initsuite.init.base.layout import as_one_matrix, weight_name
from initsuite.init.distributions import Uniform
from initsuite.init.orthogonal import Orthogonal
from initsuite.init.variance_scaling import VarianceScaling
from initsuite.spec import ParamSpec, Role, Specs, TensorInit

GLOROT_UNIFORM = VarianceScaling(gain=1.0, fan="fan_avg", distribution="uniform")
LECUN_TRUNCATED = VarianceScaling(gain=1.0, fan="fan_in", distribution="truncated_normal")
ORTHOGONAL = Orthogonal(gain=1.0)
SMALL_UNIFORM = Uniform(bound=0.05)
INVERSE_FEATURES = VarianceScaling(gain=1.0, fan="fan_out", distribution="normal")
"""N(0, 1 / features) for an embedding, whose fan_out are its features."""
KERAS = PerTensor(weight=GLOROT_UNIFORM, recurrent=ORTHOGONAL, embedding=SMALL_UNIFORM)
"""Keras' laws, except for the gates and their biases."""
GATES = frozenset({"input_gate", "forget_gate", "cell", "output_gate", "reset_gate", "update_gate", "new"})


def _forget_bias(spec: ParamSpec, generator: torch.Generator) -> Tensor:
    """1 for the forget gate, 0 for all else."""
    return torch.full(spec.shape, float(spec.parts == ("forget_gate",)))


@dataclass(frozen=True)
class KerasDefault(ByLaws):
    """The law of Keras' own layers: Glorot uniform weights, orthogonal recurrent ones, forget bias 1.

    Var[w] = 2 / (fan_in + fan_out), uniform on +-sqrt(6 / (fan_in + fan_out)): a compromise between signal and gradient
    for linear layers, too small for ReLU by a factor of 2 in the variance. The recurrent matrix has orthonormal columns
    [gates x hidden, hidden]. As Keras does, the gates of an LSTM or GRU count as one matrix: fan_out is that of all
    gates, and it is the stack of them, not each gate, that is orthogonal. Embeddings are U(-0.05, 0.05), norm scales 1,
    norm shifts 0, the head is drawn like any other layer.

    Biases are 0, those of an LSTM's forget gate 1 (torch leaves it at about 0). Where a layer has two bias vectors, as
    in torch, only the one beside the input matrix has the 1: they are added, and Keras has one. Departures: fan_out of
    a grouped or depthwise convolution is that of a group, and each group a matrix; Keras counts the outputs of all
    groups (for its DepthwiseConv2D, the inputs of all). Attention gets one matrix for each of query, key and value;
    Keras' fans of its three-axis kernels mix heads and features.

    References:
        Keras 3, layers Dense, Conv2D, SimpleRNN, LSTM (unit_forget_bias), GRU, Embedding; initializers.compute_fans.
        Jozefowicz, Zaremba & Sutskever 2015, An Empirical Exploration of Recurrent Network Architectures (forget bias).
    """

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        laws = KERAS.laws(model, specs)
        recurrent = {spec.name for spec in specs if spec.role is Role.RECURRENT}
        for spec in specs:
            if spec.role is Role.BIAS and "forget_gate" in spec.parts and weight_name(spec.name) not in recurrent:
                laws[spec.name] = (_forget_bias, spec)
            elif spec.role in (Role.WEIGHT, Role.RECURRENT) and spec.blocks and GATES.issuperset(spec.parts or ("",)):
                law = GLOROT_UNIFORM if spec.role is Role.WEIGHT else ORTHOGONAL
                laws[spec.name] = (law, as_one_matrix(spec))
        return laws


@dataclass(frozen=True)
class FlaxDefault(PerTensor):
    """The law of Flax' own layers: LeCun truncated normal weights, orthogonal recurrent ones.

    Var[w] = 1 / fan_in, from a normal law cut at 2 std: it preserves the signal of linear layers, and with ReLU halves
    its mean square per layer. Each recurrent matrix, and each gate of it, is Haar orthogonal on its own, as in Flax,
    whose gates are layers of their own. Biases are 0, the forget gate's too. Embeddings are N(0, 1 / features), norm
    scales 1, norm shifts 0; the head is drawn like any other layer.

    References:
        Flax 0.10 (linen and nnx), layers Dense, Conv, LSTMCell, GRUCell, Embed; jax.nn.initializers.lecun_normal.
    """

    weight: TensorInit = LECUN_TRUNCATED
    recurrent: TensorInit | None = ORTHOGONAL
    bias: TensorInit = ZERO
    embedding: TensorInit = INVERSE_FEATURES
