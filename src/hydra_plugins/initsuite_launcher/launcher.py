"""A launcher that takes all jobs of a multirun at once, so that their trials can be trained in stacks."""

# No `from __future__ import annotations`: Hydra executes this file before it is in sys.modules, where dataclass looks.
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class InitsuiteLauncherConf:
    """It has no options of its own; `max_stack` and `workers` are keys of the application."""

    _target_: str = "hydra_plugins.initsuite_launcher.launcher.InitsuiteLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="initsuite", node=InitsuiteLauncherConf, provider="initsuite_launcher"
)


class InitsuiteLauncher(Launcher):
    """Builds the cells of all jobs, checks every one before the first step, and trains them together.

    It replaces the task function of `initsuite.train` with one call of `train.launch.run_cells`. The returns carry no
    configurations: making thousands of them costs more than training.

    Attributes:
        holds_failures: our sweeper asks for them when all its batches are done; any other sweeper gets returns that
            raise.
    """

    holds_failures = False

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self._held: list[Exception] = []
        self._builder: Any = None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        # imported late: Hydra imports every plugin at every start, and torch comes with the first line said
        from initsuite.train.late import late_imports
        from initsuite.wording import format_count

        print(f"Checking {format_count(len(job_overrides), 'combination')} before the first step.", flush=True)
        with late_imports():
            from initsuite.config.build import Builder
            from initsuite.config.compose.hydra_files import Composer
            from initsuite.config.compose.resolve import compose_jobs
            from initsuite.config.sweep import build_jobs, check_can_be_planned, raise_if_illegal
            from initsuite.train.cluster.array import launch_command
            from initsuite.train.launch import Inventory, plan_cells, run_cells
            from initsuite.train.plan.preview import print_plan

        setup_globals()
        self._folder, self._name = str(self.config.hydra.sweep.dir), str(self.config.hydra.job.name)  # resolved once
        Path(self._folder).mkdir(parents=True, exist_ok=True)  # Optuna's sweeper writes to it
        composer = Composer(self.hydra_context.config_loader, self.config)
        self._builder = self._builder or Builder()  # a sweeper may ask for batch after batch
        inventory = Inventory()
        composed = compose_jobs(composer, job_overrides, initial_job_idx)
        built = build_jobs(composed, self._builder, inventory.finished)
        if built.settings.dry_run:
            check_can_be_planned(self.config.hydra.sweeper)
            print_plan(plan_cells(built.jobs, built.settings, built.illegal), built.settings)
            return [self._job_return(overrides, math.nan) for overrides in job_overrides]
        raise_if_illegal(built)
        outcome = run_cells(built.jobs, built.settings, inventory.store, launch_command())
        return self._returns(job_overrides, built, outcome)

    def raise_held_failures(self) -> None:
        """End a sweep some of whose trials failed.

        Raises:
            TrialsFailed: that of the first batch with failures.
        """
        if self._held:
            raise self._held[0]

    def _returns(self, job_overrides: Sequence[Sequence[str]], built: Any, outcome: Any) -> list[JobReturn]:
        """Scores, or the error for a job whose trials failed; a launch that was stopped raises at once."""
        from initsuite.errors import TrialsFailed
        from initsuite.train.launch import raise_if_failed

        failed: dict[str, Exception] = {}
        try:
            raise_if_failed(outcome, built.settings)
        except TrialsFailed as error:
            if not outcome.is_complete:
                raise
            if self.holds_failures:
                self._held.append(error)
            else:
                failed = dict.fromkeys(outcome.failed.cell_id, error)
        return [
            self._job_return(overrides, score, failed.get(job.cell_id))
            for overrides, job, score in zip(job_overrides, built.jobs, outcome.scores, strict=True)
        ]

    def _job_return(self, overrides: Sequence[str], score: float, error: Exception | None = None) -> JobReturn:
        return JobReturn(
            overrides=overrides,
            working_dir=self._folder,
            task_name=self._name,
            status=JobStatus.FAILED if error else JobStatus.COMPLETED,
            _return_value=error or score,
        )
