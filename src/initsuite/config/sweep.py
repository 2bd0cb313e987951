"""From the overrides of a sweep to its jobs, and to the combinations that cannot be trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import OmegaConf

from initsuite.config.axes import chosen_sweeps
from initsuite.config.build import AnyJob, Builder, Draft
from initsuite.config.command import check_command
from initsuite.config.compose.hydra_files import Composer
from initsuite.config.compose.resolve import Composed, compose_jobs
from initsuite.config.groups import conf_dir
from initsuite.config.settings import Settings
from initsuite.errors import ConfigError, bad_value

SHOWN = 10
"""Illegal combinations that an error names; `dry_run=true` shows all of them."""


@dataclass(frozen=True)
class Built:
    """The jobs of a sweep.

    Attributes:
        jobs: those that can be trained, in their order; drafts of those that need no training.
        settings: those of every job.
        illegal: the overrides of each combination that cannot be trained, as one string, and the reason.
    """

    jobs: list[AnyJob]
    settings: Settings
    illegal: list[tuple[str, str]]


Finished = Callable[[Sequence[Draft], Settings], Collection[Draft]]
"""Which jobs have nothing to train."""


def build_jobs(composed: Sequence[Composed], builder: Builder | None = None, finished: Finished | None = None) -> Built:
    """Build every job, and collect those that cannot be built.

    Args:
        builder: that of the sweep, if these jobs are one batch of it; by default a new one.
        finished: finds the jobs that stay drafts: what is stored of them was checked when it was trained. None = none.

    Raises:
        ConfigError: no job can be built, or where and how to run differs between them.
        DataError: a missing or damaged data file.
        HydraException: no job can be composed, or a choice does not exist.
    """
    builder = builder or Builder()
    errors: dict[int, Exception] = {}
    drafts: dict[int, Draft] = {}
    settings: list[Settings] = []
    for index, job in enumerate(composed):
        with _collecting(errors, index, job.error):
            if job.error:
                raise job.error
            drafts[index], found = builder.draft(job.tree or {})
            settings.append(found)
    if not drafts:
        raise errors[0]
    if any(other != settings[0] for other in settings):
        raise ConfigError(
            "sweep: bad axis: results_dir, device, tracking, experiment or another key of how to run differs between "
            "jobs. Expected one value each. Start one command for each value."
        )
    done = set(finished(list(drafts.values()), settings[0])) if finished else set[Draft]()
    jobs: list[AnyJob] = []
    for index, draft in drafts.items():
        with _collecting(errors, index):
            jobs.append(draft if draft in done else draft.job)
    if not jobs:
        raise errors[min(errors)]
    # overrides of every job, which distinguish none
    shared = set.intersection(*(set(job.overrides) for job in composed)) if len(composed) > 1 else set()
    illegal = [
        (" ".join(text for text in composed[index].overrides if text not in shared), _reason(error))
        for index, error in sorted(errors.items())
    ]
    return Built(jobs, settings[0], illegal)


@contextmanager
def _collecting(errors: dict[int, Exception], index: int, known: Exception | None = None) -> Iterator[None]:
    """Keep the error of a combination that cannot be trained; any other error, and an unknown choice, gets out."""
    try:
        yield
    except MissingConfigException:
        raise
    except Exception as error:
        if error is not known and not isinstance(error, ConfigError):
            raise
        errors[index] = error


def raise_if_illegal(built: Built) -> None:
    """Refuse a launch with combinations that cannot be trained.

    Raises:
        ConfigError: names them, and how to leave them out.
    """
    if not built.illegal:
        return
    number, total = len(built.illegal), len(built.illegal) + len(built.jobs)
    lines = [f"  {overrides}: {reason}" for overrides, reason in built.illegal[:SHOWN]]
    if number > SHOWN:
        lines.append(f"  ... and {number - SHOWN} more; dry_run=true shows all of them")
    common = set.intersection(*(set(overrides.split(" ")) for overrides, _ in built.illegal))
    hint = f"All of them have {' '.join(sorted(common))}. " if common - {""} else ""
    first = f"sweep: {number} of {total} combinations cannot be trained:"
    last = (
        f"{hint}Nothing was trained. To leave them out, run one command for each set of choices that fit together; "
        "all commands share one results_dir."
    )
    raise ConfigError("\n".join([first, *lines, last]))


def check_can_be_planned(sweeper: Mapping[str, Any]) -> None:
    """Refuse to plan a sweep that chooses jobs by the results of others.

    Raises:
        ConfigError: names the sweeper.
    """
    name = str(sweeper["_target_"]).rpartition(".")[2]
    if name not in ("InitsuiteSweeper", "BasicSweeper"):
        fix = "Leave out dry_run=true."
        raise bad_value(f"sweep with {name}", "dry_run", True, "false: it chooses jobs by the results of others", fix)


@contextmanager
def config_loader() -> Iterator[ConfigLoader]:
    """Hydra's reader of our configuration folder, outside a Hydra application; a running one is restored afterwards."""
    running = Singleton._instances.pop(GlobalHydra, None)
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir()), job_name="train"):
            yield GlobalHydra.instance().config_loader()
    finally:
        if running is not None:
            Singleton._instances[GlobalHydra] = running


def compose_sweep(overrides: Sequence[str], axes: Mapping[str, Any] | None = None) -> list[Composed]:
    """The jobs of a command's overrides, as the launcher gets them: every combination of comma-separated values.

    Args:
        axes: `params` and `sweeps` of a sweep that is no experiment of conf, as `hydra.sweeper` has them; those of the
            experiment that the overrides name by default.

    Raises:
        ConfigError: one that `check_command` refuses.
        HydraException: an override that Hydra refuses.

    Example:
        >>> [job.overrides for job in compose_sweep(["init=he,zero", "seeds=3"])]
        [('init=he', 'seeds=3'), ('init=zero', 'seeds=3')]
    """
    check_command(overrides)
    with config_loader() as loader:
        master = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
        sweeper: Mapping[str, Any] = axes or OmegaConf.to_container(master.hydra.sweeper)  # type: ignore[assignment]
        composer, composed = Composer(loader, master), list[Composed]()
        for parsed in chosen_sweeps(sweeper, master.hydra.overrides.task, loader):
            (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
            composed += compose_jobs(composer, jobs, len(composed))
        return composed


def compose_each(jobs: Sequence[Sequence[str]]) -> list[Composed]:
    """The jobs of these lists of overrides, each of them one combination.

    Example:
        >>> compose_each([["optimizer=adam", "seeds=3"]])[0].tree["optimizer"]["name"]
        'adam'
    """
    with config_loader() as loader:
        master = loader.load_configuration("config", [], RunMode.MULTIRUN)
        return compose_jobs(Composer(loader, master), jobs)


def _reason(error: Exception) -> str:
    """What is wrong, in one line."""
    cause = error.__cause__ if error.__cause__ is not None and not isinstance(error, ConfigError) else error
    lines = str(getattr(cause, "msg", None) or cause).strip().splitlines()
    return lines[0] if lines else type(error).__name__
