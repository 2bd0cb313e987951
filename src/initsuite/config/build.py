"""From a composed Hydra configuration to a job: resolved once, validated, as frozen dataclasses.

With `groups`, the doors and the launcher, the only file that knows omegaconf.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

import initsuite.config.schema  # noqa: F401  stores the names and types of the keys
from initsuite.activations import activation
from initsuite.config.groups import GROUP_KEYS, call, choices_with, identity, instantiate, label
from initsuite.config.overrides import overrides_text
from initsuite.config.settings import Settings, settings_of
from initsuite.data import losses
from initsuite.data.base import Dataset, check_dataset
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Cell, Workload
from initsuite.errors import ConfigError, as_overrides, bad_value, check_number, check_whole_number, unknown_choice
from initsuite.init.base.compose import PerTensor, as_initializer
from initsuite.models.describe.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.optim.schedules import Scheduled, schedule, with_schedule
from initsuite.protocol.guideline import network_of
from initsuite.protocol.tuning import Protocol
from initsuite.protocol.yardstick import yardstick_of
from initsuite.spec import PROTOCOL_VERSION, Initializer, Optimizer, ParamSpec, Role, short_hash

DEFAULT_METRIC = "accuracy"
"""Leaves no trace in ids: those of trials from before there were others stay as they are."""


@dataclass(frozen=True)
class Job:
    """What one Hydra job asks for: a cell, compared under a protocol."""

    cell: Cell
    protocol: Protocol


def build(cfg: DictConfig) -> tuple[Job, Settings]:
    """Resolve, validate and build everything that a job needs, before any training.

    Raises:
        ConfigError: a value or a combination that cannot be trained.
        DataError: a data file that is missing or damaged.
    """
    return build_tree(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def build_tree(tree: dict[str, Any]) -> tuple[Job, Settings]:
    """`build` from a configuration that is resolved to plain values; it is not changed.

    Raises:
        ConfigError: a value or a combination that cannot be trained.
        DataError: a data file that is missing or damaged.
    """
    for name in ("max_steps", "eval_every", "batch_size", "max_stack", "workers"):
        if tree[name] is not None:
            check_whole_number("config", name, tree[name])
    settings = settings_of(tree)
    protocol = _protocol(tree)
    return Job(_cell(tree), protocol), settings


def _protocol(tree: Mapping[str, Any]) -> Protocol:
    options = dict(tree["protocol"])
    if tree["seeds"] is not None:
        options["scoring_seeds"] = tree["seeds"]
    return call("protocol", Protocol, {**options, "lr": tree["optimizer"]["lr"]})


def _cell(tree: dict[str, Any]) -> Cell:
    """A cell, whose initializer's `requires` are applied to its own workload and not to its context."""
    frame = _frame(tree)
    required = copy.deepcopy(tree)
    requires = tree["init"].get("requires") or {}
    if not isinstance(requires, dict):
        raise bad_value(f"init={tree['init']['name']}", "requires", requires, "a mapping such as {model.norm: batch}")
    for key, value in requires.items():
        _require(required, key, value)
    context_label = None if required == tree else _workload(json.dumps(frame, sort_keys=True))[1]
    try:
        workload, model_label = _workload(json.dumps(_frame(required), sort_keys=True))
    except ConfigError as error:
        if required == tree:
            raise
        refused = f"init={tree['init']['name']} requires {as_overrides(requires)}, and this model refuses that"
        raise ConfigError(f"{refused}. {error}") from error
    optimizer, optimizer_identity, optimizer_label = _optimizer(tree)
    init = tree["init"]
    init_identity = identity("init", init)
    initializer = _rehearsed(workload, json.dumps(init, sort_keys=True), json.dumps(init_identity, sort_keys=True))
    context_id = short_hash([_workload_id(frame), optimizer_identity, PROTOCOL_VERSION])
    dataset = {**tree["dataset"], "chance": _chance(json.dumps(tree["dataset"], sort_keys=True))}
    return Cell(
        cell_id=short_hash([context_id, workload.workload_id, init_identity]),
        context_id=context_id,
        axes={
            "dataset": label("dataset", dataset),
            "model": context_label or model_label,
            "activation": label("activation", tree["activation"]),
            "init": label("init", tree["init"], tree),
            "optimizer": optimizer_label,
        },
        workload=workload,
        yardstick=yardstick_of(dataset),
        initializer=initializer,
        optimizer=optimizer,
        lr_grid=_lr_grid(tree["optimizer"]["lr_grid"]),
        config={
            **frame,
            "dataset": dataset,
            **{group: tree[group] for group in ("init", "optimizer", "schedule")},
            "network": asdict(network_of(workload.specs)),  # which the options do not say alike for all models
        },
        overrides=overrides_text(tree, tree["experiment_name"] or ""),
    )


