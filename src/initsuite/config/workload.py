"""From the part of a configuration that all arms share to a workload, or to an error if it cannot be trained."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.module import register_module_parameter_registration_hook

from initsuite import rng
from initsuite.activations import activation
from initsuite.config.groups import identity, instantiate, label, target_of
from initsuite.data import losses
from initsuite.data.base import Dataset, check_dataset, has_fixed_examples
from initsuite.engine.memory import lacking, set_up_bytes
from initsuite.engine.workload import Workload
from initsuite.errors import ConfigError, bad_value
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.skeleton import built, emptied, own_values
from initsuite.spec import ParamSpec, Role, short_hash

OURS = "initsuite."
"""How the names of the modules of this package start."""
MOST_TENSORS = 25_000
"""Of a model that is trained, as each is looked at before: a network of 10,000 layers has 20,002 (Xiao et al. 2018)."""
DEFAULT_METRIC = "accuracy"
"""Not part of ids, so that those of trials from before there were other metrics stay as they are."""


def frame_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes a workload."""
    return {name: tree[name] for name in ("dataset", "model", "activation", "batch_size", "max_steps", "eval_every")}


def make_dataset(tree: Mapping[str, Any]) -> Dataset:
    return check_dataset(instantiate("dataset", tree), f"dataset={tree['name']}")


def frame_id_of(frame: Mapping[str, Any], dataset: Callable[[], Dataset]) -> str:
    """Hash of all of a frame that decides the numbers of its workload.

    Args:
        dataset: makes it. Its fingerprint covers what its options do not, where it depends on the user's files or
            Python.
    """
    is_fixed = has_fixed_examples(target_of("dataset", frame["dataset"]), frame["dataset"])
    fingerprint = "" if is_fixed else dataset().fingerprint
    contents = {"fingerprint": fingerprint} if fingerprint else {}
    metric = frame["dataset"]["metric"]
    return short_hash(
        [
            {**identity("dataset", frame["dataset"]), **contents},
            identity("model", frame["model"]),
            frame["activation"],
            frame["dataset"]["loss"],
            *([] if metric == DEFAULT_METRIC else [metric]),
            *(frame[name] for name in ("batch_size", "max_steps", "eval_every")),
        ]
    )


class WorkloadDraft:
    """A workload whose id is known: its model and the facts about it are made when they are asked for.

    A rerun that finds everything stored asks for neither.

    Args:
        frame: the configuration of it.
        dataset: makes the data set, the same each time.
        frame_id: that of `frame_id_of`.
    """

    def __init__(self, frame: Mapping[str, Any], dataset: Callable[[], Dataset], frame_id: str) -> None:
        self.frame, self.dataset, self._frame_id = frame, dataset, frame_id

    @functools.cached_property
    def workload_id(self) -> str:
        """That of the workload; for a user's model, it depends on what the model draws itself."""
        kind = target_of("model", self.frame["model"])
        is_ours = inspect.isclass(kind) and kind.__module__.startswith(OURS)
        return self._frame_id if is_ours else self.workload.workload_id

    @functools.cached_property
    def model(self) -> nn.Module:
        """The model as its class makes it; that of the workload, once this one is built.

        Raises:
            ConfigError: an activation, data set or option that the model refuses, too little memory, or too many
                tensors.
        """
        _check_size(self.frame, self._build)
        return built(self._build)

    @functools.cached_property
    def label(self) -> str:
        """The model in tables."""
        return str(getattr(self.model, "label", None) or label("model", self.frame["model"]))

    @functools.cached_property
    def chance(self) -> float:
        """The score of a constant guess by the metric of the data set."""
        return losses.score_of(self.frame["dataset"]["metric"], self.dataset())[1]

    @functools.cached_property
    def workload(self) -> Workload:
        """The workload.

        What a user's model gives tensors that are frozen, or that no law is for, is kept, and differs between seeds
        where the model draws it; trials from before that was so have another id.

        Raises:
            ConfigError: a combination that cannot be trained.
        """
        frame, dataset, model = self.frame, self.dataset(), self.model
        _check_batch_and_dropout(frame, dataset, model)
        inputs = Example((dataset.train.inputs[:2],), {}, f"two examples of dataset={frame['dataset']['name']}")
        found = describe(model, example=inputs)
        specs = tuple(spec for spec in found if _is_ours(model) or model.get_parameter(spec.name).requires_grad)
        _check_tokens(frame, dataset, model, specs)
        kept = {name for name, _ in model.named_parameters()} - {spec.name for spec in specs}
        own = functools.partial(own_values, self._build, sorted(kept)) if kept and not _is_ours(model) else None
        loss, chance_loss = losses.loss_of(frame["dataset"]["loss"], dataset)
        score, _ = losses.score_of(frame["dataset"]["metric"], dataset)
        budget = {name: frame[name] for name in ("batch_size", "max_steps", "eval_every")}
        workload_id = short_hash([self._frame_id, "own values by seed"]) if own else self._frame_id
        emptied(model, kept)
        return Workload(workload_id, dataset, model, specs, loss, score, chance_loss, **budget, own_values=own)

    @functools.cached_property
    def _build(self) -> Callable[[], nn.Module]:
        activated = self.frame["activation"]
        phi = activation(activated["name"], **{name: value for name, value in activated.items() if name != "name"})
        dataset = self.dataset()
        shape = {"input_shape": dataset.input_shape, "num_outputs": dataset.num_outputs, "activation": phi}
        return functools.partial(instantiate, "model", self.frame["model"], **shape)


