"""Kills at random moments: no trial is lost or stored twice, the bits are the same, nothing hangs or stays behind."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from initsuite.results.store import load_results

SLURM = Path(__file__).resolve().parents[2] / "tests" / "support" / "slurm"
PATIENCE_S = 1800.0
"""After this time a sweep of seconds hangs, however busy the machine is."""
TRIES = 5
"""So often a kill is tried, as a sweep may end before its moment."""
END_S = 60.0
"""How long processes may take to end after their launch."""
NOT_MEASURED = ["written_at", "wall_s", "setup_s", "commit", "dirty"]
"""Columns in which equal trials may differ."""
MARK = "INITSUITE_KILLS"
"""The variable by which processes of a sweep are known, whoever started them."""


@dataclass(frozen=True)
class Kind:
    """Something that can be killed.

    Attributes:
        overrides: how the sweep is launched.
        words: what the command line of a victim contains, any of them.
        survives: whether the launch goes on by itself.
    """

    overrides: Sequence[str]
    words: Sequence[str]
    survives: bool = True


ARRAY = ("cluster=slurm", "cluster.tasks=4", "cluster.at_once=2", "tracking=disabled")
KINDS = {
    "launch": Kind(["workers=2", "tracking=disabled"], ["initsuite.train"], survives=False),
    "worker": Kind(["workers=2", "tracking=disabled"], ["spawn_main"]),
    "W&B": Kind(["workers=2", "tracking=offline"], ["initsuite.tracking.writer"]),
    "task": Kind(ARRAY, ["submitit.core._submit", "initsuite.train"], survives=False),
    "Ray worker": Kind(["cluster=ray", "tracking=disabled"], ["ray::_train"]),
    "node": Kind(["cluster=ray", "tracking=disabled"], []),
}


@dataclass
class Sweep:
    """A sweep, and the results of an uninterrupted run of it on this machine.

    Attributes:
        trials: how many trials it has, in stacks of at most two per initializer.
        steps: of each trial.
    """

    folder: Path
    trials: int
    steps: int
    more: list[str] = field(default_factory=list)

    @property
    def overrides(self) -> list[str]:
        seeds = f"seeds={self.trials // 2}"
        lengths = [f"max_steps={self.steps}", "eval_every=20", "max_stack=2", "checkpoint_every_s=0"]
        return ["-m", "init=he,zero", "protocol=fixed", "optimizer.lr=0.1", seeds, *lengths, *self.more]

    def start(self, folder: Path, *overrides: str, mark: str = "") -> subprocess.Popen[str]:
        """The sweep, with its results in a folder."""
        command = [sys.executable, "-m", "initsuite.train", *self.overrides, *overrides, f"results_dir={folder}"]
        environment = {**os.environ, MARK: mark, "XDG_CACHE_HOME": str(self.folder / "cache")}
        output = folder.with_suffix(".log").open("a")
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output, text=True)

    def uninterrupted(self) -> Path:
        """Its results, which are trained once.

        Raises:
            RuntimeError: it cannot be trained.
        """
        folder = self.folder / "uninterrupted"
        if not folder.exists() and self.start(folder, "tracking=disabled").wait(PATIENCE_S):
            raise RuntimeError(folder.with_suffix(".log").read_text())
        return folder


def differences(folder: Path, expected: Path) -> list[str]:
    """What differs between the results of a sweep and those that it should have, in words."""
    found: list[str] = []
    ours, theirs = (load_results(one) for one in (folder, expected))
    for kind, keys in (("trials", ["trial_id"]), ("curves", ["trial_id", "step"])):
        got, wanted = (
            getattr(one, kind).drop(columns=NOT_MEASURED, errors="ignore").sort_values(keys, ignore_index=True)
            for one in (ours, theirs)
        )
        if lost := len(set(wanted.trial_id) - set(got.trial_id)):
            found.append(f"{lost} of {wanted.trial_id.nunique()} trials are missing in {kind}")
        elif not got.equals(wanted):
            columns = [name for name in wanted if len(got) != len(wanted) or not got[name].equals(wanted[name])]
            found.append(f"{kind} differ in {', '.join(columns)}")
    if (rows := rows_stored(folder)) != len(theirs.trials):
        found.append(f"{rows} rows for {len(theirs.trials)} trials")
    if left := [path.name for name in ("checkpoints", "claims") for path in (folder / name).glob("*")]:
        found.append(f"left in the folder: {', '.join(left[:3])}")
    return found


def rows_stored(folder: Path) -> int:
    return sum(len(pd.read_parquet(part)) for part in (folder / "trials").glob("*.parquet"))


def processes(mark: str, words: Sequence[str] = ()) -> list[int]:
    """Those of a sweep whose command line contains one of these words; without words, all of them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            is_ours = f"{MARK}={mark}".encode() in (folder / "environ").read_bytes()
            is_ray = line.startswith("ray::") and any(
                line.startswith(word) for word in words
            )  # its title is all it has
            is_asked = not words or any(word in line for word in words)
            if (is_ours or is_ray) and is_asked and "cluster=slurm" not in line:
                found.append(int(folder.name))
    return found


@dataclass(frozen=True)
class Killed:
    """A kill, and what went wrong after it; `victim` is "" where the sweep had ended before."""

    kind: str
    moment: str
    victim: str
    problems: Sequence[str]


