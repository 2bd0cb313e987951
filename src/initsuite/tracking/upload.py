"""Uploads stored trials: runs are built again from the store, and a run that is partly on the server is completed."""

from __future__ import annotations

import contextlib
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from initsuite.tracking.confirm import IncompleteRunError
from initsuite.tracking.labels import run_summary
from initsuite.tracking.runs import Runs, Track
from initsuite.tracking.service import affordable_runs, replace_service
from initsuite.tracking.settings import Tracking, require_online
from initsuite.tracking.uploads import StoredTrial, Uploads
from initsuite.wording import first_line

MAX_IN_A_ROW = 3
"""This many runs that fail in a row are the server's fault: the rest would only wait for it as long."""

GRACE_S = 15.0
"""Added to the limit of a run, which may be sent twice: for what is in between, if W&B itself hangs."""


class Uploader(Runs):
    """Writes runs to an online server, and remembers those that it took whole.

    W&B's files of a run go to a folder of their own, which `close` removes: the store has it all.

    Args:
        tracking: the server's project; `finish_timeout_s` is how long a run may wait for the server.

    Raises:
        ConfigError: no API key, or a server that does not answer.
    """

    def __init__(self, tracking: Tracking) -> None:
        import wandb

        self._max_open_runs = min(tracking.max_open_runs, affordable_runs())
        choice = require_online("sync: cannot upload", tracking, wandb)
        super().__init__(tracking, Path(tempfile.mkdtemp(prefix="initsuite-sync-")), wandb, choice)
        self._uploads = Uploads(tracking.dir)
        self._has_failed = False

    def upload_all(self, trials: Sequence[StoredTrial]) -> Iterator[tuple[str, str]]:
        """Upload trials, several at a time, since each waits for the network.

        Ends in bounded time, whatever hangs: after `MAX_IN_A_ROW` failures in a row nothing more is started. Threads
        that wait for a server may be left behind; they are daemons.

        Yields:
            The trial_id of each trial that was tried, as it ends, and what went wrong ("" for nothing).
        """
        tasks: queue.SimpleQueue[StoredTrial] = queue.SimpleQueue()
        answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        for stored in trials:
            tasks.put(stored)

        def work() -> None:
            for stored in _taken(tasks):
                answers.put((stored.row["trial_id"], self._problem(stored)))

        for _ in range(min(self._max_open_runs, len(trials))):
            threading.Thread(target=work, name="sync", daemon=True).start()
        num_awaited, in_a_row = len(trials), 0
        with contextlib.suppress(queue.Empty):
            while num_awaited:
                trial_id, problem = answers.get(timeout=2 * self.tracking.finish_timeout_s + GRACE_S)
                num_awaited -= 1
                in_a_row = in_a_row + 1 if problem else 0
                if in_a_row >= MAX_IN_A_ROW:
                    num_awaited -= len(list(_taken(tasks)))
                yield trial_id, problem

    def upload(self, stored: StoredTrial) -> None:
        """Upload what the server lacks of one trial; raises as `open` and `complete`. Several threads may call it.

        W&B asks the server what it has of the run, and continues after it. Where that leaves a gap, because something
        got lost on the way, the run is written over from its start.
        """
        try:
            self._upload(stored, resume="allow")
        except IncompleteRunError:
            self._upload(stored)

    def _upload(self, stored: StoredTrial, **options: Any) -> None:
        track = Track(0, stored.info)
        self.open(track, **options)
        try:
            for evaluation in stored.evaluations:
                track.steps.add(evaluation.step)
                # Earlier steps are on the server: W&B would drop them, with a warning.
                if evaluation.step >= track.run.starting_step:
                    self.log(track, evaluation)
            self._forget_old_summary(track, stored.row)
            self.complete(track, stored.row)
        finally:
            if track.is_open:
                with contextlib.suppress(Exception):
                    self.finish(track, exit_code=1)

    def close(self) -> None:
        """Remove W&B's own files, and its process where that still waits for a server."""
        if self._has_failed:
            replace_service(self._wandb)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _problem(self, stored: StoredTrial) -> str:
        try:
            self.upload(stored)
        except Exception as error:
            self._has_failed = True
            return first_line(error)
        return ""

    def _forget_old_summary(self, track: Track, row: Mapping[str, Any]) -> None:
        """A resumed run keeps its summary, such as the error of a trial that has succeeded since."""
        if track.run.resumed:
            old = {key for key in dict(track.run.summary) if key.startswith("result/")}
            for key in old - run_summary(row).keys():
                del track.run.summary[key]

    def _go_offline(self, error: Exception) -> NoReturn:
        """There is nothing to write offline: the store has it."""
        raise error


def _taken(tasks: queue.SimpleQueue[StoredTrial]) -> Iterator[StoredTrial]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield tasks.get_nowait()
