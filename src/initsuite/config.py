"""From a composed Hydra configuration to a job: resolved once, validated, as frozen dataclasses.

With `groups`, the doors and the launcher, the only file that knows omegaconf.
"""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from torch.nn.modules.dropout import _DropoutNd

from initsuite import losses
from initsuite.activations import activation
from initsuite.data.base import Dataset, check_dataset
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Cell, Workload, Yardstick
from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number, unknown_choice
from initsuite.groups import GROUP_KEYS, call, identity, instantiate, label
from initsuite.init.compose import as_initializer
from initsuite.models.describe import describe
from initsuite.models.skeleton import skeleton
from initsuite.sinks.wandb import Tracking
from initsuite.spec import PROTOCOL_VERSION, Initializer, short_hash
from initsuite.tuning import Protocol


@dataclass
class Schema:
    """Names and types of the top-level keys; conf/config.yaml documents them and sets their defaults."""

    init: dict[str, Any] = MISSING
    model: dict[str, Any] = MISSING
    activation: dict[str, Any] = MISSING
    dataset: dict[str, Any] = MISSING
    optimizer: dict[str, Any] = MISSING
    protocol: dict[str, Any] = MISSING
    tracking: dict[str, Any] = MISSING
    seeds: int | None = None
    max_steps: int = MISSING
    eval_every: int = MISSING
    batch_size: int = MISSING
    results_dir: str = MISSING
    data_dir: str | None = None
    device: str = MISSING
    max_stack: int | None = None
    workers: int | None = None
    checkpoint_every_s: float = MISSING
    on_error: str = MISSING
    dry_run: bool = MISSING
    experiment_name: str | None = None


ConfigStore.instance().store(name="schema", node=Schema)


@dataclass(frozen=True)
class Job:
    """What one Hydra job asks for: a cell, compared under a protocol."""

    cell: Cell
    protocol: Protocol


@dataclass(frozen=True)
class Settings:
    """Where and how to run; none of it is part of an id.

    Attributes:
        device: cpu, cuda or cuda:N, checked to exist.
        max_stack: trials a stack; None = measured.
        workers: processes that train stacks; None = measured.
        checkpoint_every_s: least seconds between two checkpoints of a stack; infinity writes none.
        max_failures: failed trials after which the launch stops; None = it goes on.
        dry_run: show the plan and train nothing.
        experiment: a tag for the store and for W&B.
    """

    results_dir: Path
    device: str
    max_stack: int | None
    tracking: Tracking
    workers: int | None = None
    checkpoint_every_s: float = 60.0
    max_failures: int | None = None
    dry_run: bool = False
    experiment: str = ""


def build(cfg: DictConfig) -> tuple[Job, Settings]:
    """Resolve, validate and build everything that a job needs, before any training.

    Raises:
        ConfigError: a value or a combination that cannot be trained.
        DataError: a data file that is missing or damaged.
    """
    tree: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    for name in ("max_steps", "eval_every", "batch_size", "max_stack", "workers"):
        if tree[name] is not None:
            check_whole_number("config", name, tree[name])
    settings = _settings(tree)
    protocol = _protocol(tree)
    return Job(_cell(tree), protocol), settings


def _settings(tree: Mapping[str, Any]) -> Settings:
    results_dir = Path(tree["results_dir"]).absolute()
    return Settings(
        results_dir=results_dir,
        device=_device(tree["device"]),
        max_stack=tree["max_stack"],
        tracking=call("tracking", Tracking, {**tree["tracking"], "dir": str(results_dir)}),
        workers=tree["workers"],
        checkpoint_every_s=_checkpoint_every_s(tree["checkpoint_every_s"]),
        max_failures=_max_failures(tree["on_error"]),
        dry_run=tree["dry_run"],
        experiment=tree["experiment_name"] or "",
    )


def _checkpoint_every_s(seconds: float) -> float:
    if seconds != math.inf:
        check_number("config", "checkpoint_every_s", seconds, minimum=0, fix="`inf` writes none.")
    return seconds


