"""What a launch does with a Ray cluster, here a stand-in for the library. A real one: integration/test_clusters.py."""

from __future__ import annotations

import pickle
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from initsuite.config.cluster import Ray
from initsuite.engine.checkpoint import stored_step
from initsuite.errors import ClusterError
from initsuite.spec import Stage
from initsuite.train.cluster import nodes
from initsuite.train.cluster.nodes import Nodes
from initsuite.train.events import Evaluated, Finished, Lost, Note
from initsuite.train.executor import Executor
from initsuite.train.task import Stack, Task, checkpoint_path
from initsuite.train.threads import Threads

ERRORS = ("RayError", "RayTaskError", "RuntimeEnvSetupError", "WorkerCrashedError", "OutOfMemoryError", "NodeDiedError")


class Stream:
    """The messages of a task, each of them pickled; instead of the one after `fails_after`, an error."""

    def __init__(self, messages: Iterator[Any], fails_after: int, error: Exception | None) -> None:
        self._messages, self._left, self._error = messages, fails_after, error

    def __next__(self) -> bytes | Exception:
        if self._error and not self._left:
            return self._error
        self._left -= 1
        return pickle.dumps(next(self._messages))


class FakeRay(ModuleType):
    """The functions of Ray that are used.

    Attributes:
        faults: for each task that is submitted, in their order, after how many messages it fails, and how.
        submitted: the arguments of each.
    """

    def __init__(self) -> None:
        super().__init__("ray")
        self.faults: list[tuple[int, Exception]] = []
        self.submitted: list[tuple[Any, ...]] = []
        self.options: dict[str, Any] = {}
        self.cancelled: list[Stream] = []
        self.machines = [{"Alive": True, "Resources": {"CPU": 2.0}}]
        self.exceptions = ModuleType("ray.exceptions")
        base = type("RayError", (Exception,), {})
        for name in ERRORS:
            setattr(self.exceptions, name, base if name == "RayError" else type(name, (base,), {}))

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return self.machines

    def put(self, content: bytes) -> list[bytes]:
        return [content]

    def get(self, reference: Any) -> Any:
        if isinstance(reference, Exception):
            raise reference
        return reference[0] if isinstance(reference, list) else pickle.loads(reference)

    def remote(self, **options: Any) -> Callable[[Callable[..., Iterator[Any]]], SimpleNamespace]:
        self.options = options

        def submit(function: Callable[..., Iterator[Any]], *arguments: Any) -> Stream:
            self.submitted.append(arguments)
            return Stream(function(*arguments), *(self.faults.pop(0) if self.faults else (0, None)))

        return lambda function: SimpleNamespace(remote=lambda *arguments: submit(function, *arguments))

    def wait(self, streams: Sequence[Stream], timeout: float) -> tuple[list[Stream], list[Stream]]:
        return list(streams[:1]), list(streams[1:])

    def cancel(self, stream: Stream, force: bool) -> None:
        self.cancelled.append(stream)

    def error(self, name: str, text: str = "") -> Exception:
        return getattr(self.exceptions, name)(text)


@pytest.fixture
def ray(monkeypatch) -> Iterator[FakeRay]:
    made = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setitem(sys.modules, "ray.exceptions", made.exceptions)
    monkeypatch.setattr("initsuite.config.cluster._check_installed", lambda name, package: None)
    monkeypatch.setattr(nodes, "_loaded", {})
    yield made
    for thread in threading.enumerate():  # a worker that nobody listens to any more, and Python aborts if it trains on
        if thread.name == "initsuite":
            thread.join()


@pytest.fixture(scope="module")
def cell(make_job):
    return make_job("init=he", "max_steps=60", "eval_every=10").cell


@pytest.fixture
def task(cell) -> Task:
    trials = tuple(cell.trial(0.05, seed, Stage.SCORE) for seed in (0, 1))
    return Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials)


def trained(pool: Nodes | Threads, task: Task) -> tuple[list[Any], list[Task]]:
    """The events of a task, and the tasks that are done."""
    events, done = [], []
    pool.run(iter([task]), events.append, done.append)
    return events, done


def curve(events: Sequence[Any]) -> list[list[float]]:
    (finished,) = (event for event in events if isinstance(event, Finished))
    return [[*result.curve.val_loss, result.test_score] for result in finished.results]


