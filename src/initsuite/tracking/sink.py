"""The W&B sink: one real run per trial, live at each evaluation.

A problem with W&B is caught, counted and reported once at the end; the store holds every number either way. It takes
about 50 ms per run: `process.py` gives it a process of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from initsuite.errors import ConfigError, StoreError
from initsuite.spec import Abandoned, Announced, Ended, Evaluated, Evaluation, News, Stored, TrialInfo
from initsuite.tracking.agent import AgentRun
from initsuite.tracking.labels import run_name
from initsuite.tracking.runs import Runs, Track
from initsuite.tracking.service import affordable_runs
from initsuite.tracking.settings import DEFAULT_PROJECT, Choice, Tracking, choose_mode, unused_variables
from initsuite.wording import first_line, format_count, format_first

ONLINE_WORKERS = 64
"""Runs started or finished at once where each waits for the network: a last upload waits for its turn in the transmit
interval, so that fewer workers than runs multiply the wait. Offline, a second worker gains nothing."""


@dataclass
class _Stack:
    """The tracked trials of a stack in training, and its evaluations for those that are written when it ends."""

    tracks: list[Track]
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def open_tracks(self) -> list[Track]:
        return [track for track in self.tracks if track.is_open]


class WandbSink:
    """Shows trials in Weights & Biases (`spec.Sink`).

    Args:
        tracking: what is shown and where it goes.
        on_written: called with the trial_id of each run that is complete.

    Raises:
        ConfigError: `tracking.mode=online` without an API key, or an unknown `WANDB_MODE`.
        StoreError: see `Tracking.folder`.
    """

    def __init__(self, tracking: Tracking, on_written: Callable[[str], object] = lambda trial_id: None) -> None:
        self._tracking, self._on_written = tracking, on_written
        self._stacks: dict[str, _Stack] = {}
        self._parked: dict[str, Track] = {}
        """By trial_id, open runs of abandoned stacks, for the narrower stack that tries the trial again."""
        self._start_problem = ""
        self._problems: dict[str, tuple[str, str]] = {}
        """By trial_id of each incomplete run, its label and its first problem."""
        self._agent = AgentRun.taken_from(os.environ)
        self._runs, self._cap = Runs(tracking, tracking.directory, None, Choice("disabled")), 0
        try:
            import wandb

            self._cap = min(tracking.max_open_runs, affordable_runs())
            self._runs = Runs(tracking, tracking.directory, wandb, choose_mode(tracking, wandb))
            tracking.folder.mkdir(parents=True, exist_ok=True)
        except (ConfigError, StoreError):
            raise
        except Exception as error:
            self._runs.choice = Choice("disabled")
            self._start_problem = first_line(error)

    @property
    def mode(self) -> str:
        return self._runs.choice.mode

    def take(self, news: News) -> None:
        match news:
            case Announced(stack_id, trials):
                self._start(stack_id, trials)
            case Evaluated(stack_id, evaluation):
                self._log(stack_id, evaluation)
            case Stored(stack_id, rows):
                self._write(stack_id, rows)
            case Abandoned(stack_id):
                self._park(stack_id)
            case Ended(scores):
                if self._agent:
                    self._agent.take(scores)

    def _start(self, stack_id: str, trials: Sequence[TrialInfo]) -> None:
        """Open a run for each trial of a tracked stage, up to `max_open_runs` over all stacks."""
        if self.mode == "disabled":
            return
        tracked = [(place, info) for place, info in enumerate(trials) if info.trial.stage in self._tracking.stages]
        tracks = [self._track(place, info) for place, info in tracked]
        self._stacks[stack_id] = _Stack(tracks)
        fresh = [track for track in tracks if not track.is_open]
        self._each(self._open_live, fresh[: max(0, self._cap - self._num_open())])
        self._recover()

    def _log(self, stack_id: str, evaluation: Evaluation) -> None:
        """Log one evaluation to the open runs, and keep it for those that are written later."""
        stack = self._stacks.get(stack_id)
        if stack and stack.tracks:
            stack.evaluations.append(evaluation)
            for track in stack.open_tracks:
                self._guarded(self._runs.log, track, evaluation)

    def _write(self, stack_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the runs that were not open, set every summary and finish every run."""
        stack = self._stacks.get(stack_id)
        if stack is None:
            return

        def complete(track: Track) -> None:
            if not track.is_open:
                self._runs.open(track)
                for evaluation in stack.evaluations:
                    self._runs.log(track, evaluation)
            self._runs.complete(track, rows[track.place])
            self._on_written(track.trial_id)

        late = [track for track in stack.tracks if not track.is_open]
        self._each(complete, stack.open_tracks)
        self._each(complete, late, at_once=max(1, self._cap - self._num_open()))
        if self._recover():
            self._each(complete, [track for track in stack.tracks if self._problems.pop(track.trial_id, None)])
        del self._stacks[stack_id]
        self._end(stack.tracks)

    def _park(self, stack_id: str) -> None:
        """Keep its runs open: its trials are tried again, or the launch ends."""
        if stack := self._stacks.pop(stack_id, None):
            self._parked |= {track.trial_id: track for track in stack.open_tracks}

    def close(self) -> list[str]:
        """Finish what is open (as failed); return how to browse and upload the runs, and what went wrong."""
        self._end(self._all_tracks())
        self._recover()
        self._stacks, self._parked = {}, {}
        if self._agent and self.mode != "disabled":
            try:
                self._runs.write_agents(self._agent)
            except Exception as error:
                self._problems.setdefault(self._agent.run_id, ("the run of the agent", first_line(error)))
        return self._lines()

    def _track(self, place: int, info: TrialInfo) -> Track:
        track = self._parked.pop(info.trial.trial_id, None) or Track(place, info)
        track.place = place
        return track

    def _all_tracks(self) -> list[Track]:
        return [*self._parked.values(), *(track for stack in self._stacks.values() for track in stack.tracks)]

    def _num_open(self) -> int:
        return sum(track.is_open for track in self._all_tracks())

    def _open_live(self, track: Track) -> None:
        try:
            self._runs.open(track)
        except Exception:  # tried once more when the stack ends; what is reported is that attempt
            track.run = None

    def _recover(self) -> bool:
        """If the server has gone: forget its open runs, which are then written offline as their stacks end."""
        if not self._runs.is_server_gone:
            return False
        for track in self._all_tracks():
            track.run = None
        self._runs.recover()
        return True

    def _end(self, tracks: Iterable[Track]) -> None:
        """Finish as failed the open runs: those whose stack never finished, or that broke."""
        self._each(lambda track: self._runs.finish(track, exit_code=1), [track for track in tracks if track.is_open])

    def _each(self, action: Callable[[Track], None], tracks: Sequence[Track], at_once: int = ONLINE_WORKERS) -> None:
        if self.mode == "online" and len(tracks) > 1:
            with ThreadPoolExecutor(min(ONLINE_WORKERS, self._cap, at_once)) as pool:
                list(pool.map(lambda track: self._guarded(action, track), tracks))
        else:
            for track in tracks:
                self._guarded(action, track)

    def _guarded(self, action: Callable[..., None], track: Track, *args: Any) -> None:
        try:
            action(track, *args)
        except Exception as error:
            self._problems.setdefault(track.trial_id, (run_name(track.info), first_line(error)))

    def _lines(self) -> list[str]:
        online, offline = (self._runs.written.count(mode) for mode in ("online", "offline"))
        lines = unused_variables() if online or offline else []
        lines += [f"W&B: {format_count(online, 'run')} at {self._runs.url}"] if online else []
        if offline:
            why = f" ({self._runs.choice.why})" if self._runs.choice.why else ""
            command = ["wandb"] if shutil.which("wandb") else [sys.executable, "-m", "wandb"]
            lines.append(f"W&B: {format_count(offline, 'run')} written offline{why}")
            lines.append(f"  browse: {shlex.join([*command, 'leet', str(self._tracking.directory / 'wandb')])}")
        if offline or self._problems:
            lines.append(upload_line(self._tracking))
        if reason := next((problem for _, problem in self._problems.values()), self._start_problem):
            labels = [label for label, _ in self._problems.values()]
            lines.append(warning_line(labels, "it could not start", f"First: {reason}"))
        return lines


def warning_line(incomplete: Sequence[str], otherwise: str, reason: str) -> str:
    """Which runs are incomplete, or what happened if none is, and why."""
    named = f"{format_count(len(incomplete), 'run')} incomplete ({format_first(incomplete, 2)})"
    what = named if incomplete else otherwise
    return f"W&B warning: {what}; training and the results store are not affected. {reason}"


def upload_line(tracking: Tracking) -> str:
    """The command that uploads these runs to the project that the launch names."""
    is_sure = tracking.project == DEFAULT_PROJECT and not os.environ.get("WANDB_PROJECT")
    options = [] if is_sure else ["--project", tracking.project]
    options += ["--entity", tracking.entity] if tracking.entity else []
    return f"  upload: {shlex.join(['python', '-m', 'initsuite.sync', str(tracking.directory), *options])}"
