"""From a composed Hydra configuration to a job: resolved once, validated, as frozen dataclasses."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from initsuite.config.groups import call, check_choices, identity, instantiate, label
from initsuite.config.initializer import init_identity, rehearsed, required_model
from initsuite.config.overrides import overrides_text
from initsuite.config.schema import Schema
from initsuite.config.settings import Settings, settings_of
from initsuite.config.workload import WorkloadDraft, frame_id_of, frame_of, make_dataset
from initsuite.engine.workload import Cell, Workload
from initsuite.errors import ConfigError, as_overrides, bad_value, check_whole_number, unknown_choice
from initsuite.optim.schedules import Scheduled, schedule, with_schedule
from initsuite.protocol.guideline import network_of
from initsuite.protocol.tuning import Protocol, check_lr
from initsuite.protocol.yardstick import Yardstick, yardstick_of
from initsuite.spec import PROTOCOL_VERSION, Initializer, Optimizer, short_hash


@dataclass(frozen=True)
class Job:
    """What one Hydra job trains: a cell, compared under a protocol."""

    cell: Cell
    protocol: Protocol

    @property
    def cell_id(self) -> str:
        return self.cell.cell_id

    @property
    def context_id(self) -> str:
        return self.cell.context_id

    @property
    def yardstick(self) -> Yardstick:
        return self.cell.yardstick

    @property
    def lr_grid(self) -> tuple[float, ...]:
        return self.cell.lr_grid


@dataclass(frozen=True, eq=False)
class Draft:
    """A job that can say which trials it needs. Its cell is built, and checked, when it is first asked for.

    Attributes:
        make: builds the cell, which has these ids, this yardstick and this grid.
    """

    cell_id: str
    context_id: str
    yardstick: Yardstick
    lr_grid: tuple[float, ...]
    protocol: Protocol
    make: Callable[[Draft], Cell]

    @functools.cached_property
    def cell(self) -> Cell:
        """The cell.

        Raises:
            ConfigError: a combination that cannot be trained.
            DataError: a missing or damaged data file.
        """
        return self.make(self)

    @property
    def job(self) -> Job:
        """The job, its cell built and checked; raises as `cell`."""
        return Job(self.cell, self.protocol)


AnyJob = Job | Draft


@dataclass(frozen=True)
class Context:
    """What the cells of a context share, besides their optimizer.

    Attributes:
        workload_id: of the model without what an initializer requires.
        axes: labels of dataset, model and activation.
        dataset: the configuration of the data set, with its chance.
    """

    workload_id: str
    axes: Mapping[str, str]
    dataset: Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """An initializer under test.

    Attributes:
        label: its name in tables.
        tree: its configuration.
        identity: what goes into a `cell_id`.
    """

    label: str
    tree: Mapping[str, Any]
    identity: Mapping[str, Any]
    initializer: Initializer


def make_cell(context: Context, workload: Workload, arm: Arm, tree: Mapping[str, Any], overrides: str) -> Cell:
    """A cell, its ids, and the configuration that is stored with its trials.

    Args:
        tree: the resolved configuration, with the optimizer and its schedule.
        overrides: a JSON object; see `Cell`.
    """
    optimizer, optimizer_identity, optimizer_label = _optimizer(tree)
    context_id = short_hash([context.workload_id, optimizer_identity, PROTOCOL_VERSION])
    return Cell(
        cell_id=short_hash([context_id, workload.workload_id, arm.identity]),
        context_id=context_id,
        axes={**context.axes, "init": arm.label, "optimizer": optimizer_label},
        workload=workload,
        yardstick=yardstick_of(context.dataset),
        initializer=arm.initializer,
        optimizer=optimizer,
        lr_grid=_lr_grid(tree["optimizer"]["lr_grid"]),
        config={
            **frame_of(tree),
            "dataset": context.dataset,
            "init": arm.tree,
            **{group: tree[group] for group in ("optimizer", "schedule")},
            "network": asdict(network_of(workload.specs)),  # which the options of each model say in their own way
        },
        overrides=overrides,
    )


class Builder:
    """Builds jobs. What several of them share is built once, and kept as long as the builder is."""

    def __init__(self) -> None:
        self._dataset = functools.cache(lambda key: make_dataset(json.loads(key)))
        self._workloads: dict[tuple[str, str], WorkloadDraft] = {}
        self._initializers: dict[tuple[Workload, str, str], Initializer] = {}

    def build(self, tree: dict[str, Any]) -> tuple[Job, Settings]:
        """Validate and build everything that a job needs, before any training.

        Args:
            tree: a configuration resolved to plain values, which is not changed.

        Raises:
            ConfigError: a value or a combination that cannot be trained.
            DataError: a missing or damaged data file.
        """
        draft, settings = self.draft(tree)
        return draft.job, settings

    def draft(self, tree: dict[str, Any]) -> tuple[Draft, Settings]:
        """The same without what only training needs: enough to know which trials of it are stored.

        Raises:
            ConfigError: a value that cannot be used, as far as the ids show it.
        """
        if left_out := [name for name in Schema.__dataclass_fields__ if tree.get(name, "???") == "???"]:
            raise ConfigError(f"config: `{left_out[0]}` is left out. Expected a value. Leave out ~{left_out[0]}.")
        for name in tree.keys() - Schema.__dataclass_fields__.keys():
            raise unknown_choice("config", "key", name, Schema.__dataclass_fields__)
        check_choices(tree)
        for name in ("max_steps", "eval_every", "batch_size", "max_stack", "workers"):
            if tree[name] is not None:
                check_whole_number("config", name, tree[name])
        settings, protocol = settings_of(tree), protocol_of(tree)
        frame, init, model = frame_of(tree), tree["init"], required_model(tree)
        context = self._workload(frame)
        with _saying_what_requires(init, is_required=model != frame["model"]):
            workload = self._workload({**frame, "model": model})
            workload_id = workload.workload_id
        try:
            own = init_identity(init, lambda: workload.model)
            context_id = short_hash([context.workload_id, _optimizer(tree)[1], PROTOCOL_VERSION])
            draft = Draft(
                cell_id=short_hash([context_id, workload_id, own]),
                context_id=context_id,
                yardstick=yardstick_of(_with_chance(tree["dataset"], context)),
                lr_grid=_lr_grid(tree["optimizer"]["lr_grid"]),
                protocol=protocol,
                make=functools.partial(self._cell, tree, context, workload, own),
            )
        except ConfigError:
            _ = context.workload  # what is wrong with the network or its data is said first
            raise
        return draft, settings

    def _cell(
        self, tree: dict[str, Any], context: WorkloadDraft, required: WorkloadDraft, own: dict[str, Any], _: Draft
    ) -> Cell:
        """A cell. What its initializer requires is applied to its own workload, and not to its context."""
        init, _workload = tree["init"], context.workload  # it must be trainable without what the arm requires
        with _saying_what_requires(init, is_required=required is not context):
            workload = required.workload
        arm = Arm(label("init", init, tree), init, own, self._initializer(workload, init, own))
        shared = self._context(tree, context)
        return make_cell(shared, workload, arm, tree, overrides_text(tree, tree["experiment_name"] or ""))

    def context(self, tree: dict[str, Any]) -> tuple[Context, Workload]:
        """What the cells of a configuration share, and the workload without what an initializer requires.

        Raises:
            ConfigError: a combination that cannot be trained.
            DataError: a missing or damaged data file.
        """
        found = self._workload(frame_of(tree))
        return self._context(tree, found), found.workload

    def _context(self, tree: dict[str, Any], found: WorkloadDraft) -> Context:
        dataset = _with_chance(tree["dataset"], found)
        axes = {"dataset": label("dataset", dataset), "model": found.label}
        return Context(found.workload_id, {**axes, "activation": label("activation", tree["activation"])}, dataset)

    def _workload(self, frame: Mapping[str, Any]) -> WorkloadDraft:
        """The workload of a frame, kept by its id too, which changes with the source of a user's class."""
        dataset = functools.partial(self._dataset, _key(frame["dataset"]))
        key = frame_id_of(frame, dataset), _key(frame)
        if key not in self._workloads:
            self._workloads[key] = WorkloadDraft(json.loads(key[1]), dataset, key[0])
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


