"""The W&B sink: one real run per trial, live at each evaluation, never in the way of training.

A problem with W&B is caught, counted and told once at the end; the store holds every number either way.
"""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initsuite.errors import ConfigError
from initsuite.sinks.handles import affordable_runs
from initsuite.sinks.labels import run_config, run_group, run_name, run_summary
from initsuite.sinks.tracking import Choice, Tracking, choose_mode, needs_wandb
from initsuite.spec import Evaluation, Stage, Status, TrialInfo

CURVES = {"val/accuracy": "val_accuracy", "val/loss": "val_loss", "train/loss": "train_loss"}
"""Key in W&B -> field of an `Evaluation`."""

ONLINE_WORKERS = 64
"""Runs started or finished at once where each waits for the network: a last upload waits for its turn in the transmit
interval, so that fewer workers than runs multiply the wait. Offline a second worker gains nothing."""

TRANSMIT_INTERVAL_S = 5.0
"""Between two uploads of a run. W&B's own 15 s would be the wait at the end of every stack."""

INIT_TIMEOUT_S = 30.0
FINISH_TIMEOUT_S = 60.0
"""What the server may take to accept a run and its last values. W&B's own limits are 90 s and none."""


@dataclass
class _Track:
    """A trial that gets a W&B run: its place in the stack, and the run while it is open."""

    place: int
    info: TrialInfo
    run: Any = None
    file: Path | None = None

    @property
    def is_open(self) -> bool:
        return self.run is not None


