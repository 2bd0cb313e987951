"""A search by Optuna: which combination is tried next depends on the scores of those before.

The study is kept beside the results: the same command goes on with it, and on several machines it is shared.
"""

# No `from __future__ import annotations`: Hydra executes this file before it is in sys.modules, where dataclass looks.
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf


@dataclass
class SearchSweeperConf:
    """The keys of `hydra.sweeper`; docs/sweeps.md says what they are.

    Attributes:
        jobs: how many combinations are scored, those of earlier runs of the command included.
        at_once: how many are chosen together, and trained in common stacks.
        sampler: tpe, random, cmaes, gp or qmc.
        seed: of the sampler.
        storage: where the study is kept; None = in the results folder; otherwise a URL of Optuna's, of a data base.
        study: its name; None = one made of the overrides that say what is trained.
        params: overrides, as on the command line, which has the last word.
    """

    _target_: str = "hydra_plugins.initsuite_search.sweeper.SearchSweeper"
    jobs: int = 20
    at_once: int = 4
    sampler: str = "tpe"
    seed: int = 0
    storage: str | None = None
    study: str | None = None
    params: dict[str, Any] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchSweeperConf, provider="initsuite_search")

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
}


class SearchSweeper(Sweeper):
    """Asks Optuna for combinations, hands them to the launcher, and tells it their scores; the highest is the best."""

    def __init__(
        self,
        jobs: int,
        at_once: int,
        sampler: str,
        seed: int,
        storage: str | None,
        study: str | None,
        params: DictConfig | None,
    ) -> None:
        from initsuite.errors import check_whole_number, unknown_choice

        for name, value in (("jobs", jobs), ("at_once", at_once)):
            check_whole_number("search", f"hydra.sweeper.{name}", value)
        if sampler not in SAMPLERS:
            raise unknown_choice("search", "hydra.sweeper.sampler", sampler, SAMPLERS)
        self.jobs, self.at_once, self.sampler, self.seed = jobs, at_once, sampler, seed
        self.storage, self.study, self.params = storage, study, params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Search until so many combinations have a score.

        Raises:
            ConfigError: nothing to search, or a choice that does not fit a search.
            TrialsFailed: some trials failed.
        """
        from initsuite.config.cluster import slurm_is_refused
        from initsuite.errors import bad_value

        assert self.config is not None
        if self.config.cluster.get("name") == "slurm":
            raise slurm_is_refused("search")
        _check_optuna()
        axes, fixed = _split([f"{key}={value}" for key, value in (self.params or {}).items()] + arguments)
        if not axes:
            expected = "an axis to search, for example 'optimizer.lr=tag(log,interval(0.001,1))'"
            raise bad_value("search", "overrides", " ".join(fixed.values()), expected)
        study = self._study(_searched(axes, fixed))
        launcher: Any = self.launcher
        is_ours = hasattr(launcher, "raise_held_failures")
        if is_ours:
            launcher.holds_failures = True
        done = 0
        while (left := self.jobs - _num_scored(study)) > 0:
            trials = [study.ask(axes) for _ in range(min(left, self.at_once))]
            jobs = [[*fixed.values(), *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
            returns = launcher.launch(jobs, initial_job_idx=done)
            done += len(jobs)
            num_scored = sum(_tell(study, trial, one.return_value) for trial, one in zip(trials, returns, strict=True))
            if not num_scored:
                break  # a search that learns nothing would go on for ever
        self._report(study)
        if is_ours:
            launcher.raise_held_failures()
        return None

    def _study(self, searched: str) -> Any:
        """The study of what is searched, in its storage.

        Raises:
            ConfigError: the one that `hydra.sweeper.study` names is of something else.
        """
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        from initsuite.errors import bad_value
        from initsuite.spec import short_hash

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage: Any = self.storage
        if storage is None:
            assert self.config is not None
            folder = Path(to_absolute_path(self.config.results_dir)) / "search"
            folder.mkdir(parents=True, exist_ok=True)
            log = str(folder / "studies.log")
            storage = optuna.storages.JournalStorage(JournalFileBackend(log, lock_obj=JournalFileOpenLock(log)))
        name = self.study or searched
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        if study.user_attrs.get("searched", searched) != searched:
            expected = "the name of a search over the same values of the same overrides, or one that is new"
            raise bad_value("search", "hydra.sweeper.study", name, expected, "Leave it out: each search has one.")
        study.set_user_attr("searched", searched)
        # another seed for each start: else those that go on, or share the search, would try the same again
        seed = int(short_hash([self.seed, len(study.get_trials(deepcopy=False))])[:7], 16)
        study.sampler = getattr(optuna.samplers, SAMPLERS[self.sampler])(seed=seed)
        return study

    def _report(self, study: Any) -> None:
        """Say which combination is the best, and write it into Hydra's folder."""
        if not _num_scored(study):
            return
        assert self.config is not None
        best = study.best_trial
        found = {"name": "optuna", "best_params": dict(best.params), "best_value": best.value}
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(found), folder / "optimization_results.yaml")
        words = " ".join(f"{key}={value}" for key, value in best.params.items())
        print(f"Best of {_num_scored(study)} combinations: {words} (score {best.value:.4g}).", flush=True)


