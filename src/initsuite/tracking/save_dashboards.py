"""Saves the dashboards to a W&B server: a run with the exact tables and figures, the workspace and the report."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from initsuite.errors import InitsuiteError, StoreError
from initsuite.files import read_json, write_whole
from initsuite.tracking.dashboard_spec import TITLE, Content, report, workspace
from initsuite.tracking.labels import REPORT_JOB_TYPE
from initsuite.tracking.runs import LEAN, refusal
from initsuite.tracking.service import replace_service, within
from initsuite.tracking.settings import Tracking, require_online, server_name
from initsuite.wording import first_line

T = TypeVar("T")


class Saver:
    """The account that dashboards are saved to.

    Args:
        tracking: its server, project and entity; `finish_timeout_s` is how long each step may wait for the server.

    Raises:
        ConfigError: no API key, or a server that does not answer.
        InitsuiteError: a server that refuses.

    Attributes:
        entity: the user or team that it saves to.
    """

    def __init__(self, tracking: Tracking) -> None:
        import wandb

        require_online("dashboard: cannot save", tracking, wandb)
        self._wandb, self._tracking = wandb, tracking
        api = self._asked("the account", wandb.Api)
        self.entity = tracking.entity or str(self._asked("the account", lambda: api.default_entity))
        self._memory = tracking.folder / "dashboards.json"
        """Which workspace and report were saved, so that the next call changes them."""
        self._place = f"{server_name(api.settings['base_url'])}/{self.entity}/{tracking.project}"

    def save(self, content: Content, tables: Mapping[str, pd.DataFrame], figures: Sequence[Path]) -> dict[str, str]:
        """Save the run, then the workspace and the report; what an earlier call has saved is changed.

        Args:
            content: what the dashboards show.
            tables: by name, logged as they are.
            figures: PNG files.

        Returns:
            The address of each, by name.

        Raises:
            ConfigError: `wandb-workspaces` is not installed.
            InitsuiteError: the server refuses, or does not answer in time.
        """
        view = workspace(content)  # before anything is saved: the library may be missing
        run = self._asked("the run of the report", lambda: self._save_run(content, tables, figures))
        known = (read_json(self._memory) or {}).get(self._place, {})
        view = self._asked("the workspace", lambda: _save_workspace(view, known.get("workspace")))
        page = self._asked("the report", lambda: _save_report(report(content, is_online=True), known.get("report")))
        self._remember({"workspace": [view._internal_name, view._internal_id], "report": page.id})
        return {"Workspace": view.url, "Report": page.url, "Exact tables": run}

    def _save_run(self, content: Content, tables: Mapping[str, pd.DataFrame], figures: Sequence[Path]) -> str:
        wandb, directory = self._wandb, self._tracking.directory
        settings = wandb.Settings(
            **LEAN,
            mode="online",
            root_dir=str(directory),
            project=content.project,
            entity=content.entity,
            run_id=content.report_run,
            run_name=TITLE,
            run_job_type=REPORT_JOB_TYPE,
            resume="allow",
            init_timeout=self._tracking.finish_timeout_s,
        )
        self._tracking.folder.mkdir(parents=True, exist_ok=True)
        run, exit_code = wandb.init(settings=settings), 1
        try:
            logged = {name: wandb.Table(dataframe=table, allow_mixed_types=True) for name, table in tables.items()}
            images = {f"figures/{path.stem}": wandb.Image(str(path)) for path in figures}
            run.log({**logged, **images})
            exit_code = 0
        finally:
            run.finish(exit_code=exit_code)
        if problem := refusal(Path(run.settings.log_internal)):
            raise ConnectionError(problem)
        return run.url

    def _asked(self, what: str, question: Callable[[], T]) -> T:
        try:
            return within(self._tracking.finish_timeout_s, question)
        except InitsuiteError:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError):  # W&B's process would wait for the server, and this one for it
                replace_service(self._wandb)
            raise InitsuiteError(
                f"dashboard: cannot save: W&B has not taken {what}: {first_line(error)}. Expected a server that takes "
                f"it within {self._tracking.finish_timeout_s:g} s. Look at your network, at --project and --entity, "
                "and run the same command again."
            ) from error

    def _remember(self, saved: Mapping[str, Any]) -> None:
        """Without this memory the next call saves others beside these."""
        text = json.dumps({**(read_json(self._memory) or {}), self._place: saved}, indent=2)
        with contextlib.suppress(StoreError):
            write_whole(self._memory, lambda path: path.write_text(text, encoding="utf-8"))


def _save_workspace(view: Any, known: Sequence[str] | None) -> Any:
    if not known:
        return view.save()
    view._internal_name, view._internal_id = known
    with contextlib.suppress(Exception):
        return view.save()
    return view.save_as_new_view()  # somebody has deleted it


def _save_report(page: Any, known: str | None) -> Any:
    if not known:
        return page.save()
    page.id = known
    with contextlib.suppress(Exception):
        return page.save()
    return page.save(clone=True)  # somebody has deleted it
