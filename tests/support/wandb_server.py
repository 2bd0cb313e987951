"""A loopback stand-in for the W&B server that keeps runs as the real one does, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import itertools
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import yaml

ANSWERS: dict[str, tuple[int, bytes]] = {
    **{str(status): (status, b'{"errors": [{"message": "no"}]}') for status in (400, 401, 403, 404, 409, 429, 500)},
    "a page of a proxy": (502, b"<html>Bad gateway</html>"),
    "a page": (200, b"<html>Welcome</html>"),
    "nothing": (200, b""),
    "null": (200, b"null"),
    "a list": (200, b"[]"),
    "a number": (200, b'{"data": 5}'),
    "empty data": (200, b'{"data": {}}'),
    "errors": (200, b'{"errors": [{"message": "no"}], "data": null}'),
    "no text": (200, b"\xff\xfe\x00"),
}
"""What a server may answer in place of what it should, by name: a status and a body."""
SILENT = {"a silence": 0, "the end of the connection": 0, "half an answer": 10}
"""Further ones, which end without an answer or within it: how many bytes of it come."""


@dataclass
class ServerRun:
    """What the server has of one run.

    Attributes:
        made: the variables of the requests that made or changed it, oldest first.
        files: lines by file name, each at the offset that the client gave.
        exit_code: None while it runs.
        created_at, heartbeat_at: ISO times.
    """

    made: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[int, str]] = field(default_factory=dict)
    exit_code: int | None = None
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    heartbeat_at: str = ""

    def lines(self, file: str) -> list[dict[str, Any]]:
        return [json.loads(line) for _, line in sorted(self.files.get(file, {}).items())]

    @property
    def history(self) -> list[dict[str, Any]]:
        return self.lines("wandb-history.jsonl")

    @property
    def summary(self) -> dict[str, Any]:
        return (self.lines("wandb-summary.json") or [{}])[-1]

    @property
    def config(self) -> dict[str, Any]:
        configs = [json.loads(made["config"]) for made in self.made if made.get("config")]
        return {key: item["value"] for key, item in configs[-1].items() if not key.startswith("_")}

    def as_node(self) -> dict[str, Any]:
        """What the public API gets when it lists runs or asks for one."""
        state = {None: "running", 0: "finished"}.get(self.exit_code, "failed")
        made = self.made[0]
        return {
            "projectId": "1",
            "id": "b",
            "name": made["name"],
            "displayName": made["displayName"],
            "state": state,
            "group": made.get("groupName"),
            "jobType": made.get("jobType"),
            "tags": made.get("tags") or [],
            "createdAt": self.created_at,
            "heartbeatAt": self.heartbeat_at,
            "historyLineCount": len(self.history),
            "config": self.made[-1].get("config") or "{}",
            "summaryMetrics": json.dumps(self.summary),
            "systemMetrics": "{}",
            "user": {"name": "someone", "username": "someone"},
            **dict.fromkeys(("sweepName", "commit", "description", "notes")),
            "readOnly": False,
            "historyKeys": self.history_keys(),
        }

    def history_keys(self) -> dict[str, Any]:
        return {"lastStep": max((item["_step"] for item in self.history), default=-1), "keys": {}}

    def resume_status(self) -> dict[str, Any]:
        history = [line for _, line in sorted(self.files.get("wandb-history.jsonl", {}).items())]
        return {
            "id": "b",
            "name": self.made[0]["name"],
            "displayName": self.made[0]["displayName"],
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(self.summary),
            "config": self.made[-1].get("config") or "{}",
            "tags": self.made[0].get("tags") or [],
            "wandbConfig": json.dumps({"t": {"value": 1}}),
        }


class WandbServer(http.server.ThreadingHTTPServer):
    """Answers what wandb-core asks while it makes, resumes and fills runs.

    Attributes:
        runs: by run id.
        fault: "" for a good server, "500" for one that answers nothing else, "hang" for one that never answers.
        faulty_after: runs that are made well before the fault is felt.
        odd: what is answered, of `ANSWERS` and `SILENT`, to requests of a kind: the name of an operation of GraphQL,
            `file_stream`, or "" for every request.
        broken: run ids whose contents are answered with `broken_status`, whatever the fault.
        lost: by run id, what its contents are answered with while nothing of them is kept.
        swallowed: run ids of which the next contents are lost so.
        asked: operation and variables of each GraphQL request, oldest first.
        uploads: by name, the content of files that are not streamed, such as tables and images.
        sweep: what `wandb sweep` made, as YAML; agents get its grid, one combination after another.
        grid: the combinations that no agent has got, values by name.
        agents_runs: ids of the runs that agents were told to start.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, ServerRun] = {}
        self.fault = ""
        self.faulty_after = 0
        self.odd: dict[str, str] = {}
        self.broken: set[str] = set()
        self.broken_status = 500
        self.lost: dict[str, bytes] = {}
        self.swallowed: set[str] = set()
        self.ending = threading.Event()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.uploads: dict[str, bytes] = {}
        self.sweep = ""
        self.grid: list[dict[str, Any]] = []
        self.agents_runs: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client may hang up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def is_faulty(self) -> bool:
        return bool(self.fault) and len(self.runs) >= self.faulty_after

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        name = _operation(query)
        self.asked.append((name, variables))
        if name == "UpsertBucket":
            run = self.runs.setdefault(variables["name"], ServerRun())
            run.made.append(variables)
            project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "someone"}}
            bucket = {"id": "b", "name": variables["name"], "displayName": run.made[0]["displayName"], "config": "{}"}
            return {"upsertBucket": {"bucket": {**bucket, "project": project}, "inserted": len(run.made) == 1}}
        if name == "RunResumeStatus":
            run = self.runs.get(variables["name"])
            return {"model": {"id": "p", "name": variables["project"], "bucket": run and run.resume_status()}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{self.url}/upload/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if name in ("Viewer", "GetDefaultEntity"):
            return {"viewer": {"id": "e", "entity": "someone", "username": "someone", "flags": "{}", "teams": None}}
        if name == "Runs":
            return {"project": self.listing()}
        if name == "GetProjects":
            return {
                "models": {"pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}, "edges": []}
            }
        if name == "CreateProject":
            return {"result": {"project": None, "model": None, "inserted": True}}
        if name in ("UpsertSweep", "SweepWithRuns", "CreateAgent", "Heartbeat"):
            return self._of_sweep(name, variables)
        if name == "ProjectInternalId":
            return {"project": {"id": "p", "internalId": "1"}}
        if name in ("UpsertView2", "upsertView"):
            view = {
                "id": variables.get("id") or f"view{len(self.asked)}",
                "name": variables["name"],
                "type": variables["type"],
            }
            project = {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]}
            shown = {"displayName": variables["displayName"], "description": variables["description"]}
            times = {"updatedAt": "2026-01-01T00:00:00Z"}
            view = {**view, **shown, **times, "project": project, "spec": variables["spec"]}
            return {"upsertView": {"view": view, "inserted": not variables.get("id")}}
        if name in ("Run", "RunHistoryKeys", "RunParquetHistory", "HistoryPage"):
            run = self.runs.get(variables.get("run") or variables.get("runName") or variables["name"])
            return {"project": {"run": run and self._of_run(name, run, variables)}}
        if name == "CreateArtifact":  # one that is there already, so that nothing is uploaded for it
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}}}
        return {"project": None} if name == "ArtifactType" else {}

    def _of_sweep(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        if name == "UpsertSweep":
            self.sweep = variables["config"]
            parameters = yaml.safe_load(self.sweep)["parameters"]
            values = itertools.product(*(parameter["values"] for parameter in parameters.values()))
            self.grid = [dict(zip(parameters, combination, strict=True)) for combination in values]
            project = {"id": "p", "name": variables["projectName"], "entity": {"id": "e", "name": "someone"}}
            return {"upsertSweep": {"sweep": {"name": "grid", "project": project}, "configValidationWarnings": []}}
        if name == "SweepWithRuns":
            return {"project": {"sweep": {"id": "s", "name": "grid", "config": self.sweep, "runs": {"edges": []}}}}
        if name == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent"}}}
        commands = [] if json.loads(variables["runState"]) else [self._next_command()]
        return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(commands)}}

    def _next_command(self) -> dict[str, Any]:
        if not self.grid:
            return {"type": "exit"}
        self.agents_runs.append(f"agents{len(self.agents_runs)}")
        values = {name: {"value": value} for name, value in self.grid.pop(0).items()}
        return {"type": "run", "run_id": self.agents_runs[-1], "program": "", "args": values}

    def listing(self) -> dict[str, Any]:
        """All runs on one page, whatever the filters, as the client lists them: without what it asks for later."""
        heavy = {"config", "summaryMetrics", "systemMetrics", "historyKeys"}
        nodes = {name: run.as_node().items() for name, run in self.runs.items()}
        edges = [
            {"node": {key: value for key, value in node if key not in heavy}, "cursor": name}
            for name, node in nodes.items()
        ]
        page = {"endCursor": None, "hasNextPage": False}
        return {
            "internalId": "1",
            "readOnly": False,
            "runCount": len(edges),
            "runs": {"edges": edges, "pageInfo": page},
        }

    @staticmethod
    def _of_run(name: str, run: ServerRun, variables: dict[str, Any]) -> dict[str, Any]:
        if name == "Run":
            return run.as_node()
        if name == "RunHistoryKeys":
            return {"historyKeys": run.history_keys()}
        if name == "RunParquetHistory":
            return {"parquetHistory": {"parquetUrls": [], "liveData": run.history}}
        if name == "HistoryPage":
            first, end = variables["minStep"], variables["maxStep"]
            return {"history": [json.dumps(item) for item in run.history if first <= item["_step"] < end]}
        return {}

    def stream(self, run_id: str, part: dict[str, Any]) -> None:
        run = self.runs[run_id]
        run.heartbeat_at = datetime.now(UTC).isoformat()
        for file, chunk in (part.get("files") or {}).items():
            lines = run.files.setdefault(file, {})
            lines |= {chunk["offset"] + index: line for index, line in enumerate(chunk["content"])}
        if part.get("complete"):
            run.exit_code = part["exitcode"]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.is_answered_oddly(body):
            return
        if self.server.is_faulty and self.server.fault == "hang":
            self.server.ending.wait()
        status, reply, content = 500 if self.server.is_faulty else 200, {}, None
        if status == 200 and self.path.endswith("/graphql"):
            request = json.loads(body)
            reply = {"data": self.server.graphql(request["query"], request.get("variables") or {})}
        elif status == 200 and self.path.startswith("/upload/"):
            self.server.uploads[unquote(self.path.removeprefix("/upload/"))] = body
        elif status == 200 and self.path.endswith("/file_stream"):
            run_id = self.path.split("/")[-2]
            if run_id in self.server.broken:
                status = self.server.broken_status
            elif run_id in self.server.lost:
                content = self.server.lost[run_id]
            elif run_id in self.server.swallowed:
                self.server.swallowed.discard(run_id)
            else:
                self.server.stream(run_id, json.loads(body))
        self.send(status, json.dumps(reply).encode() if content is None else content)

    def send(self, status: int, content: bytes, missing: int = 0) -> None:
        """Answer; with the length of more bytes than come, where some are missing."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) + missing))
        self.end_headers()
        self.wfile.write(content if self.command != "HEAD" else b"")

    def is_answered_oddly(self, body: bytes) -> bool:
        asked = self.path.rpartition("/")[2]
        if asked == "graphql":
            asked = _operation(json.loads(body)["query"])
        odd = self.server.odd.get(asked, self.server.odd.get(""))
        if odd is None:
            return False
        if odd in ANSWERS:
            self.send(*ANSWERS[odd])
            return True
        if odd == "a silence":
            self.server.ending.wait()
        if SILENT[odd]:
            self.send(200, b'{"data": {'[: SILENT[odd]], missing=50)
        self.close_connection = True
        return True

    do_HEAD = do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: object) -> None: ...


def _operation(query: str) -> str:
    found = re.search(r"(?:query|mutation)\s+(\w+)", query)
    return found.group(1) if found else ""


@contextlib.contextmanager
def serving() -> Iterator[WandbServer]:
    """A good server, for a `with` block."""
    with WandbServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.ending.set()
        server.shutdown()
