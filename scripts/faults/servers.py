"""W&B servers that misbehave: every result is stored, nothing hangs, and what they lack is sent again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.forks import run_forked
from initsuite.results.store import load_results
from initsuite.tracking.uploads import Uploads

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support.wandb_server import ANSWERS, SILENT, WandbServer, serving

ASKED = {
    "": "every question",
    "UpsertBucket": "who makes a run",
    "file_stream": "who sends the points of a run",
    "Run": "who asks what is there of a run",
}
"""Requests that are answered badly, by the names of `WandbServer.odd`."""
LIMIT_S = 600.0
"""After this time a launch of seconds hangs, however busy the machine is."""
LAUNCH = (
    "-m", "initsuite.train", "-m", "init=he,zero", "protocol=fixed", "optimizer.lr=0.1", "seeds=2", "max_steps=4",
    "eval_every=2", "tracking.probe_timeout_s=2", "tracking.finish_timeout_s=4", "results_dir=results",
)  # fmt: skip
NUM_TRIALS = 4


@dataclass(frozen=True)
class Answered:
    """A launch beside a server, and what went wrong."""

    behaviour: str
    problems: Sequence[str]


def outcomes(folder: Path, which: slice) -> Iterator[Answered]:
    """Each answer to each question in turn."""
    pairs = [(asked, answer) for asked in ASKED for answer in (*ANSWERS, *SILENT)]
    for number, (asked, answer) in list(enumerate(pairs))[which]:
        place = folder / f"server-{number}"
        place.mkdir()
        with serving() as server:
            server.odd = {asked: answer}
            problems = _problems(server, place)
        yield Answered(f"{answer} for {ASKED[asked]}", problems)


def _problems(server: WandbServer, place: Path) -> list[str]:
    home = {name: str(place / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "WANDB_CONFIG_DIR")}
    environment = {**home, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": ""}
    problems = _run(LAUNCH, place, environment, "the launch")
    results = place / "results"
    if not (results / "trials").is_dir():
        return [*problems, "nothing is stored"]
    losses = {str(name): curve.val_loss.tolist() for name, curve in load_results(results).curves.groupby("trial_id")}
    if len(losses) != NUM_TRIALS:
        problems.append(f"{len(losses)} of {NUM_TRIALS} trials are stored")
    if Uploads(results).ids() - has_all_of(server, losses):
        problems.append("runs count as uploaded, and are not")
    server.odd = {}
    problems += _run(["-m", "initsuite", "sync", "results"], place, environment, "sync with a good server")
    if losses.keys() - has_all_of(server, losses):
        problems.append("runs are not on the server after all")
    return problems


def has_all_of(server: WandbServer, losses: Mapping[str, Sequence[float]]) -> set[str]:
    """The trials of which a server has every point, with its validation loss, and the last values."""
    return {
        trial_id
        for trial_id, run in server.runs.items()
        if "result/test_accuracy" in run.summary and [item.get("val/loss") for item in run.history] == losses[trial_id]
    }


def _run(arguments: Sequence[str], place: Path, environment: Mapping[str, str], what: str) -> list[str]:
    done = run_forked(arguments, place, environment, LIMIT_S, 16 << 30)
    if done.code is None:
        return [f"{what} has no end after {LIMIT_S:g} s"]
    last = " ".join((done.stdout + done.stderr).strip().splitlines()[-1:])
    traceback = ["traceback"] if "Traceback" in done.stderr else []
    return traceback + ([f"{what} ends with {done.code}: {last[:200]}"] if done.code else [])
