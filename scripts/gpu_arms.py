"""What `gpu_widths.py` measures: the works, the ways to train them, and the process in which these take turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.activations import activation
from initsuite.data import losses
from initsuite.data.base import Dataset, Split
from initsuite.engine.stack import Member, stack_state, start_of, to_device
from initsuite.engine.step import StackState, make_step
from initsuite.engine.workload import Cell, Workload
from initsuite.init import VarianceScaling, as_initializer
from initsuite.models import Cnn, Mlp
from initsuite.models.describe.describe import describe
from initsuite.models.describe.examples import Example
from initsuite.models.skeleton import emptied
from initsuite.optim import Adam, Sgd
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Stage

NUM_EXAMPLES, NUM_CLASSES, NUM_STARTS = 4096, 10, 8
WARM_UP, CHECKED = 3, 12
"""Steps before a graph is captured, and steps whose losses must agree with those of the eager engine."""
LOSS_TOLERANCE = 1e-3
"""Largest relative difference of two losses: float32, with TF32 in convolutions, after a dozen steps. With parameters
that do not move it is 1e-2 and more."""
NUM_BATCHES = 64
Take = Callable[[int], Tensor]
"""Takes the step of this number, from 0; returns the losses before it, [trial]."""
Arm = tuple[Take, StackState | None]
"""With the stack that it moves; None for a single model."""


class MnistNet(nn.Module):
    """The network of HFTA's tutorial, which is PyTorch's basic MNIST example, without its dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, NUM_CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.conv2(functional.relu(self.conv1(inputs))))
        hidden = functional.max_pool2d(hidden, 2).flatten(1)
        return self.fc2(functional.relu(self.fc1(hidden)))


@dataclass(frozen=True)
class Work:
    """What is trained, and at which widths."""

    words: str
    image: tuple[int, int, int]
    build: Callable[[], nn.Module]
    batch_size: int
    optimizer: Any  # an Optimizer; pyright cannot match the kind of Adam with it
    lr: float
    widths: tuple[int, ...] = (1, 64, 512)


