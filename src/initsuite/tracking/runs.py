"""One W&B run for one trial: opened, logged to, finished, and checked to be on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from initsuite.spec import Evaluation, Status, TrialInfo
from initsuite.tracking.agent import AgentRun
from initsuite.tracking.confirm import Confirmation
from initsuite.tracking.labels import JOB_TYPES, curve_keys, run_config, run_group, run_name, run_rest, run_summary
from initsuite.tracking.service import replace_service, within
from initsuite.tracking.settings import Choice, Tracking
from initsuite.tracking.uploads import Uploads
from initsuite.wording import first_line

TRANSMIT_INTERVAL_S = 5.0
"""Time between two uploads of a run. W&B's own 15 s would be the wait at the end of every stack."""

FATAL = "filestream: fatal error: "
"""How W&B's log reports that it gave up a run."""

PATIENCE = 0.5
"""Share of `finish_timeout_s` that the server may take to accept a run, or its last values, so that the outcome is
known while somebody still waits for it. W&B's own limits are 90 s and none."""

LEAN: dict[str, Any] = {
    "use_dot_wandb": False, "reinit": "create_new", "silent": True, "console": "off",
    "disable_code": True, "disable_git": True,
    "x_save_requirements": False, "x_disable_meta": True, "x_disable_stats": True,
}  # fmt: skip
"""Settings of every run: nothing on the screen, and nothing recorded that nobody asked for."""


@dataclass
class Track:
    """A trial that gets a W&B run: its place in the stack, the run while it is open, and the steps of its points."""

    place: int
    info: TrialInfo
    run: Any = None
    steps: set[int] = field(default_factory=set)

    @property
    def trial_id(self) -> str:
        return self.info.trial.trial_id

    @property
    def is_open(self) -> bool:
        return self.run is not None