@dataclass(frozen=True)
class _Running:
    """A launch, its results folder, and the mark of its processes."""

    launch: subprocess.Popen[str]
    folder: Path
    mark: str

    def has_trained(self, parts: int) -> bool:
        """Whether so many parts are stored, and a stack is in training."""
        is_training = any((self.folder / "checkpoints").glob("*.pt"))
        return is_training and len(list((self.folder / "trials").glob("*.parquet"))) >= parts


def kill_at_random(sweep: Sweep, kind: str, draw: random.Random, machines: Any = None) -> Killed:
    """Launch a sweep, kill something of it at a random moment, let it end, and look at what is there.

    Args:
        machines: the Ray cluster, for the kinds that need one.
    """
    expected, chosen = sweep.uninterrupted(), KINDS[kind]
    folder, mark = sweep.folder / uuid.uuid4().hex[:8], uuid.uuid4().hex
    overrides = [*chosen.overrides, *([f"cluster.address={machines.address}"] if machines else [])]
    running = _Running(sweep.start(folder, *overrides, mark=mark), folder, mark)
    parts = draw.randrange(len(list((expected / "trials").glob("*.parquet"))))
    victim = _kill(running, kind, parts, draw, machines)
    problems: list[str] = []
    try:
        code = running.launch.wait(PATIENCE_S)
        if code and chosen.survives:
            problems.append(f"exit code {code}")
        if code and sweep.start(folder, *overrides, mark=mark).wait(PATIENCE_S):
            problems.append("the same command failed, too")
        problems += _left_behind(mark) + differences(folder, expected)
    except subprocess.TimeoutExpired:
        running.launch.kill()
        problems.append(f"nothing for {PATIENCE_S:g} s")
    if not problems:
        shutil.rmtree(folder)
    return Killed(kind, f"after {parts} parts", victim, problems)


def _kill(running: _Running, kind: str, parts: int, draw: random.Random, machines: Any) -> str:
    """Wait until so many parts are stored, and a moment more, and kill; says what, "" where nothing was left."""
    begin = time.monotonic()
    while running.launch.poll() is None and not running.has_trained(parts) and time.monotonic() - begin < PATIENCE_S:
        time.sleep(0.02)
    time.sleep(draw.random() * 0.5)
    if kind == "node":
        machines.remove_node(draw.choice(list(machines.worker_nodes)), allow_graceful=False)
        machines.add_node(num_cpus=1)
        return "a machine"
    victims = [running.launch.pid] if kind == "launch" else processes(running.mark, KINDS[kind].words)
    if not victims:
        return ""
    victim = draw.choice(victims)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    return f"process {victim}"


def _left_behind(mark: str) -> list[str]:
    deadline = time.monotonic() + END_S
    while (left := processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"{len(left)} processes are left"] if left else []


@contextlib.contextmanager
def slurm_daemons(folder: Path) -> Iterator[None]:
    """A real SLURM of this machine for a `with` block; it needs root and Debian's packages slurm-wlm and munge.

    Raises:
        RuntimeError: it cannot be started.
    """
    done = subprocess.run(["bash", SLURM / "start.sh", folder], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(done.stderr)
    before, os.environ["SLURM_CONF"] = os.environ.get("SLURM_CONF"), str(folder / "slurm.conf")
    try:
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], check=False, timeout=60)
        subprocess.run(["bash", SLURM / "stop.sh", folder], check=False, timeout=60)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


@contextlib.contextmanager
def ray_machines(count: int, head_cpus: int = 0) -> Iterator[Any]:
    """A Ray cluster of so many machines with one core each, all of them here, and a head that may have some, too."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # else last of all on a busy machine
    from ray.cluster_utils import Cluster

    head = {"num_cpus": head_cpus, "include_dashboard": False}
    machines = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            machines.add_node(num_cpus=1)
        yield machines
    finally:
        machines.shutdown()


def without(kind: str) -> str:
    """Why a kind cannot be killed here; "" if it can."""
    if kind == "task" and (os.geteuid() != 0 or not shutil.which("slurmctld") or not shutil.which("munged")):
        return "SLURM's daemons need root, and Debian's packages slurm-wlm and munge"
    if kind in ("Ray worker", "node"):
        with contextlib.suppress(ImportError):
            import ray  # noqa: F401

            return ""
        return "ray is not installed: pip install initsuite[ray]"
    return ""


def outcomes(
    sweep: Sweep, which: Sequence[int], seed: int, kinds: Sequence[str], say: Callable[[str], None]
) -> Iterator[Killed]:
    """The kills of these numbers, the kinds in turn; what a kind needs is started once.

    Args:
        seed: with the number of a kill, it decides the moment, so that those after a given one can be run alone.
    """
    with contextlib.ExitStack() as open_ones:
        possible = []
        for kind in kinds:
            if why := without(kind):
                say(f"Without kills of a {kind}: {why}.")
            else:
                possible.append(kind)
        if "task" in possible:
            open_ones.enter_context(slurm_daemons(sweep.folder / "slurm"))
        needs_ray = {"Ray worker", "node"} & set(possible)
        machines = open_ones.enter_context(ray_machines(3)) if needs_ray else None
        for index in which if possible else ():
            kind = possible[index % len(possible)]
            draw = random.Random(f"{seed}-{index}")
            found, tries = Killed(kind, "", "", []), 0
            while not found.victim and not found.problems and (tries := tries + 1) <= TRIES:
                found = kill_at_random(sweep, kind, draw, machines if kind in needs_ray else None)
            yield found if found.victim else replace(found, problems=[*found.problems, "it never came in time"])
