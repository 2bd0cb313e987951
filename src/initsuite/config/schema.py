"""What Hydra must know before it composes: the keys of the configuration, and that Optuna maximises."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import MISSING


@dataclass
class Trained:
    """Names and types of the keys that say what is trained."""

    init: dict[str, Any] = MISSING
    model: dict[str, Any] = MISSING
    activation: dict[str, Any] = MISSING
    dataset: dict[str, Any] = MISSING
    optimizer: dict[str, Any] = MISSING
    schedule: dict[str, Any] = MISSING
    protocol: dict[str, Any] = MISSING
    seeds: int | None = None
    max_steps: int = MISSING
    eval_every: int = MISSING
    batch_size: int = MISSING


@dataclass
class Running:
    """Names and types of the keys that say where and how it is trained: no score depends on them."""

    tracking: dict[str, Any] = MISSING
    cluster: dict[str, Any] = MISSING
    results_dir: str = MISSING
    data_dir: str | None = None
    device: str = MISSING
    max_stack: int | None = None
    workers: int | None = None
    checkpoint_every_s: float = MISSING
    on_error: str = MISSING
    dry_run: bool = MISSING
    replan: bool = MISSING
    diagnostics: bool = MISSING
    experiment_name: str | None = None


@dataclass
class Schema(Running, Trained):
    """All top-level keys, those of `Trained` first; conf/config.yaml documents them and sets their defaults."""


ConfigStore.instance().store(name="schema", node=Schema)


# Optuna's sweeper minimises unless told otherwise. A file conf/hydra/sweeper/optuna.yaml cannot tell it: Hydra refuses
# a file beside a stored node with a defaults list.
if importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper"):
    Plugins.instance()  # stores the plugin's own defaults; later they would replace ours
    ConfigStore.instance().repo["hydra"]["sweeper"]["optuna.yaml"].node.direction = "maximize"

# Hydra copies its sources, and with them this store, for each group that it lists: most of the time of a help page.
# Nobody changes the copy, and `ConfigStore.load` copies what it hands out.
ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