class Runs:
    """Writes runs online or offline.

    An online server that stops answering turns the choice to offline; `recover` makes it possible to write there.

    Attributes:
        choice: where the next run goes.
        written: online or offline, for each run that was finished.
        url: address of the project, once an online run was finished.
        is_server_gone: an online server has stopped answering, and W&B's process still waits for it.
    """

    def __init__(self, tracking: Tracking, directory: Path, wandb: Any, choice: Choice) -> None:
        self.tracking, self.directory, self.choice = tracking, directory, choice
        self.written: list[str] = []
        self.url = ""
        self.is_server_gone = False
        self._wandb, self._uploads = wandb, Uploads(directory)
        self._patience_s = PATIENCE * tracking.finish_timeout_s
        self._confirmation = Confirmation(wandb, self._patience_s)

    def open(self, track: Track, **options: Any) -> None:
        """Start the run of a trial.

        Args:
            track: the trial.
            options: further settings of the run.

        Raises:
            ConnectionError: the server has gone, and `recover` was not called yet.
            Exception: whatever W&B raises.
        """
        if self.is_server_gone:
            raise ConnectionError(self.choice.why)
        choice = self.choice  # of this attempt: runs that are opened beside it may find the server gone first
        try:
            track.run = self._init(track.info, choice, options)
        except Exception as error:
            if choice.mode == "online":
                self._go_offline(error)
            raise
        track.run.define_metric("step", hidden=True)
        for pattern in ("val/*", "train/*"):
            track.run.define_metric(pattern, step_metric="step")

    def log(self, track: Track, evaluation: Evaluation) -> None:
        """One point of each curve; a value that is not finite is left out, since W&B would show it as text."""
        keys = curve_keys(track.info.config["dataset"]["metric"])
        values = {key: float(getattr(evaluation, name)[track.place]) for key, name in keys.items()}
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        # `commit`: an explicit step otherwise holds each evaluation back until the next one.
        track.run.log({"step": evaluation.step, **finite}, step=evaluation.step, commit=True)
        track.steps.add(evaluation.step)

    def complete(self, track: Track, row: Mapping[str, Any]) -> None:
        """Write the summary of a stored row, end the run, and remember it once the server has all of it.

        Raises:
            IncompleteRunError: the server said that it took the run, and lacks a part of it.
            Exception: as `finish`.
        """
        is_online, project_url = not track.run.offline, track.run.project_url
        path = f"{track.run.entity}/{track.run.project}/{track.trial_id}"
        is_failed = row["status"] == Status.FAILED
        summary = {**run_summary(row), **run_rest(row)}
        track.run.summary.update(summary)
        self.finish(track, exit_code=int(is_failed))
        if is_online:
            self._confirmation.check(path, len(track.steps), summary)
            url = f"{project_url}/runs/{track.trial_id}" if project_url else ""
            self._uploads.add(track.trial_id, is_failed=is_failed, url=url)

    def finish(self, track: Track, exit_code: int) -> None:
        """End a run.

        Raises:
            TimeoutError: the server did not take it in time.
            ConnectionError: the server refused some of it, or had stopped answering before.
            OSError: the file of the run is not there.
            Exception: whatever W&B raises.
        """
        run, track.run = track.run, None
        # Where the run must be, not where it says it is: W&B turns to a temporary folder when it cannot write here.
        file = self.directory / "wandb" / Path(run.dir).parent.name / f"run-{run.id}.wandb"
        if run.offline:
            run.finish(exit_code=exit_code)
        else:
            self._finish_online(run, exit_code)
        if not file.is_file() or file.stat().st_size == 0:
            raise OSError(f"no run file at {file}")
        self.written.append("offline" if run.offline else "online")

    def write_agents(self, agent: AgentRun) -> None:
        """Write the run that `wandb agent` waits for; raises whatever W&B raises."""
        place = {"root_dir": str(self.directory), "project": self.tracking.project, "entity": self.tracking.entity}
        agent.write(self._wandb, {**LEAN, "mode": self.choice.mode, **place})

    def recover(self) -> None:
        """Be ready to write offline after a server has gone. Online runs that are still open are lost."""
        replace_service(self._wandb)
        self.is_server_gone = False

    def _finish_online(self, run: Any, exit_code: int) -> None:
        self.url = run.project_url or self.url
        if self.is_server_gone:  # one run has waited for it in vain: the others do not
            raise ConnectionError(self.choice.why)
        try:
            within(self._patience_s, lambda: run.finish(exit_code=exit_code))
        except Exception as error:
            self._go_offline(error)
            raise
        if problem := refusal(Path(run.settings.log_internal)):
            raise ConnectionError(problem)

    def _go_offline(self, error: Exception) -> None:
        self.is_server_gone = True
        if self.choice.mode == "online":
            self.choice = Choice("offline", f"the server stopped answering: {first_line(error)}")

    def _init(self, info: TrialInfo, choice: Choice, options: Mapping[str, Any]) -> Any:
        # A fresh Settings each time: W&B writes into the one it is given, and the next run would inherit the name.
        settings = self._wandb.Settings(
            **LEAN,
            **options,
            mode=choice.mode,
            root_dir=str(self.directory),
            project=self.tracking.project,
            entity=self.tracking.entity,
            run_id=info.trial.trial_id,
            run_name=run_name(info),
            run_group=run_group(info),
            run_job_type=JOB_TYPES[info.trial.stage],
            run_tags=tuple(dict.fromkeys(tag[:64] for tag in (*info.tags, *self.tracking.tags) if tag)),
            init_timeout=self._patience_s,
            # The stop button of one run must not interrupt the whole sweep, which is W&B's default.
            stop_fn=lambda: None,
            save_code=False,
            disable_job_creation=True,
            x_file_stream_transmit_interval=TRANSMIT_INTERVAL_S,
            x_disable_machine_info=True,
        )
        return self._wandb.init(settings=settings, config=run_config(info))


def refusal(log: Path) -> str:
    """Why the server refused a part of a run, "" where it took everything: what its `debug-internal.log` says.

    W&B gives up a stream that is answered with 403 or 404, yet `finish` ends well. (wandb 0.31; a test against a
    refusing server fails when the text of its log changes.)
    """
    for line in log.read_text(errors="replace").splitlines():
        if FATAL in line:
            return str(json.loads(line)["msg"]).removeprefix(FATAL)
    return ""