def draft(cfg: DictConfig) -> tuple[Draft, Settings]:
    """`Builder.draft` for a job that comes alone."""
    return _OF_THIS_PROCESS.draft(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def build_tree(tree: dict[str, Any]) -> tuple[Job, Settings]:
    """`Builder.build` for a job that comes alone; those of a launch share a builder of their own (`build_jobs`)."""
    return _OF_THIS_PROCESS.build(tree)


def _key(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True)


def protocol_of(tree: Mapping[str, Any]) -> Protocol:
    seeds = {} if tree["seeds"] is None else {"scoring_seeds": tree["seeds"]}
    return call("protocol", Protocol, {**tree["protocol"], **seeds, "lr": tree["optimizer"]["lr"]})


@contextlib.contextmanager
def _saying_what_requires(init: Mapping[str, Any], *, is_required: bool) -> Iterator[None]:
    """Name the initializer in the error of a model that refuses what it requires."""
    try:
        yield
    except ConfigError as error:
        if not is_required:
            raise
        requires = f"init={init['name']} requires {as_overrides(init['requires'])}"
        raise ConfigError(f"{requires}, and this model refuses that. {error}") from error


def _with_chance(dataset: dict[str, Any], context: WorkloadDraft) -> dict[str, Any]:
    """The configuration of a data set with its chance, which the data say where the configuration does not."""
    return {**dataset, "chance": context.chance if dataset["chance"] is None else dataset["chance"]}


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
        check_lr("optimizer", "lr_grid", lr)
    return tuple(sorted({float(lr) for lr in grid}))
