"""Stacks as tasks of a Ray cluster, whose machines need share no disk with this process.

A worker gets the executor, with all data sets, once, through Ray's object store; with each task it gets the checkpoint
of its stack. It streams back the events of `train/events.py`, and its checkpoints, which this process stores: so that
whoever gets the stack after the loss of a machine goes on from there.
"""

from __future__ import annotations

import logging
import math
import queue
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from initsuite.config.cluster import Ray
from initsuite.engine.checkpoint import put_checkpoint
from initsuite.errors import ClusterError
from initsuite.provenance import package_version
from initsuite.train.cluster.capacity import num_fitting, reserved, shortage
from initsuite.train.events import Emit, Event, Note
from initsuite.train.executor import Executor
from initsuite.train.parts import Part, Parts
from initsuite.train.task import Done, Task, checkpoint_path
from initsuite.train.workers import by_value
from initsuite.wording import last_line

KNOCK_S = 10.0
"""How long the head of a cluster may take to answer, seconds."""
POLL_S = 1.0
"""The longest time without a look at what signals and machines do, seconds."""


@dataclass(frozen=True)
class _Saved:
    """A stack has a new checkpoint."""

    stack_id: str
    content: bytes


class Nodes:
    """The workers of a Ray cluster; it is reached when it is first needed.

    Args:
        executor: copied into each worker; its `checkpoints` are here.
    """

    def __init__(self, executor: Executor, cluster: Ray) -> None:
        self.cluster, self.executor = cluster, executor
        self.is_on_gpus = torch.device(executor.device).type == "cuda"
        self._is_ours = False
        self._sent: tuple[str, Any] | None = None  # a name of what is in the object store, and the reference to it
        self._reserved = reserved(cluster, is_on_gpu=self.is_on_gpus)
        self._machines: list[dict[str, float]] = []  # the resources of those that were there at the last look
        self._looked_at = -math.inf
        self._is_told = False

    def count(self) -> int:
        """How many stacks are to be trained at the same time: what the machines have room for now, 1 at least.

        Raises:
            ClusterError: there is no cluster.
        """
        return self.cluster.at_once or max(1, self._room())

    def run(self, tasks: Iterator[Task], emit: Emit, done: Done) -> None:
        """Train tasks until there are no more; `emit` and `done` are called in this process.

        What `emit` raises, and Ctrl-C, end all tasks at once; the next start goes on from their last checkpoints.

        Raises:
            ClusterError: there is no cluster, or its workers cannot do this work.
        """
        ray, parts = self._ray(), Parts(tasks, emit, done)
        busy: dict[Any, Part] = {}
        try:
            while True:
                while len(busy) < self.count() and (part := parts.next()):
                    busy[self._submit(part.task)] = part
                if not busy:
                    return
                if not self._is_told and not self._room():
                    self._is_told = True
                    emit(Note(shortage(self._reserved, self._machines)))
                ready, _ = ray.wait(list(busy), timeout=POLL_S)
                for stream in ready:
                    if self._step(stream, busy[stream], parts, emit):
                        del busy[stream]
        finally:
            for stream in busy:
                ray.cancel(stream, force=True)

    def forget(self, executor: Executor) -> None:
        """Send this executor with the next task, in place of the one before."""
        self.executor, self._sent = executor, None

    def end(self) -> None:
        """Leave the cluster, or end the one that was made here."""
        if self._is_ours:
            self._ray().shutdown()
            self._is_ours = False

    def _ray(self) -> Any:
        """The library, connected."""
        import ray

        if not ray.is_initialized():
            address = self.cluster.address
            more: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
            more["runtime_env"] = self.cluster.runtime_env
            try:
                _knock(address)
                ray.init(address, log_to_driver=False, logging_level=logging.WARNING, **more)
            except (OSError, RuntimeError, ValueError) as error:
                why = last_line(str(error)).rstrip(".")
                raise ClusterError(
                    f"cluster=ray: no cluster at `cluster.address`={address!r}: {why}. Expected one that this machine "
                    "is part of. Start one with `ray start --head`, or use cluster.address=local."
                ) from error
            self._is_ours = True
        return ray

    def _room(self) -> int:
        """How many stacks the machines have room for, looked at when the last look is old."""
        if time.monotonic() - self._looked_at >= POLL_S:
            self._machines = [node["Resources"] for node in self._ray().nodes() if node["Alive"]]
            self._looked_at = time.monotonic()
        return num_fitting(self._reserved, self._machines)

    def _submit(self, task: Task) -> Any:
        ray = self._ray()
        if not self._sent:
            try:
                self._sent = uuid.uuid4().hex, ray.put(by_value(self.executor))
            except Exception as error:  # a class that cannot be pickled, for example
                raise ClusterError(
                    f"cluster=ray: what is trained cannot be sent to other machines: {last_line(str(error))}. Expected "
                    "classes of modules that all of them can import. Move yours into a file, or use cluster=local."
                ) from error
        snapshot = None
        if (
            self.executor.checkpoints
            and (path := checkpoint_path(self.executor.checkpoints, task.stack.stack_id)).exists()
        ):
            snapshot = path.read_bytes()
        remote = ray.remote(num_returns="streaming", max_retries=0, **self._reserved)(_train)
        name, reference = self._sent
        return remote.remote(name, [reference], task, snapshot, _versions())

    def _step(self, stream: Any, part: Part, parts: Parts, emit: Emit) -> bool:
        """Take the next message of a task. Returns whether it was the last."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, RuntimeEnvSetupError, WorkerCrashedError

        try:
            message: Any = ray.get(next(stream))
        except StopIteration:
            parts.end(part)
            return True
        except (RayTaskError, RuntimeEnvSetupError) as error:
            raise ClusterError(
                f"cluster=ray: a worker cannot do this work: {last_line(str(error))} Expected the same packages, and "
                "the same modules of yours, on all machines. Ray brings them: cluster.runtime_env={working_dir: .}"
            ) from error
        except RayError as error:
            is_to_blame = isinstance(error, WorkerCrashedError | OutOfMemoryError)
            how = f"A worker of the Ray cluster has ended ({type(error).__name__})."
            parts.lose(part, how, "cuda" if self.is_on_gpus else "cpu", is_to_blame=is_to_blame)
            return True
        if isinstance(message, _Saved):
            if self.executor.checkpoints:
                put_checkpoint(checkpoint_path(self.executor.checkpoints, message.stack_id), message.content)
        else:
            part.note(message)
            emit(message)
        return False


def _knock(address: str) -> None:
    """See that somebody listens at an address; Ray would try for minutes.

    Raises:
        OSError, ValueError: nobody does, or it is none.
    """
    host, is_given, port = address.rpartition(":")
    if is_given:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def _versions() -> tuple[str, str]:
    """What must be the same on all machines, so that numbers are."""
    return package_version(), str(torch.__version__)


_loaded: dict[str, Executor] = {}
"""In a worker, which trains task after task: the executor that it has, by the name of what was sent."""


def _train(
    name: str, sent: list[Any], task: Task, snapshot: bytes | None, versions: tuple[str, str]
) -> Iterator[Event | _Saved]:
    """In a worker: train a task. The thread that trains must not wait for whoever takes the messages."""
    if versions != _versions():
        raise RuntimeError(f"this machine has {_versions()} of initsuite and torch, the launch has {versions}.")
    executor, messages = _executor(name, sent), queue.SimpleQueue[Any]()
    with tempfile.TemporaryDirectory(prefix="initsuite-") as folder:
        executor.checkpoints = executor.checkpoints and Path(folder)
        if snapshot:
            checkpoint_path(Path(folder), task.stack.stack_id).write_bytes(snapshot)
        outbox = _Outbox(Path(folder), messages)
        thread = threading.Thread(target=outbox.fill, args=(executor, task), name="initsuite", daemon=True)
        thread.start()
        while (message := messages.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message
        thread.join()


def _executor(name: str, sent: list[Any]) -> Executor:
    import pickle

    import ray

    if name not in _loaded:
        executor: Executor = pickle.loads(ray.get(sent[0]))
        executor.device = "cuda:0" if executor.device.startswith("cuda") else executor.device  # the one that Ray shows
        _loaded.clear()
        _loaded[name] = executor
    return _loaded[name]


class _Outbox:
    """What a task says, and its checkpoints as they are written, before the event that comes after them."""

    def __init__(self, folder: Path, messages: queue.SimpleQueue[Any]) -> None:
        self._folder, self._messages = folder, messages
        self._known = self._times()

    def fill(self, executor: Executor, task: Task) -> None:
        try:
            executor.run(task, self._emit)
        except BaseException as error:
            self._messages.put(error)
        self._messages.put(None)

    def _emit(self, event: Event) -> None:
        for path, when in self._times().items():
            if self._known.get(path) != when:
                self._known[path] = when
                self._messages.put(_Saved(path.stem, path.read_bytes()))
        self._messages.put(event)

    def _times(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self._folder.glob("*.pt")}
