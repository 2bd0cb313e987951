"""Sweeps every combination, or several such sweeps in turn, without composing each job before the launcher does."""

# No `from __future__ import annotations`: Hydra executes this file before it is in sys.modules, where dataclass looks.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class InitsuiteSweeperConf(BasicSweeperConf):
    """The keys of the basic sweeper, `params` and `max_batch_size`, and `sweeps`: see `initsuite.config.axes`."""

    _target_: str = "hydra_plugins.initsuite_sweeper.sweeper.InitsuiteSweeper"
    sweeps: list[dict[str, str]] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="initsuite", node=InitsuiteSweeperConf, provider="initsuite_sweeper"
)


class InitsuiteSweeper(BasicSweeper):
    """Hydra's basic sweeper, but it checks each choice once, and failed trials of a batch do not stop the next.

    Where an experiment has several sweeps, each is a batch at least, complete before the next one starts. A dry run
    plans all of them at once; so are they checked, queued and waited for where an array of SLURM trains them.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        sweeps: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self._own = {"params": params, "sweeps": sweeps}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.is_ours = hasattr(self.launcher, "raise_held_failures")
        if self.is_ours:
            self.launcher.holds_failures = True  # type: ignore[union-attr]

    def sweep(self, arguments: list[str]) -> Any:
        self._arguments = arguments
        returns = super().sweep(arguments)
        if self.is_ours:
            self.launcher.raise_held_failures()  # type: ignore[union-attr]
        return returns

    def split_arguments(self, overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:  # type: ignore[override]
        """The batches, each a list of the overrides of its jobs; the basic sweeper asks for them."""
        # imported late: Hydra imports every plugin at every start
        from initsuite.config.axes import chosen_sweeps

        assert self.hydra_context is not None
        assert self.config is not None
        sweeps = chosen_sweeps(self._own, self._arguments, self.hydra_context.config_loader)
        batches = [batch for sweep in sweeps for batch in BasicSweeper.split_arguments(sweep, max_batch_size)]
        is_one = self.config.dry_run or self.config.cluster.get("name") == "slurm"
        return [[job for batch in batches for job in batch]] if is_one else batches

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check a batch for other launchers; our own checks its batch before it trains.

        Raises:
            HydraException: a choice that does not compose.
        """
        if self.is_ours:
            return
        # imported late: Hydra imports every plugin at every start
        from initsuite.config.compose.hydra_files import Composer
        from initsuite.config.compose.merge import unresolved

        assert self.hydra_context is not None
        assert self.config is not None
        composer = Composer(self.hydra_context.config_loader, self.config)
        for tree in unresolved(composer, list(dict.fromkeys(map(tuple, batch)))).values():
            if isinstance(tree, Exception):
                raise tree
