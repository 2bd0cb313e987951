"""Uploads stored trials: runs are built again from the store, and a run that is partly on the server is completed."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from initsuite.errors import ConfigError
from initsuite.sinks.handles import affordable_runs
from initsuite.sinks.labels import run_summary
from initsuite.sinks.runs import Runs, Track
from initsuite.sinks.tracking import Choice, Tracking, choose_mode
from initsuite.sinks.uploads import Uploads
from initsuite.spec import Evaluation, TrialInfo

OWN_SUMMARY = "result/"
"""Keys of a summary that this suite sets start with it."""


class Uploader(Runs):
    """Writes runs to an online server, and remembers those that it took whole.

    The files that W&B keeps of a run go to a folder of their own, which `close` removes: the store has it all.

    Args:
        tracking: the server's project; `finish_timeout_s` is how long a run may wait for the server.

    Raises:
        ConfigError: no API key, or a server that does not answer.

    Attributes:
        max_open_runs: how many runs this process can have open at once.
    """

    def __init__(self, tracking: Tracking) -> None:
        import wandb

        self.max_open_runs = min(tracking.max_open_runs, affordable_runs())
        choice = _online(tracking, wandb)
        # `allow`: W&B asks the server what it has of the run, and goes on behind it.
        resuming = SimpleNamespace(init=wandb.init, Settings=functools.partial(wandb.Settings, resume="allow"))
        super().__init__(tracking, Path(tempfile.mkdtemp(prefix="initsuite-sync-")), resuming, choice)
        self._uploads = Uploads(tracking.dir)

    def upload(self, info: TrialInfo, evaluations: Sequence[Evaluation], row: Mapping[str, Any]) -> None:
        """Upload what the server lacks of one trial; safe to call from several threads.

        Args:
            info: of the trial.
            evaluations: its curve, each with arrays of one trial.
            row: its stored row.

        Raises:
            Exception: whatever W&B raises, among it TimeoutError. The trial is not remembered as uploaded.
        """
        track = Track(0, info)
        self.open(track)
        try:
            for evaluation in evaluations:
                # W&B drops an earlier step with a warning of its own: the server has it.
                if evaluation.step >= track.run.starting_step:
                    self.log(track, evaluation)
            self._forget_old_summary(track, row)
            self.complete(track, row)
        finally:
            if track.is_open:
                with contextlib.suppress(Exception):
                    self.finish(track, exit_code=1)

    def close(self) -> None:
        """Remove W&B's own files."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _forget_old_summary(self, track: Track, row: Mapping[str, Any]) -> None:
        """A resumed run keeps its summary, such as the error of a trial that has succeeded since."""
        if track.run.resumed:
            old = [key for key in track.run.summary.keys() if key.startswith(OWN_SUMMARY)]  # noqa: SIM118
            for key in set(old) - run_summary(row).keys():
                del track.run.summary[key]

    def _go_offline(self, error: Exception) -> NoReturn:
        """There is nothing to write offline: the store has it."""
        raise error


def _online(tracking: Tracking, wandb: Any) -> Choice:
    try:
        choice = choose_mode(tracking, wandb)
    except ConfigError as error:
        raise ConfigError(
            "sync: cannot upload: no API key can be used. Expected a configured one. "
            "Run `wandb login`, or set WANDB_API_KEY."
        ) from error
    if choice.mode != "online":
        raise ConfigError(
            f"sync: cannot upload: {choice.why}. Expected a server that answers. "
            "Look at your network and at WANDB_BASE_URL, and run the same command again."
        )
    return choice
