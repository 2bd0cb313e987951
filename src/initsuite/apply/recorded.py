"""A person's model on a batch, recorded; and the weights that are measured on it, draw by draw."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor, nn

from initsuite import rng
from initsuite.apply.account import account
from initsuite.apply.batch import batch_of
from initsuite.apply.checks import check_model, check_parameters
from initsuite.apply.initialize import chosen_initializer, start_of
from initsuite.apply.own.arms import label_of
from initsuite.apply.remembered import changed_since, remembered
from initsuite.apply.wrapping import unwrapped
from initsuite.errors import bad_value
from initsuite.models.describe.describe import Description
from initsuite.signal.measure import Subject
from initsuite.signal.subject import Batch, Scoring, chosen_output, described, scoring_of
from initsuite.spec import Probe
from initsuite.wording import format_count


@dataclass(frozen=True)
class Recorded:
    """A model on a batch: what initializers are measured on.

    Attributes:
        network: the model inside wrappers.
        make: what makes others like it, if that was given.
        batch: what goes in.
        description: the facts about its parameters.
        scoring: the loss.
        subject: what is measured.
        notes: sentences on what was noticed.
    """

    network: nn.Module
    make: Callable[[], nn.Module] | None
    batch: Batch
    description: Description
    scoring: Scoring
    subject: Subject
    notes: tuple[str, ...]

    @property
    def in_words(self) -> str:
        kind = type(self.network).__name__
        return f"{kind}, {format_count(self.batch.size, 'example')} {self.batch.in_words}"

    def draws(self, init: Any, number: int) -> Draws:
        """The weights that an initializer draws; those of the model itself, or of models like it, where it is None."""
        probe = _probe(self.batch, self.scoring)
        return Draws(self.network, self.make, self.description, init, number, probe)


def recorded_model(model: Any, example: Any, targets: Any, loss: Any, output: Any, lr: float = 1e-3) -> Recorded:
    """Read a model and a batch; arguments and errors as of `diagnose`."""
    network, make = _network(model)
    batch = batch_of(network, example, targets)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        description, recording = described(network, batch)
    place = chosen_output(recording, output, network)
    scoring = scoring_of(recording, place, batch, loss)
    subject = Subject(recording, description.specs, place, max(batch.size, 0), scoring.loss, lr,
                      scoring.class_axis, scoring.num_classes)  # fmt: skip
    notes = tuple(_sentence(str(each.message)) for each in said)
    return Recorded(network, make, batch, description, scoring, subject, notes)


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


def _probe(batch: Batch, scoring: Scoring) -> Probe | None:
    """What data-dependent initializers see: some of them take a part of it."""
    if len(batch.args) != 1 or batch.kwargs or not isinstance(batch.args[0], Tensor):
        return None
    targets = torch.zeros(batch.size) if batch.targets is None else batch.targets
    return Probe(batch.args[0], targets, scoring.pair or (lambda outputs, _: outputs.square().mean()))


class Draws:
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
        self.initializer = None if init is None else chosen_initializer(init, {}, "diagnose")
        self.name = init if isinstance(init, str) else label_of(init)
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
