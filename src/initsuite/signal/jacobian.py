"""The singular values of the input-output Jacobian, and the largest curvature of the loss: both cost many passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from initsuite import rng
from initsuite.models.describe.graph.contractions import LOOK_UPS, operation
from initsuite.signal.measure import Subject, leaves_of, values_of
from initsuite.signal.replay import Replay, Watch

EXACT = 512
"""A Jacobian with at most this many rows is computed row by row."""
PROBES, TESTS = 40, 10
"""Random directions of a larger one, and those that its error is estimated with."""
ITERATIONS, TOLERANCE = 50, 1e-3
"""Of the power iteration, and the relative change at which it stops."""


@dataclass(frozen=True)
class Spectrum:
    """Singular values of the Jacobian of the outputs of the first example in what goes into the network.

    Attributes:
        values: [singular value], the largest first. Dynamical isometry: all are 1.
        error: 0 for a whole spectrum; of the largest `PROBES` ones alone an upper bound of what each is off by, which
            holds with probability 1 - 1e-10.
        is_exact: whether all of them are there.
    """

    values: Tensor
    error: float
    is_exact: bool

    @property
    def spread(self) -> float:
        """Var[s^2] / E[s^2]^2: L for L wide Gaussian layers, 0 for orthogonal ones, where inputs and outputs are as
        many (Pennington et al. 2017)."""
        squares = self.values.double().square()
        mean = float(squares.mean())
        return float(squares.var(correction=0)) / mean**2 if mean > 0 else math.nan


@rng.float32_on_cpu()
def spectrum(subject: Subject, params: Mapping[str, Tensor], seed: int = 0) -> Spectrum:
    """The singular values of the Jacobian, d outputs / d inputs, of the first example.

    Of tokens, the vectors that are looked up for them count as inputs. Up to 512 outputs the Jacobian is computed row
    by row: one backward pass for each. A larger one is approximated by a randomised range finder with 40 random
    directions: 50 backward and 40 forward passes.

    References:
        Halko, Martinsson & Tropp 2011, Finding structure with randomness, algorithm 4.1 and equation 4.3.
    """
    with rng.isolated(seed, "diagnose"), torch.enable_grad():
        jacobian = _Jacobian(subject, params)
        return _exact(jacobian) if jacobian.rows <= EXACT else _ranged(jacobian, seed)


class _Jacobian:
    """A linearised network: products with vectors from both sides."""

    def __init__(self, subject: Subject, params: Mapping[str, Tensor]) -> None:
        self.subject = subject
        leaves = {name: leaf.detach() for name, leaf in leaves_of(subject, params).items()}
        self.values = values_of(subject, leaves)
        self.replay = Replay(subject.recording, twice=True)
        self.entry = self._entry()
        self.base = self._at_entry()
        self.output = self._outputs(self.base.requires_grad_())
        self.rows = self.output.numel()

    def _entry(self) -> fx.Node:
        """The first input of real numbers, or the first look-up of tokens."""
        nodes = self.subject.recording.nodes
        real = [node for node in nodes if node in self.values and node in self.subject.recording.inputs]
        real = [node for node in real if self.values[node].is_floating_point()]
        signals = self.subject.recording.signals
        tables = [node for node in nodes if operation(node) in LOOK_UPS and node in signals]
        return (real or tables)[0]

    def _at_entry(self) -> Tensor:
        if self.entry in self.values:
            return self.values[self.entry].detach().clone()
        with torch.no_grad():
            return self.replay.run(self.values, Watch(keep=frozenset([self.entry])))[self.entry].clone()

    def _outputs(self, at_entry: Tensor) -> Tensor:
        """Of the first example."""
        output = self.replay.run({**self.values, self.entry: at_entry})[self.subject.output_node]
        return (output[0] if self.subject.batch > 1 else output).flatten()

    def _own(self, gradient: Tensor) -> Tensor:
        return (gradient[0] if self.subject.batch > 1 and len(gradient) == self.subject.batch else gradient).flatten()

    def back(self, direction: Tensor) -> Tensor:
        """J^T v; [input]."""
        (gradient,) = torch.autograd.grad(
            self.output, self.base, direction, retain_graph=True, materialize_grads=True, allow_unused=True
        )
        return self._own(gradient)

    def ahead(self, direction: Tensor) -> Tensor:
        """J v; [output]."""
        tangent = torch.zeros_like(self.base)
        self._own(tangent).copy_(direction) if tangent.is_contiguous() else None
        return torch.func.jvp(self._outputs, (self.base.detach(),), (tangent,))[1]


def _exact(jacobian: _Jacobian) -> Spectrum:
    rows = [jacobian.back(row) for row in torch.eye(jacobian.rows)]
    values = torch.linalg.svdvals(torch.stack(rows).double())
    return Spectrum(values, 0.0, True)


def _ranged(jacobian: _Jacobian, seed: int) -> Spectrum:
    generator = rng.generator(seed, "diagnose", "spectrum")
    probes = torch.randn(PROBES + TESTS, jacobian.rows, generator=generator)
    sketch = torch.stack([jacobian.back(probe) for probe in probes], 1).double()
    basis, _ = torch.linalg.qr(sketch[:, :PROBES])
    left = sketch[:, PROBES:] - basis @ (basis.T @ sketch[:, PROBES:])
    error = 10 * math.sqrt(2 / math.pi) * float(torch.linalg.vector_norm(left, dim=0).max())
    columns = [jacobian.ahead(column.float()) for column in basis.T]
    values = torch.linalg.svdvals(torch.stack(columns, 1).double())
    return Spectrum(values, error, False)


@rng.float32_on_cpu()
def curvature(subject: Subject, params: Mapping[str, Tensor], seed: int = 0) -> tuple[float, float]:
    """The eigenvalue of the Hessian of the loss with the largest absolute value, by power iteration.

    The learning rate of gradient descent must stay below 2 / it (Cohen et al. 2021). Up to 50 iterations of two
    backward passes each, until it changes by less than 0.1 %.

    Returns:
        The eigenvalue, and its relative change in the last iteration.
    """
    assert subject.loss is not None
    with rng.isolated(seed, "diagnose"), torch.enable_grad():
        leaves = leaves_of(subject, params)
        output = Replay(subject.recording, twice=True).run(values_of(subject, leaves))[subject.output_node]
        weights = [leaf for leaf in leaves.values() if leaf.requires_grad]
        loss = subject.loss(output)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True, materialize_grads=True)
        generator = rng.generator(seed, "diagnose", "curvature")
        direction = [torch.randn(each.shape, generator=generator) for each in weights]
        return _power(lambda vector: _product(gradients, weights, vector), direction)


def _product(gradients: tuple[Tensor, ...], weights: list[Tensor], vector: list[Tensor]) -> list[Tensor]:
    """H v."""
    along = sum((gradient * each).sum() for gradient, each in zip(gradients, vector, strict=True))
    if not isinstance(along, Tensor) or not along.requires_grad:
        return [torch.zeros_like(each) for each in weights]
    return list(torch.autograd.grad(along, weights, retain_graph=True, allow_unused=True, materialize_grads=True))


def _power(apply: Callable[[list[Tensor]], list[Tensor]], vector: list[Tensor]) -> tuple[float, float]:
    found, change = math.nan, math.inf
    for _ in range(ITERATIONS):
        length = math.sqrt(sum(float(each.double().square().sum()) for each in vector))
        if not 0 < length < math.inf:
            return (0.0, 0.0) if length == 0 else (math.nan, math.inf)
        vector = [each / length for each in vector]
        after = apply(vector)
        value = sum(float((first * second).sum()) for first, second in zip(vector, after, strict=True))
        change = abs(value - found) / abs(value) if value else math.inf
        found, vector = value, after
        if change < TOLERANCE:
            break
    return found, change
