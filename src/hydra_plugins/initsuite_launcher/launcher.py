"""A launcher that takes all jobs of a multirun at once, so that their trials can be trained in stacks."""

# No `from __future__ import annotations`: Hydra executes this file before it is in sys.modules, where dataclass looks.
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


@dataclass
class InitsuiteLauncherConf:
    """It has no options of its own; `max_stack` is a key of the application."""

    _target_: str = "hydra_plugins.initsuite_launcher.launcher.InitsuiteLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="initsuite", node=InitsuiteLauncherConf, provider="initsuite_launcher"
)


class InitsuiteLauncher(Launcher):
    """Builds the cells of all jobs, checks every one before the first step, and trains them together.

    It replaces the task function of `initsuite.train` by one call of `app.run_cells`.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        # imported late: Hydra imports every plugin at every start
        from initsuite.app import raise_if_failed, run_cells
        from initsuite.config import build
        from initsuite.errors import ConfigError

        setup_globals()
        configs = [self._compose(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        jobs, settings = zip(*map(build, configs), strict=True)
        if len(set(settings)) > 1:
            raise ConfigError(
                "sweep: bad axis: results_dir, device, max_stack, tracking or experiment differ between jobs. "
                "Expected one value each. Start one command for each value."
            )
        outcome = run_cells(jobs, settings[0])
        raise_if_failed(outcome, settings[0])
        return [
            self._job_return(config, overrides, score)
            for config, overrides, score in zip(configs, job_overrides, outcome.scores, strict=True)
        ]

    def _compose(self, overrides: Sequence[str], index: int) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = index
        return config

    def _job_return(self, config: DictConfig, overrides: Sequence[str], score: float) -> JobReturn:
        return JobReturn(
            overrides=overrides,
            cfg=config,
            hydra_cfg=config.hydra,
            working_dir=str(config.hydra.sweep.dir),
            task_name=config.hydra.job.name,
            status=JobStatus.COMPLETED,
            _return_value=score,
        )