@functools.cache
def _chance(dataset_json: str) -> Any:
    """The configured score of a constant guess; where it is null, by the metric and the training targets, which are
    counted once for all cells."""
    tree = json.loads(dataset_json)
    return tree["chance"] if tree["chance"] is not None else losses.score_of(tree["metric"], _dataset(dataset_json))[1]


def _optimizer(tree: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any], str]:
    """The optimizer with its schedule, what of both goes into an id, and their label.

    A constant schedule leaves no trace in any of them.
    """
    options = {name: value for name, value in tree["schedule"].items() if name != "name"}
    chosen = schedule(tree["schedule"]["name"], **options)
    optimizer = with_schedule(instantiate("optimizer", tree["optimizer"]), chosen)
    own, name = identity("optimizer", tree["optimizer"]), label("optimizer", tree["optimizer"])
    if not isinstance(optimizer, Scheduled):
        return optimizer, own, name
    scheduled = {**own, "schedule": {"name": chosen.name, **asdict(chosen)}}
    return optimizer, scheduled, f"{name}+{label('schedule', tree['schedule'])}"


@functools.cache
def _rehearsed(workload: Workload, init_json: str, identity_json: str) -> Initializer:
    """An initializer that was drawn from once, so that an option that does not fit the model is refused now rather
    than as a failed trial; built once for the cells that differ in their optimizer.

    Anything else that a user's initializer raises is left to its trials, which fail alone.

    Args:
        identity_json: changes with the source of a user's class, of which the options know nothing.
    """
    initializer = as_initializer(instantiate("init", json.loads(init_json)))
    try:
        if _is_law_of_ours(initializer):
            initializer(workload.model, _one_of_each_kind(workload.specs), seed=0)
        else:
            start_of(workload, initializer, seed=0)
    except ConfigError:
        raise
    except Exception:
        pass
    return initializer


def _is_law_of_ours(initializer: Initializer) -> bool:
    """Whether it treats each tensor on its own, by laws that we know to return what they should."""
    if not isinstance(initializer, PerTensor):
        return False
    laws = [getattr(initializer, field.name) for field in fields(initializer)]
    return all(type(law).__module__.startswith("initsuite.init.") for law in laws if law is not None)


def _one_of_each_kind(specs: Sequence[ParamSpec]) -> list[ParamSpec]:
    """The first of the tensors that differ in nothing but their name and place: deep networks have many of a kind."""
    return list({replace(spec, name="", layer=0): spec for spec in reversed(specs)}.values())[::-1]


