"""Hydra's composition in parts: the files of the chosen groups, then the values of single keys.

It tells what each override may change, as far as the files show it.
"""

from __future__ import annotations

import copy
import functools
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ConfigDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from initsuite.config.trees import Path, Tree, paths

KEY = re.compile(r"[\w/-]+(\.[\w-]+)*")
"""A key without a package, an index or quotes."""
Written = Mapping[Path, Any]
"""The values that a file writes, by their path in the whole tree."""


@dataclass(frozen=True)
class Effect:
    """What an override may change.

    Attributes:
        path: a part of the tree; None if it may be anything.
        files: those that the override brings in.
    """

    path: Path | None
    files: tuple[Written, ...] = ()


class _Repository(ConfigRepository):
    """Hydra's files, each read once for all jobs of a sweep: Hydra reads them again for every job."""

    def __init__(self, repository: ConfigRepository) -> None:
        self.sources = repository.sources
        self._known: dict[tuple[object, ...], bytes] = {}

    def __deepcopy__(self, memo: object) -> _Repository:
        """What Hydra makes for each job, which may get other sources."""
        return copy.copy(self)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """A file as Hydra reads it; a copy, since composing changes what it is given."""
        key = (config_path, *((source.provider, source.path) for source in self.sources))
        if key not in self._known:
            self._known[key] = pickle.dumps(super().load_config(config_path))
        return pickle.loads(self._known[key])  # several times faster than copying the nodes of OmegaConf


class Composer:
    """Composes jobs as `loader.load_sweep_config` does, without the node `hydra`.

    Args:
        loader: knows where the files are.
        master: the configuration of the sweep itself, whose overrides of Hydra's own keys belong to every job.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = copy.copy(loader), master
        self.loader.repository = _Repository(loader.repository)  # type: ignore[attr-defined]
        self._name: str = master.hydra.job.config_name
        self._hydra_overrides: list[str] = OmegaConf.to_container(master.hydra.overrides.hydra)  # type: ignore[assignment]
        self.known_parts: dict[object, dict[Path, object]] = {}  # kept for who merges
        self._composed: dict[tuple[str, ...], bytes] = {}
        self._parse = functools.cache(OverridesParser.create().parse_override)
        self._is_group = functools.cache(self._find_group)
        self._load = functools.cache(self._find_file)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job, interpolations unresolved.

        Raises:
            HydraException: as Hydra raises it.
        """
        parsed = [self._parse(text) for text in overrides]
        if any(override.is_hydra_override() for override in parsed):
            return self.by_hydra(overrides)
        choices = tuple(text for text, override in zip(overrides, parsed, strict=True) if self._is_choice(override))
        if choices not in self._composed:
            self._composed[choices] = pickle.dumps(self.by_hydra(choices))
        config = pickle.loads(self._composed[choices])
        try:
            values = [override for override in parsed if not self._is_choice(override)]
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
        except Exception:
            self.by_hydra(overrides)  # raises the error that users of Hydra know
            raise
        return config

    def by_hydra(self, overrides: Sequence[str]) -> DictConfig:
        """The same, by Hydra alone."""
        config = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(config):
            del config["hydra"]
        return config

    def resolve_with_hydra(self, overrides: Sequence[str], index: int) -> Tree:
        """Compose and resolve a job together with its node `hydra`, for configurations that read from it."""
        config = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = index
        HydraConfig.instance().set_config(config)
        return {str(key): _resolved(config, str(key)) for key in config if key != "hydra"}

    def effect(self, text: str) -> Effect:
        """What an override may change: a value its key; a choice its group, if its files write nowhere else."""
        override = self._parse(text)
        key = override.key_or_group
        if override.package or override.is_delete() or override.is_hydra_override() or not KEY.fullmatch(key):
            return Effect(None)
        if not self._is_choice(override):
            return Effect(None) if "/" in key else Effect(tuple(key.split(".")))
        value = override.value()
        if override.is_add() or not isinstance(value, str):
            return Effect(None)
        package = tuple(key.split("/"))
        files = self._files_of_choice(key, value, package)
        return Effect(None) if files is None else Effect(package, tuple(files))

    def files_of(self, overrides: Sequence[str]) -> list[Written] | None:
        """What every file of a job writes; None if a file names others by interpolation."""
        defaults = self.loader.compute_defaults_list(self._name, [*self._hydra_overrides, *overrides], RunMode.RUN)
        files: list[Written] = []
        for default in defaults.defaults:
            loaded = self._load(str(default.config_path))
            if loaded is None or any("${" in repr(element) for element in loaded.defaults_list or []):
                return None
            files.append(_written(loaded.config, tuple(filter(None, (default.package or "").split(".")))))
        return files

    def _files_of_choice(self, group: str, name: str, package: Path) -> list[Written] | None:
        """What a file and the siblings it builds on write; None if one of them reaches beyond its package."""
        loaded = self._load(f"{group}/{name}") if re.fullmatch(r"[\w-]+", name) else None
        if loaded is None or loaded.header["package"] not in (None, "_group_", ".".join(package)):
            return None
        files = [_written(loaded.config, package)]
        for element in loaded.defaults_list or []:
            if element.is_self():
                continue
            is_sibling = type(element) is ConfigDefault and element.package is None
            more = self._files_of_choice(group, str(element.path), package) if is_sibling else None
            if more is None:
                return None
            files += more
        return files

    def _is_choice(self, override: Override) -> bool:
        """Whether an override chooses files; a mapping sets keys of its group instead."""
        return self._is_group(override.key_or_group) and not isinstance(override.value(), dict)

    def _find_group(self, key: str) -> bool:
        parent, _, name = key.rpartition("/")
        return name in self.loader.get_group_options(parent, ObjectType.GROUP, self._name, self._hydra_overrides)

    def _find_file(self, config_path: str) -> Any:
        return self._files.load_config(config_path)

    @functools.cached_property
    def _files(self) -> Any:
        parse: Any = self.loader._parse_overrides_and_create_caching_repo  # type: ignore[attr-defined]
        return parse(self._name, self._hydra_overrides)[1]


def _written(config: Any, package: Path) -> Written:
    return dict(paths(OmegaConf.to_container(config, resolve=False), package))


def _resolved(config: DictConfig, key: str) -> Any:
    """A key as `OmegaConf.to_container(config, resolve=True)` has it."""
    value = "???" if OmegaConf.is_missing(config, key) else config[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
