"""The Python door: what a model is like before its first step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor, nn

from initsuite.apply.pictures import Pictured
from initsuite.apply.recorded import Recorded, recorded_model
from initsuite.errors import ConfigError, check_number, check_whole_number
from initsuite.signal.jacobian import curvature as curvature_of
from initsuite.signal.jacobian import spectrum
from initsuite.signal.measure import Subject, measure
from initsuite.signal.summary import Summary
from initsuite.spec import Initializer, TensorInit

Loss = Callable[[Tensor, Tensor], Tensor]


def diagnose(
    model: nn.Module | Callable[[], nn.Module],
    example: Any,
    init: str | Initializer | TensorInit | Callable[..., Any] | None = None,
    draws: int = 8,
    *,
    targets: Any = None,
    loss: Loss | None = None,
    output: str | int | None = None,
    jacobian: bool = False,
    curvature: bool = False,
    lr: float = 1e-3,
) -> Pictured:
    """Say what a model is like before its first step: whether signal and gradient reach the other end, and if not, why.

    One forward and one backward pass for each draw of the weights, on one batch, in float32 on the CPU; batch norm uses
    the statistics of the batch, dropout is off. The model is left as it was: weights, buffers, mode, hooks, gradients
    and all random states. Beyond the model's own pass, memory holds one more set of parameters (none with init=None)
    and what is measured on the largest layer.

    Args:
        model: an instance; or a class or function without arguments that makes one.
        example: one batch: inputs; (inputs, targets); a tuple of positional arguments; a dict of keywords; or a pair
            (arguments, keywords). Two examples at least, for what is said about pairs of inputs.
        init: an initializer, by name or as an object: the weights of copies are drawn by it. None = as they are: the
            weights of the instance, or those that each new model has.
        draws: how many draws are averaged, from 1; those of an instance with init=None are one.
        targets: if they are not in the example: labels for cross-entropy, or numbers for the mean squared error.
            Without any, the gradients are those of a random direction of the outputs.
        loss: (outputs, targets) -> the mean loss, instead.
        output: which tensor counts, where the model returns several: its key, name or number.
        jacobian: also the singular values of the input-output Jacobian of the first draw and example. Costs a backward
            pass for each output up to 512 outputs, about 100 passes above.
        curvature: also the largest eigenvalue of the Hessian of the loss of the first draw, by power iteration with
            backward passes that are differentiated again. Costs up to 200 passes, and the memory of three.
        lr: the learning rate of the step of Adam whose size is told.

    Returns:
        The tables (`.layers`, `.whole`, `.verdicts`, `.audit` ...), which `Diagnosis` explains; printed, the verdicts
        in words; `.plot()`, the figure over the depth; `.save(folder)`, all of it as files.

    Raises:
        ConfigError: an empty batch, NaN in it, inputs that the model does not take, targets that do not fit, a model
            with several outputs and no `output`; or as `initialize_` for `init`.
        InitsuiteError: the model cannot be recorded, or the initializer failed.

    Example:
        >>> import torch
        >>> layers = [nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(30)]
        >>> found = diagnose(nn.Sequential(*layers), torch.randn(32, 64), init="normal", draws=2)
        >>> "vanishing" in set(found.verdicts["verdict"])
        True

    References:
        Schoenholz et al. 2016, Deep Information Propagation. Saxe et al. 2013, Exact solutions (dynamical isometry).
        Doshi, He & Gromov 2023, Critical initialization of wide and deep neural networks using partial Jacobians.
    """
    check_whole_number("diagnose", "draws", draws)
    check_number("diagnose", "lr", lr, above=0)
    recorded = recorded_model(model, example, targets, loss, output, lr)
    return diagnosed(recorded, init, draws, jacobian=jacobian, curves=curvature)


def diagnosed(recorded: Recorded, init: Any, draws: int, *, jacobian: bool = False, curves: bool = False) -> Pictured:
    """What a recorded model is like with the weights that an initializer draws."""
    drawn = recorded.draws(init, draws)
    name = f"{recorded.in_words}, {drawn.in_words}"
    return diagnosis_of(recorded.subject, drawn, drawn.audit, recorded.notes, name, jacobian=jacobian, curves=curves)


def diagnosis_of(
    subject: Subject,
    draws: Iterable[Mapping[str, Tensor]],
    audit: Callable[[], pd.DataFrame],
    notes: Sequence[str],
    name: str,
    *,
    jacobian: bool = False,
    curves: bool = False,
) -> Pictured:
    """Measure each draw of the parameters in turn."""
    if curves and subject.loss is None:
        raise ConfigError("diagnose: no targets, so that no curvature is known. Expected a batch (inputs, targets).")
    summary, extra, found = Summary(subject), dict[str, float](), None
    for number, params in enumerate(draws):
        summary.add(measure(subject, params, number), params)
        if number == 0 and jacobian:
            found = spectrum(subject, params)
            extra = {"jacobian_spread": found.spread if found.is_exact else math.nan,
                     "jacobian_largest": float(found.values[0]), "jacobian_error": found.error}  # fmt: skip
        if number == 0 and curves:
            extra["curvature"], extra["curvature_change"] = curvature_of(subject, params)
    return Pictured.of(summary.diagnosis(audit(), notes, name, extra, found))


def assert_healthy(model: nn.Module | Callable[[], nn.Module], example: Any, **options: Any) -> None:
    """Fail with what `diagnose` found, unless it is called healthy: for tests of one's own.

    Args:
        model, example, options: as `diagnose` takes them.

    Raises:
        AssertionError: what is ill, where it begins, and the depth to which it could grow.

    Example:
        >>> import torch
        >>> assert_healthy(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2)), torch.randn(16, 8), init="he")
    """
    found = diagnose(model, example, **options)
    if not found.is_healthy:
        first, *others = found.sentences()
        more = "".join(f"\n  also: {each}" for each in others)
        raise AssertionError(
            f"{found.subject.partition(',')[0]} will be hard to train as it starts. {first}{more}\n  "
            "print(initsuite.diagnose(model, example)) shows every layer."
        )
