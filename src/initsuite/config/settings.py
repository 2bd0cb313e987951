"""Where and how a launch runs, read from a resolved configuration. None of it is part of an id."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra.utils import to_absolute_path

from initsuite.config.cluster import Cluster, Local, cluster_of
from initsuite.config.groups import call
from initsuite.errors import bad_value, check_number, unknown_choice
from initsuite.tracking.settings import Tracking

LONGEST_NAME = 100


@dataclass(frozen=True)
class Settings:
    """Where and how to run.

    Attributes:
        device: cpu, cuda or cuda:N, checked to exist.
        max_stack: the most trials per stack; None = by the shapes of the workload.
        workers: processes that train stacks side by side; None = threads or processes, one on each core or GPU.
        checkpoint_every_s: least seconds between two checkpoints of a stack; infinity writes none.
        max_failures: failed trials after which the launch stops; None = it goes on.
        dry_run: show the plan and train nothing.
        replan: measure again how fast this machine trains, in place of what it remembers.
        diagnostics: whether the starts of scoring trials are measured.
        experiment: a tag for the store and for W&B.
        cluster: which machines train.
        has_processes: whether worker processes may train; False where what is trained cannot be sent to them. No key.
        deadline: when the launch stops, on the clock of `time.monotonic`; None = when it is done. No key.
    """

    results_dir: Path
    device: str
    max_stack: int | None
    tracking: Tracking
    workers: int | None = None
    checkpoint_every_s: float = 60.0
    max_failures: int | None = None
    dry_run: bool = False
    replan: bool = False
    diagnostics: bool = False
    experiment: str = ""
    cluster: Cluster = field(default_factory=Local)
    has_processes: bool = True
    deadline: float | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints of stacks in training."""
        return self.results_dir / "checkpoints"


def settings_of(tree: Mapping[str, Any]) -> Settings:
    """Read and check the keys that say where and how to run.

    Raises:
        ConfigError: a value that cannot be used here.
    """
    results_dir = Path(to_absolute_path(tree["results_dir"]))  # from where the command was started: hydra.job.chdir
    if tree["checkpoint_every_s"] != math.inf:
        check_number("config", "checkpoint_every_s", tree["checkpoint_every_s"], minimum=0, fix="`inf` writes none.")
    return Settings(
        results_dir=results_dir,
        device=_device(tree["device"]),
        tracking=_tracking(tree["tracking"], results_dir),
        max_failures=_max_failures(tree["on_error"]),
        **{
            name: tree[name]
            for name in ("max_stack", "workers", "checkpoint_every_s", "dry_run", "replan", "diagnostics")
        },
        experiment=_experiment(tree["experiment_name"]),
        cluster=cluster_of(tree.get("cluster")),
    )


def _tracking(tree: Mapping[str, Any], results_dir: Path) -> Tracking:
    if "dir" in tree:
        fix = "W&B's files are in the store: results_dir=DIR."
        raise unknown_choice("tracking", "option", "dir", sorted(Tracking.__dataclass_fields__.keys() - {"dir"}), fix)
    return call("tracking", Tracking, {**tree, "dir": str(results_dir)})


def _experiment(name: object) -> str:
    """The name of an experiment, which becomes a folder of figures and a tag.

    Raises:
        ConfigError: too long for either, or with characters that cannot be written.
    """
    if name is None:
        return ""
    is_writable = isinstance(name, str) and all(character.isprintable() for character in name)
    if not is_writable or len(str(name)) > LONGEST_NAME:
        expected = f"a name of at most {LONGEST_NAME} printable characters"
        raise bad_value("config", "experiment_name", name, expected)
    return str(name)


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
    unknown = unknown_choice("config", "device", name, ["auto", "cpu", "cuda", "cuda:N"])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise unknown from None
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise unknown
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        seen = f"one of the {count} CUDA devices that torch sees" if count else "cpu: torch sees no CUDA device here"
        raise bad_value("config", "device", name, seen, "Use device=auto.")
    return name
