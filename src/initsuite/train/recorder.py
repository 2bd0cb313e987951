"""What a launch does with its events: it tells the sinks, turns results into rows of the store, counts failures."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

from initsuite.config.build import AnyJob
from initsuite.config.settings import Settings
from initsuite.engine.checkpoint import remove_checkpoint, remove_checkpoints
from initsuite.errors import StoreError
from initsuite.protocol.measures import measure
from initsuite.provenance import provenance
from initsuite.results.leases import Leases, hold_all
from initsuite.results.leftovers import leftovers, remove_leftovers
from initsuite.results.store import Store
from initsuite.spec import PROTOCOL_VERSION, Announced, Ended, News, Sink, Status, Stored, Trial, TrialInfo, TrialResult
from initsuite.train.events import Abandoned, Evaluated, Event, Finished, Lost, Note, Started, StopLaunch
from initsuite.train.task import can_continue, checkpoint_path

_AS_THEY_ARE = ("error", "setup_s", "test_score", "diverged_at", "wall_s", "stack_size", "device")
"""Columns of a row that a result has under the same name."""


class Recorder:
    """Takes the events of a launch.

    Args:
        say: shows the user a line.

    Attributes:
        num_failed: trials of this launch that raised.
    """

    def __init__(
        self, store: Store, settings: Settings, jobs: Sequence[AnyJob], sinks: list[Sink], say: Callable[[str], None]
    ) -> None:
        self.store, self.settings, self.sinks, self.say = store, settings, sinks, say
        self.num_failed = 0
        # the first job of a cell names its protocol
        self._job_of = {job.cell_id: job for job in reversed(jobs)}
        self._code = provenance()  # now: the checkout may change while trials train

    def take(self, event: Event) -> None:
        """Act on an event.

        Raises:
            StoreError: results cannot be written.
            StopLaunch: enough trials have failed, or the time is over.
        """
        match event:
            case Started(stack_id, trials):
                self._tell(Announced(stack_id, [self._info(trial) for trial in trials]))
            case Evaluated():
                self._tell(event)
            case Abandoned(stack_id):
                self._drop_checkpoint(stack_id)
                self._tell(event)
            case Lost(stack_id):
                self._tell(Abandoned(stack_id))
            case Finished(stack_id, results):
                self._finish(stack_id, results)
            case Note(line):
                self.say(line)
            case _:
                assert_never(event)
        deadline = self.settings.deadline
        if deadline is not None and time.monotonic() > deadline:
            raise StopLaunch

    def _finish(self, stack_id: str, results: Sequence[TrialResult]) -> None:
        rows = [self._row(result) for result in results]
        self.store.append(rows, {result.trial.trial_id: result.curve for result in results})
        self._drop_checkpoint(stack_id)
        self._tell(Stored(stack_id, rows))
        failed = sum(result.status == Status.FAILED for result in results)
        self.num_failed += failed
        limit = self.settings.max_failures
        if failed and limit is not None and self.num_failed >= limit:
            raise StopLaunch

    def end(self, scores: Sequence[float]) -> None:
        """Tell the sinks what all of the launch amounts to: see `Ended`."""
        self._tell(Ended(scores))

    def drop_leftovers(self) -> None:
        """Remove what killed commands left: half-written files, leases, and checkpoints that no launch will continue
        (those of older versions, and of stacks with stored trials).

        While another command writes here they all stay: a launch that ends after it removes them.
        """
        folder, directory = self.settings.checkpoints, self.store.directory
        leases = Leases(directory).directory.glob("*.json")
        if not any(folder.glob("*")) and not any(leases) and not leftovers(directory):
            return
        with contextlib.suppress(StoreError), hold_all("checkpoints", directory):
            remove_leftovers(leftovers(directory))
            stored = self.store.stored()
            remove_checkpoints(folder, lambda identity: can_continue(identity, stored))

    def _drop_checkpoint(self, stack_id: str) -> None:
        remove_checkpoint(checkpoint_path(self.settings.checkpoints, stack_id))

    def _tell(self, news: News) -> None:
        """Tell every sink; one that breaks is dropped, and never changes what is trained or stored."""
        for sink in list(self.sinks):
            try:
                sink.take(news)
            except Exception as error:
                self.sinks.remove(sink)
                when = type(news).__name__.lower()
                self.say(f"{type(sink).__name__}: dropped in this launch after an error in {when}: {error!r}")

    def _info(self, trial: Trial) -> TrialInfo:
        job = self._job_of[trial.cell_id]
        tags = (self.settings.experiment,) if self.settings.experiment else ()
        return TrialInfo(trial, job.cell.axes, job.cell.config, job.protocol.name, tags)

    def _row(self, result: TrialResult) -> dict[str, Any]:
        trial, job = result.trial, self._job_of[result.trial.cell_id]
        cell = job.cell
        return {
            "trial_id": trial.trial_id,
            "cell_id": cell.cell_id,
            "context_id": cell.context_id,
            **cell.axes,
            "lr": trial.lr,
            "seed": trial.seed,
            "stage": str(trial.stage),
            "status": str(result.status),
            "metric": cell.yardstick.metric,
            **measure(
                result,
                cell.yardstick,
                chance_loss=cell.workload.chance_loss,
                steps_per_epoch=cell.workload.steps_per_epoch,
            ),
            **{name: getattr(result, name) for name in _AS_THEY_ARE},
            **{f"signal_{name}": value for name, value in result.signal.items()},
            "protocol": job.protocol.name,
            "protocol_version": PROTOCOL_VERSION,
            "experiment": self.settings.experiment,
            **self._code,
            "config": json.dumps(cell.config, sort_keys=True),
            "overrides": cell.overrides,
        }
