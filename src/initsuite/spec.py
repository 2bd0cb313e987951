"""The contract: what the rooms of the suite pass to each other. Types only, no implementation.

torch is imported for the type checker alone, so that readers of results never need it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from initsuite.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

PROTOCOL_VERSION = 2
"""Rises whenever the numbers of a trial may change. Part of every `cell_id`."""

CONTEXT_AXES = ("dataset", "model", "activation", "optimizer")
"""The choices that name a context, in the order of its title."""

Params = dict[str, "Tensor"]
"""Parameters by their dotted name in the model; with a leading [trial] axis inside a stack."""


def short_hash(value: object) -> str:
    """16 hexadecimal digits of a JSON value: the ids of cells and trials. 1 and 1.0 are the same number."""
    return hashlib.blake2b(_COMPACT.encode(_canonical(value)).encode(), digest_size=8).hexdigest()


_COMPACT = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
"""Made once: a rerun hashes the names of all trials of a sweep."""


def _canonical(value: object) -> object:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, str | int):  # most of them, and asking whether they are mappings is slow
        return value
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list | tuple) else value


class Role(StrEnum):
    """What a parameter tensor is for."""

    WEIGHT = "weight"
    RECURRENT = "recurrent"
    """A weight from a hidden state to the next one."""
    BIAS = "bias"
    EMBEDDING = "embedding"
    NORM_SCALE = "norm_scale"
    NORM_SHIFT = "norm_shift"
    BRANCH_SCALE = "branch_scale"
    """A scalar that multiplies what a residual branch adds."""
    MULTIPLIER = "multiplier"
    """A scalar that multiplies the signal elsewhere, as in a network without norm layers."""


@dataclass(frozen=True)
class Activation:
    """A nonlinearity applied to each element: its name, the function on tensors, its options (a slope ...)."""

    name: str
    function: Callable[[Tensor], Tensor] = field(compare=False, repr=False)
    options: tuple[tuple[str, float], ...] = ()


Axis = tuple[tuple[int, int], ...]
"""One axis of a matrix as (size, stride) pairs over the entries of the stored tensor, the slowest first."""


@dataclass(frozen=True)
class Block:
    """Where one matrix lies in a stored tensor, which may hold it transposed, interleaved with others, or in parts.

    Attributes:
        outputs: the axis of the output units.
        inputs: the axis of the input units.
        kernel: an axis for each dimension of a kernel; empty for a linear layer.
        offset: the first entry, counted in the flattened tensor.
    """

    outputs: Axis
    inputs: Axis
    kernel: tuple[Axis, ...] = ()
    offset: int = 0


@dataclass(frozen=True)
class ParamSpec:
    """What an initializer may know about one parameter tensor. Made by `models.describe`, never guessed from a shape.

    Attributes:
        name: dotted name in the model.
        shape: shape of the tensor.
        role: what the tensor is for.
        fan_in: inputs that one output unit of the layer sums over (receptive field included; groups divided out).
            A bias and a norm parameter carry the fans of their layer.
        fan_out: outputs that one input unit of the layer feeds (receptive field included; groups divided out).
        nonlinearity: what follows the layer; None after the head and where nothing follows (identity).
        layer: index of the layer among the layers with weights, from 0.
        num_layers: number of layers with weights in the model, the head included.
        is_head: whether the layer makes the model's output.
        closes_residual: whether the layer is the last one of a residual branch.
        blocks: sizes along the first axis of independent matrices fused into one tensor (packed QKV, gates); empty
            for a single matrix.
        parts: what each block is for, or the whole tensor if it is one: `query`, `key`, `value`, `attention_out`
            of attention, `mlp` in a transformer block, `input_gate`, `forget_gate`, `cell`, `output_gate` of an LSTM,
            `reset_gate`, `update_gate`, `new` of a GRU, `position`, `token` of a bare embedding; empty elsewhere.
        is_transposed: whether the axes of a weight are [input, output / groups, ...], as in a transposed convolution,
            and not [output, input / groups, ...].
        branches: number of residual branches in the whole model.
        branch_layers: layers with weights in the residual branch that this layer is in; 0 outside branches.
        branch: number of the residual branch that this layer is in, in the order of the model, from 0; 0 outside.
        shortcut: what the model multiplies the shortcut beside that branch by; 1 outside.
        head_width: of a weight that makes queries, how many features each head has; 0 elsewhere and where not known.
        layout: where each matrix lies in the tensor, if they are not blocks along the first axis in the order
            [output, input, ...] or as `is_transposed` says; empty otherwise. Laws see each as [output, input, ...].
        factor, offset: the model uses factor x tensor + offset, and laws speak of that: an equalised learning rate has
            a factor, a norm that multiplies by 1 + weight an offset of 1.
        own: the value that the model gives to all entries of a scale or multiplier, and to the second factor of a
            low-rank adapter that starts at 0; None elsewhere, and for the scales of this suite, which are 1.
        nonlinearities: what follows each block, where they differ (gates); empty = `nonlinearity` for all.
        described_by: `graph` where the facts come from a recorded forward pass, `order` where they come from the type
            of the layer and the order of registration.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    fan_in: int
    fan_out: int
    nonlinearity: Activation | None
    layer: int
    num_layers: int
    is_head: bool = False
    closes_residual: bool = False
    blocks: tuple[int, ...] = ()
    parts: tuple[str, ...] = ()
    is_transposed: bool = False
    branches: int = 0
    branch_layers: int = 0
    branch: int = 0
    shortcut: float = 1.0
    head_width: int = 0
    layout: tuple[Block, ...] = ()
    factor: float = 1.0
    offset: float = 0.0
    own: float | None = None
    nonlinearities: tuple[Activation | None, ...] = ()
    described_by: str = "order"


