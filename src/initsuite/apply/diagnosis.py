"""The Python door: what a model is like before its first step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.apply.account import account
from initsuite.apply.batch import batch_of
from initsuite.apply.checks import check_model, check_parameters
from initsuite.apply.initialize import chosen_initializer, start_of
from initsuite.apply.pictures import Pictured
from initsuite.apply.remembered import changed_since, remembered
from initsuite.apply.wrapping import unwrapped
from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number
from initsuite.models.describe.describe import Description
from initsuite.models.describe.graph.recording import Recording
from initsuite.signal.jacobian import curvature, spectrum
from initsuite.signal.measure import Subject, measure
from initsuite.signal.subject import Batch, chosen_output, described, scoring_of
from initsuite.signal.summary import Summary
from initsuite.spec import Initializer, Probe, TensorInit
from initsuite.wording import format_count

Loss = Callable[[Tensor, Tensor], Tensor]


def diagnose(
    model: nn.Module | Callable[[], nn.Module],
    example: Any,
    init: str | Initializer | TensorInit | None = None,
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
    network, make = _network(model)
    batch = batch_of(network, example, targets)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        description, recording = described(network, batch)
    notes = [_sentence(str(each.message)) for each in said]
    place = chosen_output(recording, output, network)
    scoring = scoring_of(recording, place, batch, loss)
    subject = Subject(recording, description.specs, place, _told_apart(recording, batch), scoring.loss, lr,
                      scoring.class_axis, scoring.num_classes)  # fmt: skip
    audited = _Draws(network, make, description, init, draws, _probe(batch, scoring.loss))
    name = f"{type(network).__name__}, {format_count(batch.size, 'example')} {batch.in_words}, {audited.in_words}"
    return diagnosis_of(subject, audited, audited.audit, notes, name, jacobian=jacobian, curves=curvature)


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
            extra["curvature"], extra["curvature_change"] = curvature(subject, params)
    return Pictured.of(summary.diagnosis(audit(), notes, name, extra, found))


def assert_healthy(model: nn.Module | Callable[[], nn.Module], example: Any, **options: Any) -> None:
    """Fail with what `diagnose` found, unless it is called healthy: for tests of one's own.

    Args:
        model, example, options: as `diagnose` takes them.

    Raises:
        AssertionError: what is ill, where it begins, and the depth to which it could grow.

    Example:
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


def _network(model: object) -> tuple[nn.Module, Callable[[], nn.Module] | None]:
    """The network inside wrappers, and what makes others like it, each in turn."""
    make: Callable[[], nn.Module] | None = None
    if not isinstance(model, nn.Module):
        if not callable(model):
            raise bad_value("diagnose", "model", type(model).__name__, "a torch.nn.Module, or what makes one")
        make = cast("Callable[[], nn.Module]", model)
        model = _made(make, 0)
    check_model(model, strict=False)
    network = unwrapped(model)[1]
    check_parameters(network)
    if any(each.is_meta for each in network.parameters()) and make is None:
        raise bad_value("diagnose", "model", "parameters on the meta device", "parameters with values",
                        "Give the class or a function that makes the model.")  # fmt: skip
    return network, make


def _made(make: Callable[[], nn.Module], number: int) -> nn.Module:
    with rng.isolated(number, "diagnose", "model"):
        try:
            model = make()
        except TypeError as error:
            raise bad_value("diagnose", "model", getattr(make, "__name__", make), "a class or function that needs no "
                            f"arguments ({error})", "Wrap it: lambda: MyNet(...).") from error  # fmt: skip
    if not isinstance(model, nn.Module):
        raise bad_value("diagnose", "model", f"a function that returns {type(model).__name__}", "a torch.nn.Module")
    return model


def _sentence(message: str) -> str:
    return message.removeprefix("describe: ").rstrip(".")


def _told_apart(recording: Recording, batch: Batch) -> int:
    return batch.size if batch.size > 0 else 0


def _probe(batch: Batch, loss: Callable[[Tensor], Tensor] | None) -> Probe | None:
    """What data-dependent initializers see."""
    if len(batch.args) != 1 or batch.kwargs or not isinstance(batch.args[0], Tensor):
        return None
    targets = torch.zeros(batch.size) if batch.targets is None else batch.targets
    return Probe(batch.args[0], targets, lambda outputs, _: loss(outputs) if loss else outputs.square().mean())


class _Draws:
    """The parameters of each draw in turn, and the audit of the first one."""

    def __init__(
        self,
        network: nn.Module,
        make: Callable[[], nn.Module] | None,
        description: Description,
        init: Any,
        draws: int,
        probe: Probe | None,
    ) -> None:
        self.network, self.make, self.description, self.probe = network, make, description, probe
        self.initializer = None if init is None else chosen_initializer(init, {})
        self.name = init if isinstance(init, str) else type(init).__name__
        self.draws = draws if make or init is not None else 1
        self._audit = pd.DataFrame()

    @property
    def in_words(self) -> str:
        if self.initializer is not None:
            return f"{format_count(self.draws, 'draw')} of {self.name}"
        return f"{format_count(self.draws, 'new model')}" if self.make else "with its weights as they are"

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        for number in range(self.draws):
            params = self._drawn(number)
            if number == 0:
                self._audit = self._audited(params)
            yield params

    def _drawn(self, number: int) -> Mapping[str, Tensor]:
        network = self.network
        if self.make and self.initializer is None and number:
            network = unwrapped(_made(self.make, number))[1]
        own = {name: each.detach() for name, each in network.named_parameters()}
        if self.initializer is None:
            return own
        specs = self.description.specs
        start = start_of(self.initializer, network, specs, number, self.probe, {spec.name for spec in specs})
        return {**own, **start.params}

    def audit(self) -> pd.DataFrame:
        """One row per tensor of the first draw."""
        return self._audit

    def _audited(self, params: Mapping[str, Tensor]) -> pd.DataFrame:
        if self.initializer is not None:
            table = account(self.network, self.description, self.initializer, params.keys(), values=params)
            return table.assign(changed=False)
        table = account(self.network, self.description, _NOTHING, params.keys(), values=params)
        table = table.assign(how="as it is", gain=math.nan, expected_std=math.nan, changed=False)
        done = remembered(self.network)
        if done is None:
            return table
        before = done.table.set_index(done.table["tensor"].str.removeprefix(_prefix(done.table, params)))
        for column in ("gain", "expected_std", "how", "why"):
            table[column] = table["tensor"].map(before[column])
        return table.assign(changed=table["tensor"].map(changed_since(self.network, done)))


def _prefix(table: pd.DataFrame, names: Iterable[str]) -> str:
    """What the names in a table begin with, of a network that was initialized inside a wrapper."""
    first = str(next(iter(table["tensor"]), ""))
    return first.removesuffix(next((name for name in names if first.endswith(name)), first))


class _Nothing:
    """No law: weights as they are."""

    def __call__(self, model: nn.Module, specs: Any, *, seed: int, probe: Any = None) -> Any:
        raise NotImplementedError


_NOTHING: Any = _Nothing()