@pytest.mark.parametrize("error", ["NodeDiedError", "WorkerCrashedError"])
def test_a_stack_that_is_lost_goes_on_from_the_checkpoint_that_came_back(ray, cell, task, tmp_path, error) -> None:
    ray.faults = [(6, ray.error(error))]  # it has started, then thrice a checkpoint and an evaluation but one
    pool = Nodes(Executor({cell.cell_id: cell}, "cpu", tmp_path, 0.0), Ray())
    events, done = trained(pool, task)
    (_, _, _, nothing, _), (_, _, again, snapshot, _) = ray.submitted
    assert (nothing, again) == (None, task)
    copy = tmp_path / "copy.pt"
    copy.write_bytes(snapshot)
    assert stored_step(copy) == 30
    assert [event for event in events if isinstance(event, Lost)] == [Lost(task.stack.stack_id)]
    assert [note.line for note in events if isinstance(note, Note)] == [
        f"A worker of the Ray cluster has ended ({error}). Its 2 trials are tried again."
    ]
    assert [event.evaluation.step for event in events if isinstance(event, Evaluated)][:3] == [10, 20, 10]
    assert done == [task]
    alone, _ = trained(Threads(Executor({cell.cell_id: cell}, "cpu", None, 0.0), 1), task)
    assert curve(events) == curve(alone)
    assert checkpoint_path(tmp_path, task.stack.stack_id).exists()  # the recorder removes it
    assert (ray.options["num_returns"], ray.options["max_retries"], ray.options["num_cpus"]) == ("streaming", 0, 1)


def test_what_the_listener_raises_cancels_the_tasks(ray, cell, task, tmp_path) -> None:
    def full(event: Any) -> None:
        if isinstance(event, Evaluated):
            raise OSError("no space left")

    pool = Nodes(Executor({cell.cell_id: cell}, "cpu", tmp_path, 0.0), Ray())
    with pytest.raises(OSError, match="no space left"):
        pool.run(iter([task]), full, lambda task: None)
    assert len(ray.cancelled) == 1


@pytest.mark.parametrize("error", ["RayTaskError", "RuntimeEnvSetupError"])
def test_a_machine_that_cannot_do_the_work_ends_the_launch(ray, cell, task, error) -> None:
    ray.faults = [(0, ray.error(error, "No module named 'mine'"))]
    with pytest.raises(ClusterError, match=r"No module named 'mine'.*cluster.runtime_env=\{working_dir: \.\}"):
        trained(Nodes(Executor({cell.cell_id: cell}, "cpu", None, 0.0), Ray()), task)


def test_another_version_on_a_machine_is_no_silent_difference(ray, cell, task, monkeypatch) -> None:
    executor = Executor({cell.cell_id: cell}, "cpu", None, 0.0)
    with pytest.raises(RuntimeError, match="of initsuite and torch, the launch has"):
        next(nodes._train("name", [pickle.dumps(executor)], task, None, ("0.0", "1.0")))


@pytest.mark.parametrize(
    ("device", "options", "words"),
    [
        ("cpu", {"cpus": 64}, r"asks for 64 cores\. Machines: 2 with 8 cores, 1 with 4 cores\. Add one"),
        ("cuda:0", {"at_once": 9}, r"asks for 1 core and 1 GPU\. Machines: 2 with 8 cores and 0 GPUs, 1 with"),
        ("cpu", {"memory_gb": 2.5}, r"and 2\.5 GB of memory\. Machines: 2 with 8 cores and 2 GB of memory, 1 with"),
    ],
)
def test_a_stack_that_no_machine_has_room_for_is_said_once(ray, cell, task, device, options, words) -> None:
    ray.machines = [{"Alive": True, "Resources": {"CPU": cores, "memory": 2.0 * 2**30}} for cores in (8.0, 4.0, 8.0)]
    ray.faults = [(0, ray.error("NodeDiedError")), (0, ray.error("RayTaskError"))]
    said: list[Any] = []
    pool = Nodes(Executor({cell.cell_id: cell}, device, None, 0.0), Ray(**options))
    with pytest.raises(ClusterError):  # the end of this test
        pool.run(iter([task]), said.append, lambda task: None)
    (line,) = [event.line for event in said if isinstance(event, Note) and event.line.startswith("Waiting")]
    assert re.search(words, line)


def test_as_many_stacks_as_the_machines_have_room_for(ray, cell) -> None:
    gib = float(2**30)
    ray.machines = [
        {"Alive": True, "Resources": {"CPU": 5.0, "memory": 64 * gib}},
        {"Alive": True, "Resources": {"CPU": 8.0, "memory": 20 * gib}},
        {"Alive": True, "Resources": {"CPU": 1.0, "memory": 64 * gib}},
        {"Alive": False, "Resources": {"CPU": 64.0, "memory": 64 * gib}},
    ]
    executor = Executor({cell.cell_id: cell}, "cpu", None, 0.0)
    assert Nodes(executor, Ray()).count() == 14
    assert Nodes(executor, Ray(cpus=2, memory_gb=8)).count() == 2 + 2
    assert Nodes(executor, Ray(cpus=100)).count() == 1  # which waits until a machine comes
    assert Nodes(executor, Ray(at_once=50)).count() == 50
    assert Nodes(Executor({cell.cell_id: cell}, "cuda:0", None, 0.0), Ray()).count() == 1


def test_an_address_at_which_nobody_listens_is_said_at_once(ray, cell, monkeypatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    executor = Executor({cell.cell_id: cell}, "cpu", None, 0.0)
    for address in ("127.0.0.1:1", "head:port"):
        with pytest.raises(ClusterError, match=rf"no cluster at `cluster.address`='{address}'.*ray start --head"):
            Nodes(executor, Ray(address=address)).count()
