"""Initializers that start at the identity, or as near to it as the shape of a layer allows.

The matrix of a convolution lies on the centre tap of its kernel, from input to output channels; see `layout.on_centre`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from initsuite.errors import check_number
from initsuite.init.base.compose import ByLaws, Laws, PerTensor
from initsuite.init.base.layout import channels, on_centre
from initsuite.init.base.requirements import warn_of_order
from initsuite.init.distributions import sample
from initsuite.spec import ParamSpec, Specs


def repeated_identity(outputs: int, inputs: int, period: int) -> Tensor:
    """1 where the output and the input number agree modulo `period`, else 0; [outputs, inputs]."""
    return (torch.arange(outputs)[:, None] % period == torch.arange(inputs) % period).float()


def hadamard(order: int) -> Tensor:
    """Sylvester's Hadamard matrix [2^order, 2^order]: entries +-1, orthogonal rows.

    Example:
        >>> hadamard(1).tolist()
        [[1.0, 1.0], [1.0, -1.0]]
    """
    matrix = torch.ones(1, 1)
    for _ in range(order):
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), matrix)
    return matrix


@dataclass(frozen=True)
class ZeroHadamard(ByLaws):
    """ZerO: a start of identities, zeros and Hadamard matrices, without a single random number.

    With n_in and n_out channels: I for n_out = n_in; the first n_out rows of I for n_out < n_in; and
    2^(-(m-1)/2) I* H_m I* for n_out > n_in, where H_m is the Hadamard matrix of size 2^m, m = ceil(log2 n_out), and I*
    cuts it to shape. The last layer of each residual branch is 0. A widening layer thus uses all of its units, and
    different ones, where a partial identity would leave the network at the rank of its input for good; for n_out = 2^m
    all of its singular values are sqrt(2). Biases are 0; the head is like any other layer, embeddings are N(0, 1).

    Departure: none from the paper's algorithms 1 and 2; published code has the factor 2^(-m/2), an isometry.

    References:
        Zhao, Schaefer & Anandkumar 2022, ZerO Initialization: Initializing Neural Networks with only Zeros and Ones.
    """

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        warn_of_order("ZeroHadamard", specs, "which layers are in residual branches")
        return PerTensor(weight=self.weight).laws(model, specs)

    def weight(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        outputs, inputs = channels("ZeroHadamard", spec)
        if spec.closes_residual:
            return torch.zeros(spec.shape)
        if outputs <= inputs:
            return on_centre(torch.eye(outputs, inputs), spec)
        order = math.ceil(math.log2(outputs))
        return on_centre(2 ** (-(order - 1) / 2) * hadamard(order)[:outputs, :inputs], spec)


@dataclass(frozen=True)
class IdInit(ByLaws):
    """The identity, repeated to fill layers that are not square; nearly 0 at the end of each residual branch.

    w[i, j] = `identity` where i and j agree modulo min(n_out, n_in), else 0; `closing` instead of `identity` for
    the last layer of each branch, so that a block starts as the identity on its shortcut and every unit still gets a
    gradient. Repetition instead of zeros lets a widened layer use all of its units. Biases are 0; the head is like any
    other layer.

    Units that repeat each other would stay equal for good: each entry of the identity is multiplied by
    1 + `looseness` z, z ~ N(0, 1), the paper's loosened identity; its size is this suite's choice. 10^-6 is 16 units in
    the last place of float32 and nothing in bfloat16 or float16: `initialize_` warns of units that a cast made equal,
    and 0.1 keeps them apart. Departure: in
    convolutions the identity lies on the centre tap; the paper spreads it over the taps of the flattened kernel.

    Args:
        identity: the paper's tau, any finite number.
        closing: the paper's epsilon, any finite number.
        looseness: relative std of the entries of the identity, from 0.

    References:
        Pan et al. 2025, IDInit: A Universal and Stable Initialization Method for Neural Network Training, section 3.
    """

    identity: float = 1.0
    closing: float = 1e-6
    looseness: float = 1e-6

    def __post_init__(self) -> None:
        check_number("IdInit", "identity", self.identity)
        check_number("IdInit", "closing", self.closing)
        check_number("IdInit", "looseness", self.looseness, minimum=0)

    def laws(self, model: nn.Module, specs: Specs) -> Laws:
        warn_of_order("IdInit", specs, "which layers are in residual branches")
        return PerTensor(weight=self.weight).laws(model, specs)

    def weight(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        outputs, inputs = channels("IdInit", spec)
        loose = 1 + sample("normal", (outputs, inputs), self.looseness, generator)
        value = self.closing if spec.closes_residual else self.identity
        return on_centre(value * loose * repeated_identity(outputs, inputs, min(outputs, inputs)), spec)


@dataclass(frozen=True)
class TanhInit:
    """An identity with a little noise, for deep tanh networks of any width.

    W = D + Z with D[i, j] = 1 where i and j agree modulo n_in, else 0, and independent Z ~ N(0, alpha^2 / fan_in).
    Each pre-activation is then a x[j] with a random slope a near 1; iterated tanh(a x) has the fixed point 0 for a <= 1
    and two others for a > 1, so that with alpha = 0.085 the signal neither dies nor saturates over thousands of layers.
    The entries off the identity have Var[w] = alpha^2 / fan_in. Biases are 0; the head is like any other layer. As an
    initializer for other nonlinearities it has no theory. Departure: the paper has only dense layers; in a convolution
    D lies on the centre tap and Z on all of them.

    Args:
        alpha: noise, from 0.

    References:
        Lee, Choi & Kim 2025, Robust Weight Initialization for Tanh Neural Networks with Fixed Point Analysis,
        section 3.2.
    """

    alpha: float = 0.085

    def __post_init__(self) -> None:
        check_number("TanhInit", "alpha", self.alpha, minimum=0)

    def __call__(self, spec: ParamSpec, generator: torch.Generator) -> Tensor:
        outputs, inputs = channels("TanhInit", spec)
        noise = sample("normal", spec.shape, self.alpha / math.sqrt(spec.fan_in), generator)
        return on_centre(repeated_identity(outputs, inputs, inputs), spec) + noise
