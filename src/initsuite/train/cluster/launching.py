"""A launch on SLURM, seen from the machine that starts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from initsuite.config.build import AnyJob
from initsuite.config.cluster import Slurm, slurm_is_refused
from initsuite.config.settings import Settings
from initsuite.errors import ClusterError
from initsuite.results.store import Store
from initsuite.train.cluster import slurm
from initsuite.train.trials import FailedRows, failed_rows, untried, wanted_ids
from initsuite.wording import format_count, format_names

_queued: dict[Path, list[slurm.Task]] = {}
"""By results folder, the array of this process there: it trains all batches of the command, not one."""
_failed_before: dict[Path, FailedRows] = {}
"""By results folder, what had failed before this process queued anything: it is to be tried again."""


def train_on_slurm(
    jobs: Sequence[AnyJob],
    settings: Settings,
    cluster: Slurm,
    store: Store,
    say: Callable[[str], None],
    command: Sequence[str] | None,
) -> set[str]:
    """Queue launches of a command, and wait until they have tried what these jobs need, unless `cluster.wait=false`.

    A sweeper may ask for batch after batch; all of them share the array, as long as it has tasks.

    Args:
        command: what each task runs, on one machine. It trains these jobs, and those of all other batches.

    Returns:
        Ids of the trials of these jobs that were tried, as far as is known.

    Raises:
        ConfigError: there is no such command.
        ClusterError: they cannot be queued, or have ended before everything is stored.
    """
    if command is None:
        raise slurm_is_refused("train")
    folder = settings.results_dir
    failed = _failed_before.setdefault(folder, failed_rows(store.trials()))

    def left() -> set[str]:
        return untried(jobs, store.trials(), failed)

    if left():
        if folder not in _queued:
            _queued[folder] = slurm.submit(cluster, folder, command)
            for line in slurm.how_to_look(_queued[folder], command):
                say(line)
        if cluster.wait:
            before = len(store.stored())
            ended = _wait(_queued[folder], lambda: not left(), say)
            tasks, stored = _queued.pop(folder), len(store.stored()) - before
            say(f"{format_count(stored, 'trial')} stored by {format_count(len(tasks), 'task')}.")
            _raise_if_missing(left(), tasks, ended, folder)
            if ended:
                say(f"Ended without a result: {_named(ended)}. The others took over what they had left.")
    return wanted_ids(jobs, store.trials()) - left()


def _wait(
    tasks: Sequence[slurm.Task], is_complete: Callable[[], bool], say: Callable[[str], None]
) -> Mapping[str, str]:
    try:
        return slurm.wait_for(tasks, is_complete, say)
    except KeyboardInterrupt:
        say("This command ends; the tasks of SLURM go on.")
        raise


def _raise_if_missing(left: set[str], tasks: Sequence[slurm.Task], ended: Mapping[str, str], folder: Path) -> None:
    if not left:
        return
    words = "".join(f"\n  {line}" for line in slurm.last_words(tasks))
    raise ClusterError(
        f"cluster=slurm: the tasks have ended, {format_count(len(left), 'trial')} or more are missing. Expected "
        f"all of them in {folder}. Ended without a result: {_named(ended) or 'none'}. The same command goes "
        f"on from there. The last lines of {tasks[0].log.parent}:{words}"
    )


def _named(ended: Mapping[str, str]) -> str:
    return format_names([f"{job_id} ({state})" for job_id, state in ended.items()])
