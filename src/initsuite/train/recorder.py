"""What happens to the news of a launch: the sinks are told, results become rows of the store, failures are counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from initsuite.config.build import Job, Settings
from initsuite.engine.checkpoint import remove_checkpoint
from initsuite.protocol.measures import measure
from initsuite.provenance import provenance
from initsuite.results.store import Store
from initsuite.spec import PROTOCOL_VERSION, Sink, Status, Trial, TrialInfo, TrialResult
from initsuite.train.progress import Progress
from initsuite.train.task import Stack, checkpoint_path


class StopLaunch(Exception):
    """As many trials have failed as `on_error` allows."""


@dataclass
class Recorder:
    """Takes the events of `executor.Emit`.

    Attributes:
        num_failed: trials of this launch that raised.
    """

    store: Store
    settings: Settings
    progress: Progress
    sinks: list[Sink]
    jobs: Sequence[Job]
    num_failed: int = 0
    _job_of: dict[str, Job] = field(default_factory=dict)
    _code: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # the first job of a cell names its protocol
        self._job_of = {job.cell.cell_id: job for job in reversed(self.jobs)}
        self._code = provenance()  # now: the checkout may change while trials train

    def take(self, event: str, stack_id: str, news: Any) -> None:
        """Act on an event.

        Raises:
            StoreError: results cannot be written.
            StopLaunch: enough trials have failed.
        """
        if event == "started":
            self._tell("stack_started", stack_id, [self._info(trial) for trial in news])
        elif event == "evaluated":
            self._tell("evaluated", stack_id, news)
        elif event == "abandoned":
            self._drop_checkpoint(stack_id)
            self._tell("stack_abandoned", stack_id)
        elif event == "finished":
            self._finish(stack_id, news)
        else:
            self.progress.say([news])

    def _finish(self, stack_id: str, results: Sequence[TrialResult]) -> None:
        rows = [self._row(result) for result in results]
        self.store.append(rows, {result.trial.trial_id: result.curve for result in results})
        self._drop_checkpoint(stack_id)
        self._tell("stack_finished", stack_id, rows)
        failed = sum(result.status == Status.FAILED for result in results)
        self.num_failed += failed
        limit = self.settings.max_failures
        if failed and limit is not None and self.num_failed >= limit:
            raise StopLaunch

    def drop_leftovers(self, stacks: Iterable[Stack]) -> None:
        """Remove checkpoints of stored stacks: a launch can be killed after it stored one, before it removed them."""
        found = {path.stem for path in self.settings.checkpoints.glob("*.pt")}
        left = [stack for stack in stacks if stack.stack_id in found]
        stored = self.store.stored() if left else set()
        for stack in left:
            if stored.issuperset(stack.trial_ids):
                self._drop_checkpoint(stack.stack_id)

    def _drop_checkpoint(self, stack_id: str) -> None:
        remove_checkpoint(checkpoint_path(self.settings.checkpoints, stack_id))

    def _tell(self, event: str, *news: Any) -> None:
        """Call a method of every sink; one that breaks is dropped, and never changes what is trained or stored."""
        for sink in list(self.sinks):
            try:
                getattr(sink, event)(*news)
            except Exception as error:
                self.sinks.remove(sink)
                what = f"{type(sink).__name__}: dropped in this launch after an error in {event}: {error!r}"
                self.progress.say([what])

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
            "error": result.error,
            "metric": cell.yardstick.metric,
            **measure(
                result,
                cell.yardstick,
                chance_loss=cell.workload.chance_loss,
                steps_per_epoch=cell.workload.steps_per_epoch,
            ),
            "setup_s": result.setup_s,
            "test_score": result.test_score,
            "diverged_at": result.diverged_at,
            "wall_s": result.wall_s,
            "stack_size": result.stack_size,
            "device": result.device,
            "protocol": job.protocol.name,
            "protocol_version": PROTOCOL_VERSION,
            "experiment": self.settings.experiment,
            **self._code,
            "config": json.dumps(cell.config, sort_keys=True),
            "overrides": cell.overrides,
        }