def _check_optuna() -> None:
    """Raises ConfigError: Optuna is not installed, or is that of Hydra's own sweeper."""
    try:
        importlib.import_module("optuna.storages.journal")
    except ImportError as error:
        from initsuite.errors import ConfigError

        raise ConfigError(
            "config: cannot use `hydra/sweeper`='search': Optuna 4 or newer is not installed. Expected the extra "
            "'search' of this package. Install it with: pip install \"initsuite[search]\""
        ) from error


def _searched(axes: Mapping[str, Any], fixed: Mapping[str, str]) -> str:
    """A hash of what is searched: the values of its axes, and what else says what is trained, not where and how."""
    from optuna.distributions import distribution_to_json

    from initsuite.config.schema import Running
    from initsuite.spec import short_hash

    how = Running.__dataclass_fields__
    kept = sorted(line for key, line in fixed.items() if re.split("[.@]", key.lstrip("+~"))[0] not in how)
    return short_hash([{key: distribution_to_json(values) for key, values in axes.items()}, kept])


def _num_scored(study: Any) -> int:
    return sum(trial.state.name == "COMPLETE" for trial in study.get_trials(deepcopy=False))


def _tell(study: Any, trial: Any, score: float) -> bool:
    """Whether the combination has a score: one whose trials all failed has none."""
    import optuna

    is_scored = score == score
    state = optuna.trial.TrialState.COMPLETE if is_scored else optuna.trial.TrialState.FAIL
    study.tell(trial, score if is_scored else None, state=state)
    return is_scored


def _split(arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """By key, the axes of a search with their distributions, and the other overrides; the last one of a key counts."""
    parsed = OverridesParser.create().parse_overrides(list(arguments))
    by_key = {override.get_key_element(): override for override in parsed}
    axes = {key: _distribution(override) for key, override in by_key.items() if override.is_sweep_override()}
    fixed = {key: override.input_line or "" for key, override in by_key.items() if key not in axes}
    return axes, fixed


def _distribution(override: Override) -> Any:
    """What Optuna draws from, for an override of Hydra's."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from initsuite.errors import bad_value

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, is_log = value.start, value.end, "log" in value.tags
        if low is None or high is None or low >= high or (is_log and low <= 0):
            expected = "an interval from a lower to a higher number, above 0 where it is logarithmic"
            raise bad_value("search", override.get_key_element(), override.input_line, expected)
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=is_log)
        return FloatDistribution(low, high, log=is_log)
    choices: list[Any] = list(override.sweep_iterator(transformer=Transformer.encode))
    return CategoricalDistribution(choices)