class _TooManyTensors(ConfigError):
    """Ends the making of a model."""


@contextlib.contextmanager
def _counting(where: str) -> Iterator[None]:
    """Refuse a model as soon as it has more than `MOST_TENSORS`: to make the rest would take minutes, or all memory."""
    left, thread = itertools.count(MOST_TENSORS - 1, -1), threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        if threading.get_ident() == thread and next(left) < 0:
            raise _TooManyTensors(
                f"{where}: it has too many parameter tensors. Got more than {MOST_TENSORS:,}. Expected at most so "
                "many: each is looked at before the first step. Use a model of fewer layers."
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _check_size(frame: Mapping[str, Any], build: Callable[[], nn.Module]) -> None:
    """Refuse a model whose values do not fit into memory, before they are asked for: the system would end the process.

    This is the least that any launch needs; what training takes on its device is for the planner. And one of too many
    tensors.
    """
    try:
        with torch.device("meta"), rng.isolated(0, "size"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _counting(f"model={frame['model']['name']}"):
                shell = build()
        needed = set_up_bytes(shell)
    except _TooManyTensors:
        raise
    except Exception:  # a user's model that cannot be made without values
        return
    if error := lacking(frame["model"]["name"], shell, needed, "make and draw them"):
        raise ConfigError(error)


def _check_batch_and_dropout(frame: Mapping[str, Any], dataset: Dataset, model: nn.Module) -> None:
    if frame["batch_size"] > len(dataset.train):
        expected = f"at most the {len(dataset.train):,} training examples"
        raise bad_value("config", "batch_size", frame["batch_size"], expected)
    if any(isinstance(module, _DropoutNd) and module.p > 0 for module in model.modules()):
        expected = "a model without active dropout: a step draws no random numbers"
        raise bad_value(f"model={frame['model']['name']}", "p", "a Dropout layer", expected, "Set its p to 0.")


def _is_ours(model: nn.Module) -> bool:
    return type(model).__module__.startswith(OURS)


def _check_tokens(frame: Mapping[str, Any], dataset: Dataset, model: nn.Module, specs: Sequence[ParamSpec]) -> None:
    """Refuse tokens for a model of ours that takes numbers; a user's own model may handle them."""
    if (
        _is_ours(model)
        and dataset.train.inputs.dtype == torch.int64
        and not any(s.role is Role.EMBEDDING for s in specs)
    ):
        where, got = f"model={frame['model']['name']}", frame["dataset"]["name"]
        raise bad_value(where, "dataset", got, "a data set of numbers", "Tokens need model=transformer.")
