"""A launch on SLURM, seen from the machine that starts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from initsuite.config.build import AnyJob
from initsuite.config.cluster import Slurm
from initsuite.config.settings import Settings
from initsuite.errors import ClusterError
from initsuite.results.store import Store
from initsuite.train.cluster import slurm
from initsuite.train.cluster.array import launch_command
from initsuite.train.trials import untried
from initsuite.wording import format_count, format_names

_queued: set[Path] = set()
"""Results folders of which this process has queued an array: it trains all batches of the command, not one."""


def train_on_slurm(
    jobs: Sequence[AnyJob], settings: Settings, cluster: Slurm, store: Store, say: Callable[[str], None]
) -> None:
    """Queue launches of the command of this process, and wait for them unless `cluster.wait=false`.

    Raises:
        ClusterError: they cannot be queued, or have ended before everything is stored.
    """
    if settings.results_dir in _queued or not untried(jobs, store.trials()):
        return
    _queued.add(settings.results_dir)
    before = len(store.stored())
    tasks = slurm.submit(cluster, settings.results_dir)
    for line in slurm.how_to_look(tasks, launch_command()):
        say(line)
    if not cluster.wait:
        return
    try:
        dead = slurm.wait_for(tasks, lambda: not untried(jobs, store.trials()), say)
    except KeyboardInterrupt:
        say("This command ends; the tasks of SLURM go on.")
        raise
    say(f"{format_count(len(store.stored()) - before, 'trial')} stored by {format_count(len(tasks), 'task')}.")
    left = untried(jobs, store.trials())
    ended = format_names([f"{job_id} ({state})" for job_id, state in dead.items()])
    if left:
        words = "".join(f"\n  {line}" for line in slurm.last_words(tasks))
        raise ClusterError(
            f"cluster=slurm: the tasks have ended, {format_count(len(left), 'trial')} or more are missing. Expected "
            f"all of them in {settings.results_dir}. Ended without a result: {ended or 'none'}. The same command goes "
            f"on from there. The last lines of {tasks[0].log.parent}:{words}"
        )
    if dead:
        say(f"Ended without a result: {ended}. The others took over what they had left.")