Specs = Sequence[ParamSpec]
"""The facts about each parameter of a model, in the order of the model."""


class TensorInit(Protocol):
    """A law for one tensor: pure, validated when built. Returns a new float32 CPU tensor of `spec.shape`.

    A law may also have `declared_std(spec) -> float`: sqrt(Var[w]), NaN where it is not known in advance.
    """

    def __call__(self, spec: ParamSpec, generator: torch.Generator, /) -> Tensor: ...


@dataclass(frozen=True)
class Probe:
    """Fixed data for diagnostics and data-dependent initializers.

    Attributes:
        inputs: [example, ...].
        targets: [example].
        loss: (outputs, targets) -> scalar.
    """

    inputs: Tensor
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Initialization:
    """What an initializer returns: every parameter by name and, for the few laws that need them, lr factors."""

    params: Params
    lr_factors: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def checked(start: object, specs: Specs, initializer: str) -> Initialization:
        """Pass on what an initializer returned, if it is a tensor for each parameter with a spec, and no other.

        Args:
            start: what was returned.
            specs: facts about the parameters.
            initializer: name of the initializer, for the message.

        Raises:
            ConfigError: anything else was returned.
        """
        from torch import Tensor

        if not isinstance(start, Initialization):
            got = type(start).__name__
            raise ConfigError(f"{initializer}: bad result of type {got}. Expected an initsuite.spec.Initialization.")
        expected = {spec.name: spec.shape for spec in specs}
        got = {
            name: tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            for name, tensor in start.params.items()
        }
        if got != expected:
            wrong = min(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
            raise ConfigError(
                f"{initializer}: bad parameters `{wrong}`={got.get(wrong)}. Expected shape {expected.get(wrong)}. An "
                "initializer returns every parameter that it has a spec of and no other."
            )
        for name, factor in start.lr_factors.items():
            if not 0 <= factor < math.inf:
                expected = "a factor of the learning rate: a finite number from 0"
                raise ConfigError(f"{initializer}: bad `lr_factors[{name}]`={factor!r}. Expected {expected}.")
        return start

    def finite(self, initializer: str) -> Initialization:
        """Pass it on, if all of its numbers are finite.

        Raises:
            ConfigError: a parameter with another number.
        """
        for name, tensor in self.params.items():
            if not is_finite(tensor):
                raise ConfigError(f"{initializer}: bad values of `{name}`: not finite. Expected finite numbers.")
        return self


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite: the smallest and the largest say it 30 times as fast as a look at each."""
    return not tensor.numel() or all(bool(end.isfinite()) for end in tensor.aminmax())


class Initializer(Protocol):
    """The thing under test, for a whole model. A frozen dataclass: it prints as its configuration and returns, never
    writes. `model` has its parameters on the meta device; `specs` describe each of them, in order."""

    def __call__(self, model: nn.Module, specs: Specs, *, seed: int, probe: Probe | None = None) -> Initialization: ...


class Optimizer(Protocol):
    """A pure pair (init, update) for one trial; the engine maps it over a stack.

    `scalars` are the numbers that may differ between the trials of a stack. `update` gets them and `lr` as
    zero-dimensional tensors.
    """

    @property
    def kind(self) -> str: ...

    @property
    def scalars(self) -> Mapping[str, float]: ...

    def init(self, params: Params, /) -> Any: ...

    def update(
        self, grads: Params, state: Any, params: Params, scalars: Mapping[str, Tensor], /
    ) -> tuple[Params, Any]: ...


class Stage(StrEnum):
    """Tuning trials choose the learning rate; scoring trials, on fresh seeds, are the evidence."""

    TUNE = "tune"
    SCORE = "score"


class Status(StrEnum):
    DONE = "done"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """One training run: a cell at one learning rate and seed."""

    cell_id: str
    lr: float
    seed: int
    stage: Stage

    @functools.cached_property
    def trial_id(self) -> str:
        return short_hash([self.cell_id, float(self.lr), self.seed, str(self.stage)])


@dataclass(frozen=True)
class Curve:
    """The evaluations of one trial.

    Attributes:
        step: [evaluation], optimizer updates made.
        train_loss: [evaluation], mean over the steps since the last evaluation.
        val_loss: [evaluation].
        val_score: [evaluation], in the metric of the data set.
        All but `step` are NaN from divergence on.
    """

    step: np.ndarray
    train_loss: np.ndarray
    val_loss: np.ndarray
    val_score: np.ndarray


SIGNAL = (
    "q_ratio", "gradient_ratio", "input_share", "dead", "saturated", "loss_ratio", "commonest_class", "verdict",
    "layer",
)  # fmt: skip
"""What `diagnostics=true` stores of a trial at step 0, in columns `signal_NAME`; `signal.brief` says what each is."""
SIGNAL_IN_WORDS = ("verdict", "layer")
"""Those of them that are text."""


@dataclass(frozen=True)
class TrialResult:
    """What the engine returns for a trial.

    Attributes:
        test_score: in the metric of the data set, read once, at the last step, for scoring trials; NaN for tuning and
            diverged trials.
        diverged_at: first step with a non-finite loss; None if there was none.
        setup_s: seconds spent in the initializer.
        wall_s: seconds the whole stack took, divided by its size.
        error: the traceback of a failed trial, else "".
        signal: what was measured of its start, by the names in `SIGNAL`; empty where nothing was.
    """

    trial: Trial
    status: Status
    curve: Curve
    test_score: float
    diverged_at: int | None
    setup_s: float
    wall_s: float
    stack_size: int
    device: str
    error: str = ""
    signal: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialInfo:
    """What a view of the results needs to know about a trial before it runs.

    Attributes:
        axes: dataset, model, activation, init, optimizer: labels for people.
        config: the resolved configuration of the cell, a tree of plain values.
        tags: free labels (the experiment).
    """

    trial: Trial
    axes: Mapping[str, str]
    config: Mapping[str, Any]
    protocol: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a whole stack, in the order of its trials; every array is [trial]."""

    step: int
    train_loss: np.ndarray
    val_loss: np.ndarray
    val_score: np.ndarray


@dataclass(frozen=True)
class Announced:
    """A stack starts training. Several may be in training at once; `stack_id` says which one the news is about."""

    stack_id: str
    trials: Sequence[TrialInfo]


@dataclass(frozen=True)
class Evaluated:
    """A stack was evaluated, in the order of its steps. One resumed from a checkpoint repeats those it had before."""

    stack_id: str
    evaluation: Evaluation


@dataclass(frozen=True)
class Stored:
    """A stack has ended; `rows` are its rows in the store (the columns of `trials`), in the order of `Announced`."""

    stack_id: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Abandoned:
    """A stack ended without results: it is split and tried again under other ids, or the launch stops."""

    stack_id: str


@dataclass(frozen=True)
class Ended:
    """A launch has ended; `scores` has for each of its jobs the mean best validation score of the scoring trials, also
    of those that were stored before: negative where lower is better, NaN where all of them failed."""

    scores: Sequence[float]


News = Announced | Evaluated | Stored | Abandoned | Ended


class Sink(Protocol):
    """A consumer of results. It may be slow or break; it never changes what is trained or stored."""

    def take(self, news: News, /) -> None: ...