def _max_failures(on_error: str) -> int | None:
    """`continue`, `stop` or `stop_after:K` as the number of failed trials that ends a launch."""
    if on_error in ("continue", "stop"):
        return {"continue": None, "stop": 1}[on_error]
    word, _, number = on_error.partition(":")
    if word != "stop_after" or not number.isdecimal() or int(number) < 1:
        raise unknown_choice("config", "on_error", on_error, ["continue", "stop", "stop_after:K with K from 1"])
    return int(number)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise unknown_choice("config", "device", name, ["auto", "cpu", "cuda", "cuda:N"]) from None
    if device.type not in ("cpu", "cuda"):
        raise unknown_choice("config", "device", name, ["auto", "cpu", "cuda", "cuda:N"])
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        expected = (
            f"one of the {count} CUDA devices that torch sees" if count else "cpu: torch sees no CUDA device here"
        )
        raise bad_value("config", "device", name, expected, "Use device=auto.")
    return name


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
    workload, model_label = _workload(json.dumps(_frame(required), sort_keys=True))
    context_label = model_label if required == tree else _workload(json.dumps(frame, sort_keys=True))[1]
    optimizer = instantiate("optimizer", tree["optimizer"])
    initializer = as_initializer(instantiate("init", tree["init"]))
    _rehearse(workload, initializer)
    context_id = short_hash([_workload_id(frame), identity("optimizer", tree["optimizer"]), PROTOCOL_VERSION])
    dataset = tree["dataset"]
    return Cell(
        cell_id=short_hash([context_id, workload.workload_id, identity("init", tree["init"])]),
        context_id=context_id,
        axes={
            "dataset": label("dataset", dataset),
            "model": context_label,
            "activation": label("activation", tree["activation"]),
            "init": label("init", tree["init"]),
            "optimizer": label("optimizer", tree["optimizer"]),
        },
        workload=workload,
        yardstick=_yardstick(dataset, workload.dataset.num_outputs),
        initializer=initializer,
        optimizer=optimizer,
        lr_grid=_lr_grid(tree["optimizer"]["lr_grid"]),
        config={**frame, "init": tree["init"], "optimizer": tree["optimizer"]},
    )


def _yardstick(dataset: Mapping[str, Any], num_outputs: int) -> Yardstick:
    """The scale of a data set: 0 <= chance < easy <= primary <= hard <= 1, or no levels."""
    for name, only in (("metric", "accuracy"), ("direction", "max")):
        if dataset[name] != only:
            raise unknown_choice("dataset", name, dataset[name], [only])
    check_number("dataset", "chance", dataset["chance"], minimum=0)
    levels = dataset["levels"]
    expected = f"easy, primary and hard, each null or rising from above chance ({dataset['chance']:g}) to 1"
    if not isinstance(levels, dict) or levels.keys() != {"easy", "primary", "hard"}:
        raise bad_value("dataset", "levels", levels, expected)
    frozen = [levels[name] for name in ("easy", "primary", "hard") if levels[name] is not None]
    for level in frozen:
        check_number("dataset", "levels", level, above=dataset["chance"])
    if frozen != sorted(frozen) or not all(level <= 1 for level in (*frozen, dataset["chance"])):
        raise bad_value("dataset", "levels", levels, expected)
    return Yardstick(float(dataset["chance"]), losses.chance_loss(dataset["loss"], num_outputs), levels)


def _rehearse(workload: Workload, initializer: Initializer) -> None:
    """Draw once, so that an option that does not fit the model is refused now rather than as a failed trial.

    Anything else that a user's initializer raises is left to its trials, which fail alone.
    """
    try:
        start_of(workload, initializer, seed=0)
    except ConfigError:
        raise
    except Exception:
        return


def _frame(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes a workload."""
    return {name: tree[name] for name in ("dataset", "model", "activation", "batch_size", "max_steps", "eval_every")}


def _require(tree: dict[str, Any], key: str, value: Any) -> None:
    known = [f"model.{name}" for name in tree["model"] if name not in GROUP_KEYS["model"]]
    if key not in known:
        raise unknown_choice(
            f"init={tree['init']['name']}",
            "requires",
            key,
            known,
            f"It cannot be used with model={tree['model']['name']}.",
        )
    tree["model"][key.removeprefix("model.")] = value


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
    workload = Workload(
        workload_id=_workload_id(frame),
        dataset=dataset,
        model=model,
        specs=tuple(describe(model)),
        loss=losses.loss_function(frame["dataset"]["loss"]),
        batch_size=frame["batch_size"],
        max_steps=frame["max_steps"],
        eval_every=frame["eval_every"],
    )
    return workload, str(getattr(model, "label", None) or label("model", frame["model"]))


@functools.cache
def _dataset(dataset_json: str) -> Dataset:
    tree = json.loads(dataset_json)
    return check_dataset(instantiate("dataset", tree), f"dataset={tree['name']}")


def _workload_id(frame: Mapping[str, Any]) -> str:
    budget = [frame[name] for name in ("batch_size", "max_steps", "eval_every")]
    parts = [identity("dataset", frame["dataset"]), identity("model", frame["model"]), frame["activation"]]
    return short_hash([*parts, frame["dataset"]["loss"], *budget])


def _lr_grid(grid: Any) -> tuple[float, ...]:
    if not isinstance(grid, list) or not grid:
        raise bad_value(
            "optimizer", "lr_grid", grid, "a list of learning rates", "Example: optimizer.lr_grid=[0.01,0.1]"
        )
    for lr in grid:
        check_number("optimizer", "lr_grid", lr, above=0)
    return tuple(sorted({float(lr) for lr in grid}))
