"""From the part of a configuration that all arms share to a workload, or to an error if it cannot be trained."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from initsuite import rng
from initsuite.activations import activation
from initsuite.config.groups import identity, instantiate
from initsuite.data import losses
from initsuite.data.base import Dataset, check_dataset
from initsuite.engine.memory import lacking, set_up_bytes
from initsuite.engine.workload import Workload
from initsuite.errors import ConfigError, bad_value
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.skeleton import built, emptied, own_values
from initsuite.spec import ParamSpec, Role, short_hash

DEFAULT_METRIC = "accuracy"
"""Not part of ids, so that those of trials from before there were other metrics stay as they are."""


def frame_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes a workload."""
    return {name: tree[name] for name in ("dataset", "model", "activation", "batch_size", "max_steps", "eval_every")}


def make_dataset(tree: Mapping[str, Any]) -> Dataset:
    return check_dataset(instantiate("dataset", tree), f"dataset={tree['name']}")


def workload_id_of(frame: Mapping[str, Any], dataset: Dataset) -> str:
    """Hash of all that decides the numbers of a workload.

    Args:
        dataset: its fingerprint covers what its options do not, where it depends on the user's files or Python.
    """
    contents = {"fingerprint": dataset.fingerprint} if dataset.fingerprint else {}
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


def make_workload(frame: Mapping[str, Any], dataset: Dataset, workload_id: str) -> tuple[Workload, float]:
    """The workload of a frame, and the score of a constant guess by its metric.

    What a user's model gives tensors that are frozen, or that no law is for, is kept, and differs between seeds where
    the model draws it; trials from before that was so have another id.

    Raises:
        ConfigError: a combination that cannot be trained.
    """
    options = {name: value for name, value in frame["activation"].items() if name != "name"}
    phi = activation(frame["activation"]["name"], **options)
    shape = {"input_shape": dataset.input_shape, "num_outputs": dataset.num_outputs, "activation": phi}
    build = functools.partial(instantiate, "model", frame["model"], **shape)
    _check_memory(frame, build)
    model = built(build)
    _check_batch_and_dropout(frame, dataset, model)
    inputs = Example((dataset.train.inputs[:2],), {}, f"two examples of dataset={frame['dataset']['name']}")
    found = describe(model, example=inputs)
    specs = tuple(spec for spec in found if _is_ours(model) or model.get_parameter(spec.name).requires_grad)
    _check_tokens(frame, dataset, model, specs)
    kept = {name for name, _ in model.named_parameters()} - {spec.name for spec in specs}
    own = functools.partial(own_values, build, sorted(kept)) if kept and not _is_ours(model) else None
    loss, chance_loss = losses.loss_of(frame["dataset"]["loss"], dataset)
    score, chance = losses.score_of(frame["dataset"]["metric"], dataset)
    budget = {name: frame[name] for name in ("batch_size", "max_steps", "eval_every")}
    by_seed = short_hash([workload_id, "own values by seed"]) if own else workload_id
    emptied(model, kept)
    return Workload(by_seed, dataset, model, specs, loss, score, chance_loss, **budget, own_values=own), chance


def _check_memory(frame: Mapping[str, Any], build: Callable[[], nn.Module]) -> None:
    """Refuse a model whose values do not fit into memory, before they are asked for: the system would end the process.

    This is the least that any launch needs; what training takes on its device is for the planner.
    """
    try:
        with torch.device("meta"), rng.isolated(0, "size"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shell = build()
        needed = set_up_bytes(shell)
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
    return type(model).__module__.startswith("initsuite.")


def _check_tokens(frame: Mapping[str, Any], dataset: Dataset, model: nn.Module, specs: Sequence[ParamSpec]) -> None:
    """Refuse tokens for a model of ours that takes numbers; a user's own model may handle them."""
    if (
        _is_ours(model)
        and dataset.train.inputs.dtype == torch.int64
        and not any(s.role is Role.EMBEDDING for s in specs)
    ):
        where, got = f"model={frame['model']['name']}", frame["dataset"]["name"]
        raise bad_value(where, "dataset", got, "a data set of numbers", "Tokens need model=transformer.")