def _frame(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes a workload."""
    return {name: tree[name] for name in ("dataset", "model", "activation", "batch_size", "max_steps", "eval_every")}


def _require(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a model option that an initializer is bound to."""
    init, model = tree["init"]["name"], tree["model"]
    known = [f"model.{name}" for name in model if name not in GROUP_KEYS["model"]]
    if key not in known:
        requires = tree["init"]["requires"]
        having = choices_with("model", [each.removeprefix("model.") for each in requires])
        if not having:
            raise unknown_choice(f"init={init}", "requires", key, known, "An initializer requires options of a model.")
        raise ConfigError(
            f"init={init}: cannot be used with model={model['name']}: it requires {as_overrides(requires)}, and this "
            f"model has no `{key}`. Expected one that has. "
            f"Use {' or '.join(f'model={name}' for name in having)}, or another init."
        )
    model[key.removeprefix("model.")] = value


@functools.cache
def _workload(frame_json: str) -> tuple[Workload, str]:
    """The workload of a frame and the label of its model; built once, however many cells share it."""
    frame = json.loads(frame_json)
    dataset = _dataset(json.dumps(frame["dataset"], sort_keys=True))
    options = {name: value for name, value in frame["activation"].items() if name != "name"}
    phi = activation(frame["activation"]["name"], **options)
    shape = {"input_shape": dataset.input_shape, "num_outputs": dataset.num_outputs, "activation": phi}
    model = skeleton(lambda: instantiate("model", frame["model"], **shape))
    if frame["batch_size"] > len(dataset.train):
        expected = f"at most the {len(dataset.train):,} training examples"
        raise bad_value("config", "batch_size", frame["batch_size"], expected)
    if any(isinstance(module, _DropoutNd) and module.p > 0 for module in model.modules()):
        expected = "a model without active dropout: a step draws no random numbers"
        raise bad_value(f"model={frame['model']['name']}", "p", "a Dropout layer", expected, "Set its p to 0.")
    specs = tuple(describe(model))
    _check_tokens(frame, dataset, model, specs)
    loss, chance_loss = losses.loss_of(frame["dataset"]["loss"], dataset)
    workload = Workload(
        workload_id=_workload_id(frame),
        dataset=dataset,
        model=model,
        specs=specs,
        loss=loss,
        score=losses.score_of(frame["dataset"]["metric"], dataset)[0],
        chance_loss=chance_loss,
        batch_size=frame["batch_size"],
        max_steps=frame["max_steps"],
        eval_every=frame["eval_every"],
    )
    return workload, str(getattr(model, "label", None) or label("model", frame["model"]))


def _check_tokens(frame: Mapping[str, Any], dataset: Dataset, model: nn.Module, specs: Sequence[ParamSpec]) -> None:
    """Refuse tokens for a model of ours that takes numbers; a user's own may know what to do with them."""
    is_ours = type(model).__module__.startswith("initsuite.")
    if is_ours and dataset.train.inputs.dtype == torch.int64 and not any(s.role is Role.EMBEDDING for s in specs):
        where, got = f"model={frame['model']['name']}", frame["dataset"]["name"]
        raise bad_value(where, "dataset", got, "a data set of numbers", "Tokens need model=transformer.")


@functools.cache
def _dataset(dataset_json: str) -> Dataset:
    tree = json.loads(dataset_json)
    return check_dataset(instantiate("dataset", tree), f"dataset={tree['name']}")


def _workload_id(frame: Mapping[str, Any]) -> str:
    budget = [frame[name] for name in ("batch_size", "max_steps", "eval_every")]
    dataset = {**identity("dataset", frame["dataset"]), **_contents(frame["dataset"])}
    parts = [dataset, identity("model", frame["model"]), frame["activation"]]
    metric = frame["dataset"]["metric"]
    measures = [frame["dataset"]["loss"], *([] if metric == DEFAULT_METRIC else [metric])]
    return short_hash([*parts, *measures, *budget])


def _contents(tree: Mapping[str, Any]) -> dict[str, str]:
    """What the options of a data set do not say of its examples, where it depends on the user's files or Python."""
    fingerprint = _dataset(json.dumps(tree, sort_keys=True)).fingerprint
    return {"fingerprint": fingerprint} if fingerprint else {}


def _lr_grid(grid: Any) -> tuple[float, ...]:
    if not isinstance(grid, list) or not grid:
        raise bad_value(
            "optimizer", "lr_grid", grid, "a list of learning rates", "Example: optimizer.lr_grid=[0.01,0.1]"
        )
    for lr in grid:
        check_number("optimizer", "lr_grid", lr, above=0)
    return tuple(sorted({float(lr) for lr in grid}))
