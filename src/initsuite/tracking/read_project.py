"""A W&B project, read through the public API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from initsuite.errors import StoreError, bad_value
from initsuite.tracking.labels import JOB_TYPES
from initsuite.tracking.read_offline import ReadTrial, RunContent, as_trial, is_trial
from initsuite.tracking.settings import Tracking, require_online, server_name
from initsuite.wording import first_line

PER_PAGE = 200
AT_ONCE = 8
"""Runs fetched at once: each takes four requests that wait for the network."""

ENDED = ("finished", "failed")
"""States of a run that has all it will have; one that `crashed` may be completed by an upload."""

T = TypeVar("T")


@dataclass(frozen=True)
class ProjectRun:
    """A run of a project: its trial_id, a stamp that changes when the run does, its address, and W&B's own object."""

    run_id: str
    stamp: str
    url: str
    api: Any


class Project:
    """A project that the account can read.

    Args:
        name: `entity/project`, or `project` of the account's default entity.

    Raises:
        ConfigError: no API key, a server that does not answer, or a name that is no project's.
        StoreError: the server refuses.

    Attributes:
        path: `entity/project`.
        host: the server's name and port.
    """

    def __init__(self, name: str) -> None:
        self._source = f"wandb:{name}"
        if name.count("/") > 1 or not all(name.split("/")):
            raise bad_value("load_results", "source", self._source, "wandb:ENTITY/PROJECT, or wandb:PROJECT")
        entity, _, project = name.rpartition("/")
        tracking = Tracking(dir=".", mode="online", project=project, entity=entity or None)
        import wandb

        require_online("load_results: cannot read W&B", tracking, wandb)
        self._api = self._asked(wandb.Api)
        self.path = f"{entity or self._asked(lambda: self._api.default_entity)}/{project}"
        self.host = server_name(self._api.settings["base_url"])

    def runs(self) -> list[ProjectRun]:
        """The runs of trials that have ended. One request per page.

        Raises:
            StoreError: there is no such project for this account, or the server has stopped answering.
        """
        job_types = tuple(JOB_TYPES.values())
        filters = {"jobType": {"$in": list(job_types)}, "state": {"$in": list(ENDED)}}
        found = self._asked(lambda: list(self._api.runs(self.path, filters=filters, per_page=PER_PAGE)))
        return [
            ProjectRun(run.id, str(run.heartbeatAt), run.url, run)
            for run in found
            if run.jobType in job_types and run.state in ENDED  # whatever the server makes of the filters
        ]

    def read(self, runs: Sequence[ProjectRun]) -> Iterator[ReadTrial]:
        """The trials of runs, except those of an older version, which cannot be read back; raises as `runs`."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from filter(None, pool.map(lambda run: self._asked(lambda: _read(run)), runs))

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except Exception as error:
            raise StoreError(
                f"load_results: cannot read `source`={self._source!r}: {first_line(error)}. Expected a project that "
                "this account can read, as wandb:ENTITY/PROJECT. Look it up at your W&B server, and see `wandb login`."
            ) from error


def _read(run: ProjectRun) -> ReadTrial | None:
    api = run.api
    content = RunContent(run.run_id, api.jobType, str(api.createdAt), dict(api.config), dict(api.summary_metrics))
    if not is_trial(content):
        return None
    # Without W&B's own cache, which does not notice that a run has changed.
    content.history.extend(api.scan_history(use_cache=False))
    return as_trial(content)