class WandbSink:
    """Shows trials in Weights & Biases (`spec.Sink`). Make it with `wandb_sink`.

    Raises:
        ConfigError: `tracking.mode=online` without an API key, or an unknown `WANDB_MODE`.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._directory = Path(tracking.dir).expanduser().absolute()
        self._choice = Choice("disabled")
        self._cap = 0
        self._stack: list[_Track] = []
        self._evaluations: list[Evaluation] = []
        self._written: list[str] = []
        self._problems: dict[str, str] = {}
        self._url = ""
        try:
            import wandb

            self._wandb: Any = wandb
            # Before the choice, which starts W&B's service: a process keeps the limit that it was born with.
            self._cap = min(tracking.max_open_runs, affordable_runs())
            self._choice = choose_mode(tracking, wandb)
            (self._directory / "wandb").mkdir(parents=True, exist_ok=True)
        except ConfigError:
            raise
        except Exception as error:
            self._choice = Choice("disabled")
            self._note("start", error)

    def stack_started(self, stack_id: str, trials: Sequence[TrialInfo]) -> None:
        """Open a run for each trial of a tracked stage, up to `max_open_runs`."""
        self._abandon()
        if self._choice.mode == "disabled":
            return
        tracked = [(place, info) for place, info in enumerate(trials) if info.trial.stage in self._tracking.stages]
        self._stack = [_Track(place, info) for place, info in tracked]
        self._each(self._open_live, self._stack[: self._cap])

    def evaluated(self, stack_id: str, evaluation: Evaluation) -> None:
        """Log one evaluation to the open runs, and keep it for those that are written later."""
        if not self._stack:
            return
        self._evaluations.append(evaluation)
        for track in self._stack:
            if track.is_open:
                self._guarded(self._log, track, evaluation)

    def stack_finished(self, stack_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the runs that were not open, set every summary and finish every run."""
        self._each(lambda track: self._complete(track, rows[track.place]), self._stack)
        self._abandon()

    def stack_abandoned(self, stack_id: str) -> None:
        self._abandon()

    def close(self) -> list[str]:
        """Finish what is open (as failed); return how to browse and upload the runs, and what went wrong."""
        self._abandon()
        return self._lines()

    def _open_live(self, track: _Track) -> None:
        try:
            self._open(track)
        except Exception:  # tried once more when the stack ends; what is reported is that attempt
            track.run = None

    def _open(self, track: _Track) -> None:
        try:
            track.run = self._init(track.info)
        except Exception as error:
            if self._choice.mode != "online":
                raise
            self._choice = Choice("offline", f"the server stopped answering: {_first_line(error)}")
            track.run = self._init(track.info)
        # Where the run must be, not where it says it is: W&B turns to a temporary folder when it cannot write here.
        track.file = self._directory / "wandb" / Path(track.run.dir).parent.name / f"run-{track.run.id}.wandb"
        track.run.define_metric("step", hidden=True)
        for pattern in ("val/*", "train/*"):
            track.run.define_metric(pattern, step_metric="step")

    def _init(self, info: TrialInfo) -> Any:
        # A fresh Settings each time: W&B writes into the one it is given, and the next run would inherit the name.
        settings = self._wandb.Settings(
            mode=self._choice.mode,
            root_dir=str(self._directory),
            use_dot_wandb=False,
            project=self._tracking.project,
            entity=self._tracking.entity,
            run_id=info.trial.trial_id,
            run_name=run_name(info),
            run_group=run_group(info),
            run_job_type="tune" if info.trial.stage == Stage.TUNE else "train",
            run_tags=tuple(tag[:64] for tag in info.tags if tag),
            reinit="create_new",
            init_timeout=INIT_TIMEOUT_S,
            finish_timeout=FINISH_TIMEOUT_S,
            finish_timeout_raises=True,
            # The stop button of one run must not interrupt the whole sweep, which is W&B's default.
            stop_fn=lambda: None,
            silent=True,
            console="off",
            save_code=False,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_file_stream_transmit_interval=TRANSMIT_INTERVAL_S,
            x_save_requirements=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        return self._wandb.init(settings=settings, config=run_config(info))

    def _log(self, track: _Track, evaluation: Evaluation) -> None:
        values = {key: float(getattr(evaluation, name)[track.place]) for key, name in CURVES.items()}
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        # `commit`: an explicit step otherwise holds each evaluation back until the next one.
        track.run.log({"step": evaluation.step, **finite}, step=evaluation.step, commit=True)

    def _complete(self, track: _Track, row: Mapping[str, Any]) -> None:
        if not track.is_open:
            self._open(track)
            for evaluation in self._evaluations:
                self._log(track, evaluation)
        track.run.summary.update(run_summary(row))
        self._finish(track, exit_code=1 if row["status"] == Status.FAILED else 0)

    def _finish(self, track: _Track, exit_code: int) -> None:
        run, track.run = track.run, None
        if not run.offline:
            self._url = run.project_url or self._url
        run.finish(exit_code=exit_code)
        if track.file is None or not track.file.is_file() or track.file.stat().st_size == 0:
            raise OSError(f"no run file at {track.file}")
        self._written.append("offline" if run.offline else "online")

    def _abandon(self) -> None:
        """Finish as failed the runs that are still open: their stack never finished, or they broke."""
        self._each(lambda track: self._finish(track, exit_code=1), [t for t in self._stack if t.is_open])
        self._stack, self._evaluations = [], []

    def _each(self, action: Callable[[_Track], None], tracks: Iterable[_Track]) -> None:
        tracks = list(tracks)
        if self._choice.mode == "online" and len(tracks) > 1:
            with ThreadPoolExecutor(min(ONLINE_WORKERS, self._cap)) as pool:
                list(pool.map(lambda track: self._guarded(action, track), tracks))
        else:
            for track in tracks:
                self._guarded(action, track)

    def _guarded(self, action: Callable[..., None], track: _Track, *args: Any) -> None:
        try:
            action(track, *args)
        except Exception as error:
            self._note(track.info.trial.trial_id, error)

    def _note(self, subject: str, error: Exception) -> None:
        self._problems.setdefault(subject, _first_line(error))

    def _lines(self) -> list[str]:
        folder = shlex.quote(str(self._directory / "wandb"))
        command = "wandb" if shutil.which("wandb") else f"{shlex.quote(sys.executable)} -m wandb"
        online, offline = self._written.count("online"), self._written.count("offline")
        lines = [f"W&B: {_runs(online)} at {self._url}"] if online else []
        if offline:
            why = f" ({self._choice.why})" if self._choice.why else ""
            lines.append(f"W&B: {_runs(offline)} written offline{why}")
            lines.append(f"  browse: {command} leet {folder}")
            lines.append(f"  upload: {command} sync {folder}/offline-run-*")
        if self._problems and any((self._directory / "wandb").glob("run-*")):
            lines.append(f"  upload what the server missed: {command} sync --include-online {folder}/run-*")
        if self._problems:
            what = "it could not start" if "start" in self._problems else f"{_runs(len(self._problems))} incomplete"
            reason = next(iter(self._problems.values()))
            lines.append(f"W&B warning: {what}; training and the results store are not affected. First: {reason}")
        return lines


def wandb_sink(tracking: Tracking) -> WandbSink | None:
    """The sink for these settings; None, without importing wandb, where tracking is disabled.

    Raises:
        ConfigError: `tracking.mode=online` without an API key, or an unknown `WANDB_MODE`.
    """
    return WandbSink(tracking) if needs_wandb(tracking) else None


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _runs(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