RELU = activation("relu")
DIGIT, CLOTHES = (1, 8, 8), (1, 28, 28)
WORKS = {
    "digits-mlp": Work(
        "digits, MLP 64-128-128-10, sgd",
        DIGIT,
        lambda: Mlp(DIGIT, NUM_CLASSES, RELU, widths=[128, 128]),
        64,
        Sgd(),
        0.01,
    ),
    "fashion-mlp": Work(
        "Fashion-MNIST, MLP 784-64-128-64-10 with BatchNorm, Adam",
        CLOTHES,
        lambda: Mlp(CLOTHES, NUM_CLASSES, RELU, widths=[64, 128, 64], norm="batch"),
        128,
        Adam(),
        0.001,
    ),
    "digits-cnn": Work("digits, CNN 16-32, sgd", DIGIT, lambda: Cnn(DIGIT, NUM_CLASSES, RELU), 64, Sgd(), 0.01),
    "mnist-cnn": Work(
        "MNIST, CNN of HFTA's tutorial, sgd", CLOTHES, MnistNet, 64, Sgd(), 0.001, widths=(1, 6, 32, 128)
    ),
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured: samples of each arm, seconds of a sample, the steps it may have, the compiler's backend."""

    rounds: int = 7
    sample_s: float = 0.15
    most_steps: int = 400
    backend: str = "inductor"
    widest: int = 512
    batch_size: int = 128


FULL = Sizes()
QUICK = Sizes(rounds=2, sample_s=0.01, most_steps=5, backend="aot_eager", widest=3, batch_size=8)


@dataclass(frozen=True)
class Request:
    """What one process measures."""

    work: str
    width: int
    device: str
    sizes: Sizes
    arms: Sequence[str]


class Case:
    """A work at one width: its starts, its data on the device, and the batches that all arms follow."""

    def __init__(self, request: Request) -> None:
        self.work, self.device = WORKS[request.work], torch.device(request.device)
        self.cell = _cell(self.work, min(self.work.batch_size, request.sizes.batch_size))
        workload = self.cell.workload
        starts = [start_of(workload, self.cell.initializer, s) for s in range(min(NUM_STARTS, request.width))]
        self.members = [
            Member(self.cell, self.cell.trial(self.work.lr, seed, Stage.TUNE), *starts[seed % NUM_STARTS])
            for seed in range(request.width)
        ]
        self.train = to_device(workload.dataset, self.device, torch.float32).train
        shape = (NUM_BATCHES, request.width, workload.batch_size)
        stream = torch.Generator().manual_seed(0)
        self.batches = torch.randint(NUM_EXAMPLES, shape, generator=stream).to(self.device)

    def batch(self, index: int) -> Tensor:
        """[trial, example]; the step of this number trains on it."""
        return self.batches[index % NUM_BATCHES]

    def examples(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of these indices."""
        inputs = self.train.inputs.index_select(0, batch.flatten())
        return inputs.unflatten(0, batch.shape), self.train.targets[batch]

    def stack(self) -> tuple[StackState, Callable[[Tensor, Tensor], Tensor]]:
        """A stack at its start, and its step."""
        state = stack_state(self.members, self.device, torch.float32)
        return state, make_step(self.cell.workload, self.work.optimizer, state)


def _cell(work: Work, batch_size: int) -> Cell:
    stream = torch.Generator().manual_seed(0)
    inputs = torch.randn(NUM_EXAMPLES, *work.image, generator=stream)
    split = Split(inputs, torch.randint(NUM_CLASSES, (NUM_EXAMPLES,), generator=stream))
    dataset, model = Dataset(split, split, split, NUM_CLASSES), work.build()
    specs = tuple(describe(model, example=Example((inputs[:2],), {}, "two random images")))
    measures = (losses.cross_entropy, losses.accuracy, math.log(NUM_CLASSES))
    workload = Workload(work.words, dataset, emptied(model, []), specs, *measures, batch_size, 1, 1)
    he, yardstick = as_initializer(VarianceScaling(math.sqrt(2), "fan_in")), Yardstick("accuracy", 1 / NUM_CLASSES)
    return Cell(work.words, "", {}, workload, yardstick, he, work.optimizer, (work.lr,), {}, "{}")


def plain(case: Case, sizes: Sizes) -> Arm:
    """One model, as a PyTorch loop trains it; its batches are already on the device."""
    model = case.work.build()
    model.load_state_dict(case.members[0].start.params, strict=False)  # the statistics of BatchNorm have no start
    model.to(case.device).train()
    if isinstance(case.work.optimizer, Adam):
        optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), case.work.lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), case.work.lr, momentum=0.9)

    def take(index: int) -> Tensor:
        inputs, targets = case.examples(case.batch(index)[0])
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()[None]

    return take, None


def eager(case: Case, sizes: Sizes) -> Arm:
    """The engine as it is."""
    state, step = case.stack()
    return lambda index: step(*case.examples(case.batch(index))), state


def compiled(case: Case, sizes: Sizes) -> Arm:
    """torch.compile of the engine's step; the first step, which makes the update, is eager."""
    state, step = case.stack()
    fast = torch.compile(step, dynamic=False, backend=sizes.backend)
    return lambda index: (fast if index else step)(*case.examples(case.batch(index))), state


def whole_graph(case: Case, sizes: Sizes) -> Arm:
    """The engine's step in one CUDA graph."""
    graph = WholeGraph(case)
    return graph, graph.state


class WholeGraph:
    """Batch, forward, backward and update in one CUDA graph, captured on the stream of `WARM_UP` steps before it.

    A replay reads and writes the memory of the capture. The engine moves parameters and the state of the optimizer in
    place, but binds the statistics of BatchNorm to new tensors: here they are copied back into the old ones.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.graph = case, None
        self.state, self.step = case.stack()
        self.indices, self.loss = torch.empty_like(case.batch(0)), torch.empty(0)
        self.stream = torch.cuda.Stream(case.device)

    def __call__(self, index: int) -> Tensor:
        self.indices.copy_(self.case.batch(index))
        if index < WARM_UP:
            here = torch.cuda.current_stream(self.case.device)
            self.stream.wait_stream(here)
            with torch.cuda.stream(self.stream):
                self.loss = self._in_place()
            here.wait_stream(self.stream)
            return self.loss
        if self.graph is None:
            torch.cuda.synchronize(self.case.device)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):  # records the step, and does not take it
                self.loss = self._in_place()
        self.graph.replay()
        return self.loss

    def _in_place(self) -> Tensor:
        buffers = self.state.buffers
        loss = self.step(*self.case.examples(self.indices))
        for name, buffer in buffers.items():
            buffer.copy_(self.state.buffers[name])
        self.state.buffers = buffers
        return loss


ARMS = {"eager": eager, "plain": plain, "graph": whole_graph, "compile": compiled}
"""In the order of their preparation: the losses of the first are what the others are held to."""
PASSES = (("eager", "plain", "graph"), ("eager", "plain", "compile"))
"""What takes turns in one process. Compiling takes longest, and must not use up the time of the graphs."""


def measure_cell(connection: Connection, request: Request) -> None:
    """The life of a process: prepares the arms, then samples them in turn, and says what it does.

    Messages are (what, arm, detail). It ends with the first arm that fails: an error may leave the device unusable.
    """
    arm, takes = "", dict[str, tuple[Take, int]]()
    try:
        case, losses_of = Case(request), dict[str, Tensor]()
        for arm in request.arms:
            connection.send(("begins", arm, None))
            take, steps, detail = _prepared(case, arm, request.sizes, losses_of)
            takes[arm] = take, steps
            connection.send(("prepared", arm, detail))
        for number in range(request.sizes.rounds):
            first = number % len(request.arms)  # who comes first changes from round to round
            for arm in (*request.arms[first:], *request.arms[:first]):
                connection.send(("begins", arm, None))
                connection.send(("sample", arm, _step_ms(case.device, *takes[arm])))
        connection.send(("done", "", None))
    except Exception as error:  # whatever a compiler, a capture or a driver raises
        text = (str(error).strip() or "no message").splitlines()[0][:200]
        connection.send(("failed", arm, f"{type(error).__name__}: {text}"))


def _prepared(case: Case, arm: str, sizes: Sizes, losses_of: dict[str, Tensor]) -> tuple[Take, int, dict[str, Any]]:
    """An arm with the number of steps of a sample; and its memory, its preparation, how its first losses agree."""
    is_cuda, begin = case.device.type == "cuda", time.perf_counter()
    if is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(case.device)
    held = torch.cuda.memory_reserved(case.device) if is_cuda else 0
    take, state = ARMS[arm](case, sizes)
    losses_of[arm] = torch.stack([take(index).clone() for index in range(CHECKED)]).cpu()
    agrees, prepared_s = _agrees(losses_of[arm], losses_of.get("eager"), state), time.perf_counter() - begin
    steps = int(min(sizes.most_steps, max(5, 1000 * sizes.sample_s / _step_ms(case.device, take, 5))))
    detail = {
        "steps": steps,
        "prepared_s": prepared_s,
        "peak_bytes": torch.cuda.max_memory_reserved(case.device) - held if is_cuda else None,
        "agrees": agrees,
        "note": _compiler_note(sizes) if arm == "compile" else "",
    }
    return take, steps, detail


def _agrees(seen: Tensor, reference: Tensor | None, state: StackState | None) -> bool | None:
    """Whether losses [step, trial] are those of the eager engine (a single model is its first trial), and BatchNorm
    has counted every step; None without such losses."""
    buffers = state.buffers.items() if state else ()
    counts = [value for name, value in buffers if name.endswith("num_batches_tracked")]
    if reference is None:
        return None
    reference = reference[:, : seen.shape[1]]
    difference = ((seen - reference).abs() / reference.abs()).nan_to_num(math.inf).max()
    return bool(difference <= LOSS_TOLERANCE) and all(bool((count == len(seen)).all()) for count in counts)


def _compiler_note(sizes: Sizes) -> str:
    from torch._dynamo.utils import counters

    breaks, graphs = sum(counters["graph_break"].values()), counters["stats"]["unique_graphs"]
    return f"backend {sizes.backend}, {graphs} graphs, {breaks} graph breaks"


def _step_ms(device: torch.device, take: Take, steps: int) -> float:
    """Milliseconds per step, on the clock of the device: from the first launch to the end of the last step."""
    if device.type != "cuda":
        begin = time.perf_counter()
        for index in range(steps):
            take(WARM_UP + index)
        return 1000 * (time.perf_counter() - begin) / steps
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begun.record()
    for index in range(steps):
        take(WARM_UP + index)
    ended.record()
    ended.synchronize()
    return begun.elapsed_time(ended) / steps
