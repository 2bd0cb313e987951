"""From a composed Hydra configuration to a job: resolved once, validated, as frozen dataclasses."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

import initsuite.config.schema  # noqa: F401  stores the names and types of the keys
from initsuite.config.groups import call, identity, instantiate, label
from initsuite.config.initializer import init_identity, rehearsed, required_model
from initsuite.config.overrides import overrides_text
from initsuite.config.settings import Settings, settings_of
from initsuite.config.workload import frame_of, make_dataset, make_workload, workload_id_of
from initsuite.engine.workload import Cell, Workload
from initsuite.errors import ConfigError, as_overrides, bad_value, check_number, check_whole_number
from initsuite.optim.schedules import Scheduled, schedule, with_schedule
from initsuite.protocol.guideline import network_of
from initsuite.protocol.tuning import Protocol
from initsuite.protocol.yardstick import yardstick_of
from initsuite.spec import PROTOCOL_VERSION, Initializer, Optimizer, short_hash


@dataclass(frozen=True)
class Job:
    """What one Hydra job trains: a cell, compared under a protocol."""

    cell: Cell
    protocol: Protocol


class Builder:
    """Builds jobs. What several of them share is built once, and kept as long as the builder is."""

    def __init__(self) -> None:
        self._dataset = functools.cache(lambda key: make_dataset(json.loads(key)))
        self._workloads: dict[tuple[str, str], tuple[Workload, str, float]] = {}
        self._initializers: dict[tuple[Workload, str, str], Initializer] = {}

    def build(self, tree: dict[str, Any]) -> tuple[Job, Settings]:
        """Validate and build everything that a job needs, before any training.

        Args:
            tree: a configuration resolved to plain values, which is not changed.

        Raises:
            ConfigError: a value or a combination that cannot be trained.
            DataError: a missing or damaged data file.
        """
        for name in ("max_steps", "eval_every", "batch_size", "max_stack", "workers"):
            if tree[name] is not None:
                check_whole_number("config", name, tree[name])
        settings, protocol = settings_of(tree), _protocol(tree)
        return Job(self._cell(tree), protocol), settings

    def _cell(self, tree: dict[str, Any]) -> Cell:
        """A cell. What its initializer requires is applied to its own workload, and not to its context."""
        frame, init, model = frame_of(tree), tree["init"], required_model(tree)
        context, model_label, chance = self._workload(frame)
        workload = context if model == frame["model"] else self._required(frame, model, init)
        optimizer, optimizer_identity, optimizer_label = _optimizer(tree)
        own = init_identity(init, workload.model)
        initializer = self._initializer(workload, init, own)
        context_id = short_hash([context.workload_id, optimizer_identity, PROTOCOL_VERSION])
        given = tree["dataset"]["chance"]
        dataset = {**tree["dataset"], "chance": chance if given is None else given}
        return Cell(
            cell_id=short_hash([context_id, workload.workload_id, own]),
            context_id=context_id,
            axes={
                "dataset": label("dataset", dataset),
                "model": model_label,
                "activation": label("activation", tree["activation"]),
                "init": label("init", init, tree),
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
                "network": asdict(network_of(workload.specs)),  # which the options of each model say in their own way
            },
            overrides=overrides_text(tree, tree["experiment_name"] or ""),
        )

    def _required(self, frame: dict[str, Any], model: dict[str, Any], init: Mapping[str, Any]) -> Workload:
        """The workload of an arm, with the model that its initializer requires."""
        try:
            return self._workload({**frame, "model": model})[0]
        except ConfigError as error:
            requires = f"init={init['name']} requires {as_overrides(init['requires'])}"
            raise ConfigError(f"{requires}, and this model refuses that. {error}") from error

    def _workload(self, frame: Mapping[str, Any]) -> tuple[Workload, str, float]:
        """The workload of a frame, the label of its model, and the score of a constant guess.

        Kept by its id too, which changes with the source of a user's class.
        """
        dataset = self._dataset(_key(frame["dataset"]))
        key = workload_id_of(frame, dataset), _key(frame)
        if key not in self._workloads:
            ordered = json.loads(key[1])
            workload, chance = make_workload(ordered, dataset, key[0])
            name = str(getattr(workload.model, "label", None) or label("model", ordered["model"]))
            self._workloads[key] = workload, name, chance
        return self._workloads[key]

    def _initializer(self, workload: Workload, tree: Mapping[str, Any], own: Mapping[str, Any]) -> Initializer:
        """One for all cells that differ in their optimizer only, kept by its identity too, as a workload by its id."""
        key = workload, _key(tree), _key(own)
        if key not in self._initializers:
            self._initializers[key] = rehearsed(workload, json.loads(key[1]))
        return self._initializers[key]


_OF_THIS_PROCESS = Builder()
"""Stock launchers and sweepers run one job after another in one process, and do not say which of them belong together:
they share this builder, which lives as long as the process. It is not in `train.__main__`, whose globals a launcher may
send to its processes by value, again with every job."""


def build(cfg: DictConfig) -> tuple[Job, Settings]:
    """Resolve a configuration, and build its job with what earlier jobs of this process built."""
    return build_tree(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def build_tree(tree: dict[str, Any]) -> tuple[Job, Settings]:
    """`Builder.build` for a job that comes alone; those of a launch share a builder of their own (`build_jobs`)."""
    return _OF_THIS_PROCESS.build(tree)


def _key(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True)


def _protocol(tree: Mapping[str, Any]) -> Protocol:
    seeds = {} if tree["seeds"] is None else {"scoring_seeds": tree["seeds"]}
    return call("protocol", Protocol, {**tree["protocol"], **seeds, "lr": tree["optimizer"]["lr"]})


def _optimizer(tree: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any], str]:
    """The optimizer with its schedule, their identity and their label; a constant schedule appears in none of them."""
    options = {name: value for name, value in tree["schedule"].items() if name != "name"}
    chosen = schedule(tree["schedule"]["name"], **options)
    optimizer = with_schedule(instantiate("optimizer", tree["optimizer"]), chosen)
    own, name = identity("optimizer", tree["optimizer"]), label("optimizer", tree["optimizer"])
    if not isinstance(optimizer, Scheduled):
        return optimizer, own, name
    scheduled = {**own, "schedule": {"name": chosen.name, **asdict(chosen)}}
    return optimizer, scheduled, f"{name}+{label('schedule', tree['schedule'])}"


def _lr_grid(grid: Any) -> tuple[float, ...]:
    if not isinstance(grid, list) or not grid:
        fix = "Example: optimizer.lr_grid=[0.01,0.1]"
        raise bad_value("optimizer", "lr_grid", grid, "a list of learning rates", fix)
    for lr in grid:
        check_number("optimizer", "lr_grid", lr, above=0)
    return tuple(sorted({float(lr) for lr in grid}))
