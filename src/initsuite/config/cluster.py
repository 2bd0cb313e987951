"""Which machines a launch trains on: the choices of the group `cluster`. None of it is part of an id."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from initsuite.config.groups import call
from initsuite.errors import ConfigError, bad_value, check_number, check_whole_number, unknown_choice


@dataclass(frozen=True)
class Local:
    """This machine alone."""


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """An array of equal launches; conf/cluster/slurm.yaml documents the keys.

    Raises:
        ConfigError: a value outside its range, or the extra is not installed.

    Example:
        >>> Slurm(tasks=0)
        Traceback (most recent call last):
        initsuite.errors.ConfigError: cluster=slurm: bad value `tasks`=0. Expected a whole number from 1.
    """

    tasks: int = 4
    at_once: int | None = None
    wait: bool = True
    cpus: int = 1
    gpus: int = 0
    memory_gb: float | None = None
    minutes: int = 60
    warning_s: int = 90
    restarts: int = 10
    partition: str | None = None
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        least = {"tasks": 1, "at_once": 1, "cpus": 1, "gpus": 0, "minutes": 1, "warning_s": 10, "restarts": 0}
        _check("slurm", self, least)
        if not isinstance(self.wait, bool):
            raise bad_value("cluster=slurm", "wait", self.wait, "true or false")
        if not isinstance(self.partition, str | None):
            raise bad_value("cluster=slurm", "partition", self.partition, "a name, or null for the default one")
        if not isinstance(self.setup, list) or not all(isinstance(line, str) for line in self.setup):
            raise bad_value(
                "cluster=slurm", "setup", self.setup, "a list of lines", 'For example ["module load cuda"].'
            )
        _check_mapping("slurm", "sbatch", self.sbatch, "For example {account: ml}.")
        _check_installed("slurm", "submitit")


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Stacks as the tasks of a Ray cluster; conf/cluster/ray.yaml documents the keys.

    Raises:
        ConfigError: a value outside its range, or the extra is not installed.
    """

    address: str = "auto"
    cpus: int = 1
    memory_gb: float | None = None
    at_once: int | None = None
    runtime_env: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _check("ray", self, {"cpus": 1, "at_once": 1})
        if not isinstance(self.address, str) or not self.address or "://" in self.address:
            expected = "auto, local, or host:port of the head node of a cluster that this machine is part of"
            raise bad_value("cluster=ray", "address", self.address, expected)
        _check_mapping("ray", "runtime_env", self.runtime_env, "For example {working_dir: .}.")
        _check_installed("ray", "ray")


Cluster = Local | Slurm | Ray
_CHOICES: Mapping[str, type[Cluster]] = {"local": Local, "slurm": Slurm, "ray": Ray}


def cluster_of(tree: object) -> Cluster:
    """Read and check the choice of the group.

    Raises:
        ConfigError: it is none, has a bad value, or needs what is not installed.
    """
    name = tree.get("name") if isinstance(tree, Mapping) else tree
    if not isinstance(tree, Mapping) or not isinstance(name, str) or name not in _CHOICES:
        raise unknown_choice("config", "cluster", name, _CHOICES)
    return call(f"cluster={name}", _CHOICES[name], {key: value for key, value in tree.items() if key != "name"})


def slurm_is_refused(where: str) -> ConfigError:
    """The error for what no array can be queued for: it has no command of its own that all tasks could run.

    Example:
        >>> print(slurm_is_refused("search"))
        search: bad value `cluster`='slurm'. Expected local or ray. Start the command itself in each task of an array: \
they share the work (docs/clusters.md).
    """
    fix = "Start the command itself in each task of an array: they share the work (docs/clusters.md)."
    return bad_value(where, "cluster", "slurm", "local or ray", fix)


def _check(name: str, chosen: Slurm | Ray, least: Mapping[str, int]) -> None:
    for key, minimum in least.items():
        value = getattr(chosen, key)
        if value is not None or key != "at_once":
            check_whole_number(f"cluster={name}", key, value, minimum=minimum)
    if chosen.memory_gb is not None:
        check_number(f"cluster={name}", "memory_gb", chosen.memory_gb, above=0)


def _check_mapping(name: str, key: str, value: object, example: str) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value):
        raise bad_value(f"cluster={name}", key, value, "names with their values", example)


def _check_installed(name: str, package: str) -> None:
    if not importlib.util.find_spec(package):
        raise ConfigError(
            f"config: cannot use `cluster`={name!r}: {package} is not installed. Expected the extra {name!r} of this "
            f'package. Install it with: pip install "initsuite[{name}]"'
        )
