"""Asks a W&B server what it has of a run: one that answers "200" has not always kept what it was sent."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from initsuite.tracking.service import within

LAG_S = 8.0
"""How long a server may take to show what it was sent, seconds, while it answers."""
PAUSE_S = 0.1
"""Between the first question and the second; each pause is twice the one before."""


class IncompleteRunError(ConnectionError):
    """The server lacks a part of a run that was sent."""


class Confirmation:
    """What a server has of runs, through W&B's public API. Several threads may ask.

    Args:
        wandb: the module.
        limit_s: how long a server may take to answer one question.
    """

    def __init__(self, wandb: Any, limit_s: float) -> None:
        self._wandb, self._limit_s = wandb, limit_s
        self._lock = threading.Lock()
        self._api: Any = None

    def check(self, path: str, num_points: int, summary: Mapping[str, Any]) -> None:
        """Compare a run with what was sent of it, again and again for as long as a good server may need to show it.

        Args:
            path: `entity/project/run_id`.
            num_points: points of its curves.
            summary: its last values.

        Raises:
            IncompleteRunError: the server lacks something.
            TimeoutError: the server does not answer.
            Exception: whatever W&B raises.
        """
        end, pause_s = time.monotonic() + min(LAG_S, self._limit_s), PAUSE_S
        run = within(self._limit_s, lambda: self._asked().run(path))
        _remove_empty_folders(Path(run.dir))
        while lacking := _lacking(run, num_points, summary):
            if time.monotonic() + pause_s > end:
                raise IncompleteRunError(f"the server took the run, but lacks {lacking} of it")
            time.sleep(pause_s)
            pause_s *= 2
            within(self._limit_s, lambda: run.load(force=True))

    def _asked(self) -> Any:
        with self._lock:
            if self._api is None:
                self._api = self._wandb.Api(timeout=max(1, round(self._limit_s)))
            return self._api


def _lacking(run: Any, num_points: int, summary: Mapping[str, Any]) -> str:
    shown = run.historyLineCount  # None where a server does not say
    if shown is not None and shown < num_points:
        return f"{num_points - shown} of {num_points} points"
    missing = [key for key in summary if key not in run.summary_metrics]
    return f"`{missing[0]}`" if missing else ""


def _remove_empty_folders(folder: Path) -> None:
    """Those that W&B makes for the files of a run, of which none is read: entity, project and run."""
    with contextlib.suppress(OSError):
        for path in (folder, *folder.parents[:2]):
            path.rmdir()
