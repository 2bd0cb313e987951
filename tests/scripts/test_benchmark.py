"""The arithmetic of the benchmark: rates, ratios, what is extrapolated, and the table."""

import contextlib
import heapq
import re
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from benchmark import __main__ as door
from benchmark.blocks import BLOCKS, IN_PROCESS, num_repeats
from benchmark.former import unpacked
from benchmark.launches import (
    Place,
    first_launch_arm,
    mean_gap,
    positive_difference,
    run_program,
    suite_arm,
    training_arm,
)
from benchmark.machine import Others, machine, num_cores, sgemm
from benchmark.neighbours import beside_neighbours, neighbours
from benchmark.plain import Loading, PlainLoop, where_time_goes
from benchmark.results import cells, markdown, record
from benchmark.rows import AT_MOST, FULL, LIMIT, QUICK, ROWS, Row
from benchmark.stated import judged, stated
from benchmark.timing import Arm, JobTimes, Spread, Timing, interleave, job_rest_s, rate_ratios, spread, sweep_seconds
from benchmark.training import (
    INITIALIZERS,
    Work,
    gflop_per_evaluation,
    gflop_per_step,
    in_gflop,
    stacks_of,
    steps_arm,
    train_seconds,
    whole_arm,
)
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from initsuite.errors import ConfigError, InitsuiteError
from initsuite.models import Mlp
from initsuite.spec import Stage

ROW = Row("planted", "block", "work", "against", "suite", "other", limit=8)
PLANTED = {  # pair by pair the suite is 10, 9 and 4 times as fast
    "suite": [Timing(6.0, 60), Timing(5.0, 45), Timing(10.0, 40)],
    "other": [Timing(5.0, 5), Timing(5.0, 5), Timing(5.0, 5)],
}
LABELS = {"suite": "60 trials", "other": "5 trials"}
SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_arms_take_turns() -> None:
    """A B A B, and each timing lands with its arm."""
    calls: list[str] = []
    told: list[tuple[str, int, float]] = []

    def arm(name: str) -> Arm:
        def run() -> Timing:
            calls.append(name)
            return Timing(float(len(calls)), 1.0)

        return Arm(name, run)

    timings = interleave(
        {name: arm(name) for name in "AB"}, 3, lambda name, repeat, timing: told.append((name, repeat, timing.seconds))
    )
    assert "".join(calls) == "ABABAB"
    assert [timing.seconds for timing in timings["B"]] == [2.0, 4.0, 6.0]
    assert told[:3] == [("A", 1, 1.0), ("B", 1, 2.0), ("A", 2, 3.0)]


def test_ratios_come_from_the_raw_times() -> None:
    made = record(ROW, LABELS, PLANTED)
    assert made["ratios"] == [10.0, 9.0, 4.0]
    assert (made["median"], made["low"], made["high"], made["reached"]) == (9.0, 4.0, 10.0, True)
    assert made["suite"]["seconds"] == [6.0, 5.0, 10.0]
    assert made["suite"]["amounts"] == [60, 45, 40]
    assert made["other"]["rates"] == [1.0, 1.0, 1.0]
    assert record(replace(ROW, limit=9.5), LABELS, PLANTED)["reached"] is False
    assert record(replace(ROW, limit=None), LABELS, PLANTED)["reached"] is None


def test_an_upper_bound_is_a_ratio_of_times() -> None:
    """W&B may cost 1.1 x of the time: 33 s after 30 s do, 36 s do not."""
    row = replace(ROW, bound=AT_MOST, limit=1.1)
    slower = {"suite": [Timing(33.0, 30)], "other": [Timing(30.0, 30)]}
    assert record(row, LABELS, slower)["median"] == pytest.approx(1.1)
    assert record(replace(row, limit=1.11), LABELS, slower)["reached"] is True
    assert record(row, LABELS, {**slower, "suite": [Timing(36.0, 30)]})["reached"] is False


def test_timings_without_a_neighbour_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`below`='1 timings'. Expected 2, one for each above"):
        rate_ratios(PLANTED["suite"][:2], PLANTED["other"][:1])
    with pytest.raises(ConfigError, match=r"Expected 0, one for each above, from 1"):
        rate_ratios([], [])


def test_the_spread_is_median_and_range() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0]).median == 2.5


def simulated(num_jobs: int, num_processes: int, start_s: float, job_s: float) -> list[JobTimes]:
    """A launcher that starts, then gives each job to the process that is free first."""
    free = [start_s] * num_processes
    times = []
    for _ in range(num_jobs):
        begin = heapq.heappop(free)
        heapq.heappush(free, begin + job_s)
        times.append(JobTimes(begin, begin + job_s))
    return times


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_a_sweep_is_extrapolated_from_two_rounds(num_processes: int) -> None:
    whole = simulated(30, num_processes, start_s=7.0, job_s=3.0)
    part = whole[: 2 * num_processes]
    assert sweep_seconds(100.0, [JobTimes(job.begin + 100, job.end + 100) for job in part], 30, num_processes) == (
        pytest.approx(max(job.end for job in whole))
    )


def test_the_rest_of_each_job_is_added() -> None:
    """Jobs of 3 s that stand for 5 s: a sweep of jobs of 5 s."""
    part = [JobTimes(job.begin, job.end, rest_s=2.0) for job in simulated(2, 1, start_s=7.0, job_s=3.0)]
    assert sweep_seconds(0.0, part, 30) == pytest.approx(simulated(30, 1, 7.0, 5.0)[-1].end)
    assert job_rest_s(step_s=0.01, evaluation_s=0.5, steps_left=100, evaluations_left=2) == pytest.approx(2.0)


@pytest.mark.parametrize(("num_jobs", "num_processes"), [(1, 1), (3, 2), (2, 2)])
def test_less_than_two_rounds_are_refused(num_jobs: int, num_processes: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"`jobs`={num_jobs}. Expected a multiple of {num_processes}, from {2 * num_processes}"
    ):
        sweep_seconds(0.0, simulated(num_jobs, num_processes, 1.0, 1.0), 30, num_processes)


def test_a_single_start_tells_no_gap() -> None:
    with pytest.raises(InitsuiteError, match=r"`starts`=1. Expected 2 or more folders.*hydra.sweep.dir"):
        mean_gap([1.0])


def test_a_negative_difference_is_refused() -> None:
    with pytest.raises(InitsuiteError, match=r"`training`=-1 s.*stop that and start again"):
        positive_difference(1.0, 2.0)


def job(step_s: Sequence[float], evaluation_s: Sequence[float]) -> dict[str, Any]:
    return {
        "begin": 0.0,
        "end": 10.0,
        "set_up_s": 1.0,
        "finish_s": 0.5,
        "waited_s": 4.0,
        "step_s": step_s,
        "evaluation_s": evaluation_s,
    }


def test_where_the_time_of_a_plain_job_goes() -> None:
    text = where_time_goes([job([0.1, 0.1], [1.0, 1.5]), job([0.1, 0.1], [1.0, 1.5])])
    assert text == "waiting for batches 40%, steps 20%, evaluation 25%, setting up and W&B 15%"


def test_a_plain_job_is_extrapolated_from_its_later_intervals(tmp_path: Path) -> None:
    """100 of 1,000 steps and 2 of 10 evaluations measured; the first interval, which starts workers, is not used."""
    loop = PlainLoop(Place(tmp_path), 1, num_steps=100, measured_every=50, budget=1000, eval_every=100, num_trials=30)
    assert loop._rest_s(job([9.0, 0.01], [9.0, 0.5])) == pytest.approx(900 * 0.01 + 8 * 0.5)
    assert Loading(2, None).in_words() == "num_workers=2, default threads"


@pytest.mark.slow
def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(InitsuiteError, match=r"`python -m initsuite.report`=2. Expected 0. It said:\n(.|\n)*nowhere"):
        run_program("initsuite.report", ["nowhere"], place.folder(), place.environment())


def test_training_is_what_a_rerun_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that starts in 7 s, plans and trains in 60 s; a rerun trains and plans nothing."""
    done: set[Path] = set()

    def fake(module: str, arguments: Sequence[str], folder: Path, environment: Any) -> float:
        is_rerun = folder in done
        done.add(folder)
        return 7.0 if is_rerun else 67.0

    monkeypatch.setattr("benchmark.launches.run_program", fake)
    timing = training_arm(Place(tmp_path), "label", ["seeds=4"], 20).run()
    assert (timing.seconds, timing.amount) == (pytest.approx(60.0), 20)
    assert timing.note == "7.0 s taken off"


def test_a_first_launch_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a cache of its own, and the tree that it is given comes first on the path; other launches share one."""
    caches, paths = list[str](), list[str]()

    def fake(module: str, arguments: Sequence[str], folder: Path, environment: dict[str, str]) -> float:
        caches.append(environment["XDG_CACHE_HOME"])
        paths.append(environment["PYTHONPATH"].partition(":")[0])
        return 1.0

    monkeypatch.setattr("benchmark.launches.run_program", fake)
    place = Place(tmp_path)
    first = first_launch_arm(place, "label", [], 1, tmp_path / "tree")
    later = suite_arm(place, "label", [], 1)
    for arm in (first, first, later, later):
        arm.run()
    assert len(set(caches[:2])) == 2
    assert caches[2] == caches[3] not in caches[:2]
    assert paths == [str(tmp_path / "tree" / "src")] * 2 + [str(SCRIPTS)] * 2


def processes_of(module: str) -> list[int]:
    """Children of this process that run a module."""
    return [child.pid for child in psutil.Process().children() if module in child.cmdline()]


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, KeyboardInterrupt], ids=["done", "interrupted"])
def test_neighbours_compute_and_end(error: type[BaseException] | None, tmp_path: Path) -> None:
    """Two of them take processor time while the block runs, and none is left behind, however it ends."""
    with contextlib.ExitStack() as stack:
        if error:
            stack.enter_context(pytest.raises(error))
        with neighbours(2, Place(tmp_path).environment()) as processor_s:
            assert len(processes_of("benchmark.neighbours")) == 2
            before_s, deadline = processor_s(), time.monotonic() + 60
            while processor_s() < before_s + 0.5:
                assert time.monotonic() < deadline, "they do not compute"
                time.sleep(0.05)
            if error:
                raise error
    assert processes_of("benchmark.neighbours") == []


@pytest.mark.slow
def test_a_neighbour_that_has_ended_is_no_neighbour(tmp_path: Path) -> None:
    def killed(processor_s: Callable[[], float]) -> None:
        psutil.Process(processes_of("benchmark.neighbours")[0]).kill()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            processor_s()  # raises as soon as the last thread of the process has ended

    refused = pytest.raises(InitsuiteError, match=r"`code`=-9. Expected one process per core")
    with refused, neighbours(2, Place(tmp_path).environment()) as processor_s:
        killed(processor_s)
    assert processes_of("benchmark.neighbours") == []
    broken = {**Place(tmp_path).environment(), "PYTHONPATH": str(tmp_path)}  # does not find the module
    with pytest.raises(InitsuiteError, match=r"`code`=1"), neighbours(1, broken):
        pass


@pytest.mark.slow
def test_neighbours_end_with_a_program_that_is_killed(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
import psutil
from benchmark.launches import Place
from benchmark.neighbours import neighbours
with neighbours(2, Place(Path(sys.argv[1])).environment()):
    print(*[child.pid for child in psutil.Process().children()], flush=True)
    os.kill(os.getpid(), 9)
"""
    environment = Place(tmp_path).environment()
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, capture_output=True)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < deadline, "a neighbour outlives its program"
        time.sleep(0.05)


def test_the_share_of_the_neighbours_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They had 3 s of processor time while 2 s passed: 3 of 2 s per core."""
    spent = iter([10.0, 10.0 + 2.0 * num_cores() * 0.75])

    @contextlib.contextmanager
    def fake(count: int, environment: Any):
        assert count == num_cores()
        yield lambda: next(spent)

    monkeypatch.setattr("benchmark.neighbours.neighbours", fake)
    timing = beside_neighbours(Arm("planted", lambda: Timing(2.0, 1.0)), Place(tmp_path)).run()
    assert timing.note == "the neighbours had 75% of the cores"


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, whose package says where it is."""
    root = tmp_path / "repository"
    for name in ("src/initsuite/__init__.py", "src/hydra_plugins/initsuite_launcher/__init__.py", "conf/config.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "scripts").mkdir()
    author = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["init"], ["add", "."], [*author, "commit", "-m", "one"], ["tag", "one"]):
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)
    (root / "src" / "initsuite" / "__init__.py").write_text("later")
    monkeypatch.setattr("benchmark.former.SCRIPTS", root / "scripts")
    return root


def test_a_former_version_is_unpacked_and_imported(history: Path, tmp_path: Path) -> None:
    """As it was at the commit, and in place of the code of today."""
    folder = unpacked(Place(tmp_path), "one")
    assert (folder / "src" / "initsuite" / "__init__.py").read_text() == ""
    assert (folder / "conf" / "config.yaml").is_file()
    assert unpacked(Place(tmp_path), "one") == folder


def test_a_former_version_that_cannot_run_is_refused(history: Path, tmp_path: Path) -> None:
    with pytest.raises(InitsuiteError, match=r"`commit`='none' \((.|\n)*\). Expected a checkout with its history"):
        unpacked(Place(tmp_path), "none")
    (history / "src" / "initsuite" / "__init__.py").write_text("__file__ = '/elsewhere'")
    author = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    subprocess.run(["git", "-C", str(history), *author, "commit", "-am", "two"], check=True, capture_output=True)
    with pytest.raises(InitsuiteError, match=r"other code is imported `path`=/elsewhere "):
        unpacked(Place(tmp_path), "HEAD")


def test_programs_run_without_the_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "OMP_NUM_THREADS", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "1")
    environment = Place(tmp_path).environment()
    assert not environment.keys() & {"WANDB_MODE", "OMP_NUM_THREADS", "HYDRA_FULL_ERROR"}
    assert environment["XDG_CACHE_HOME"].startswith(str(tmp_path))
    assert environment["PATH"]


def test_the_work_of_a_step_is_what_torch_counts(make_job) -> None:
    """Against torch's own counter of floating-point operations, on a step of plain autograd."""
    workload = make_job("model.widths=[32,16]", "batch_size=8").cell.workload
    phi = next(spec.nonlinearity for spec in workload.specs)
    model = Mlp(workload.dataset.input_shape, 10, phi, widths=[32, 16])
    counter = FlopCounterMode(display=False)
    with counter:
        functional.cross_entropy(model(workload.dataset.train.inputs[:8]), torch.arange(8)).backward()
    assert gflop_per_step(workload) * 1e9 == counter.get_total_flops()


def test_the_work_of_an_evaluation_is_what_torch_counts(make_job) -> None:
    workload = make_job("model.widths=[32,16]").cell.workload
    phi = next(spec.nonlinearity for spec in workload.specs)
    counter = FlopCounterMode(display=False)
    with counter:
        Mlp(workload.dataset.input_shape, 10, phi, widths=[32, 16])(workload.dataset.validation.inputs)
    assert gflop_per_evaluation(workload) * 1e9 == counter.get_total_flops()


WORK = Work(("model.width=8",), 4, 0.1, initializers=("he", "xavier"))


def test_a_work_is_initializers_by_seeds() -> None:
    members = WORK.members()
    assert [(member.cell.axes["init"], member.trial.seed) for member in members] == [
        ("he", 0),
        ("xavier", 0),
        ("he", 1),
        ("xavier", 1),
    ]
    assert {(member.trial.lr, member.trial.stage) for member in members} == {(0.1, Stage.TUNE)}


def test_each_stack_has_a_budget() -> None:
    members = WORK.members()
    stacks = stacks_of(members, 3, max_steps=6, eval_every=2)
    assert [[one.trial for one in stack] for stack in stacks] == [
        [one.trial for one in part] for part in (members[:3], members[3:])
    ]
    workloads = [{id(one.cell.workload): one.cell.workload for one in stack} for stack in stacks]
    first, _ = (workload for found in workloads for workload in found.values())
    assert (first.max_steps, first.eval_every) == (6, 2)


def test_trials_of_one_seed_differ_in_their_learning_rates() -> None:
    members = Work(("model.width=8",), 5, 0.4, initializers=("he", "xavier"), num_lrs=2).members()
    found = [(one.trial.seed, one.cell.axes["init"], one.trial.lr) for one in members]
    assert found == [(0, "he", 0.4), (0, "he", 0.2), (0, "xavier", 0.4), (0, "xavier", 0.2), (1, "he", 0.4)]


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "where"), [(1, "in turn on one core"), (2, "2 side by side")])
def test_arms_train_the_amount_they_say(lanes: int, where: str) -> None:
    threads = torch.get_num_threads()
    steps = steps_arm(WORK, width=2, num_steps=6, budget=600, lanes=lanes)
    timing = steps.run()
    assert timing.amount == pytest.approx(4 * 6 / 600)
    per_step, per_evaluation = (
        count(WORK.members()[0].cell.workload) for count in (gflop_per_step, gflop_per_evaluation)
    )
    assert timing.gflop == pytest.approx(4 * 6 * per_step)
    assert in_gflop(steps).run().amount == pytest.approx(timing.gflop)
    assert steps.label.startswith(f"4 trials in stacks of 2, {where}, 6 steps")
    whole = whole_arm(WORK, 1, num_steps=6, eval_every=3, budget=600, lanes=lanes).run()
    assert (whole.amount, whole.gflop) == pytest.approx((4 * 6 / 600, 4 * (6 * per_step + 2 * per_evaluation)))
    assert torch.get_num_threads() == threads  # those of this Python thread


@pytest.mark.parametrize("lanes", [1, 2])
def test_stacks_train_side_by_side(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """Two lanes: two stacks meet inside; one lane: they never do."""
    inside, most = set[int](), list[int]()
    meeting = threading.Barrier(lanes)

    def fake(stack: Sequence[Any], device: str) -> None:
        inside.add(threading.get_ident())
        meeting.wait(timeout=30)
        most.append(len(inside))
        meeting.wait(timeout=30)
        inside.discard(threading.get_ident())

    monkeypatch.setattr("benchmark.training.train_stack", fake)
    train_seconds([[], [], [], []], lanes, "cpu")
    assert most == [lanes] * 4


def test_the_matrix_products_of_all_cores_are_counted() -> None:
    timing = sgemm(num_products=1)
    assert timing.amount == timing.gflop == pytest.approx(num_cores() * 2 * 2048**3 / 1e9)
    assert timing.seconds > 0


def test_what_others_take_is_the_rest_of_what_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 s of all cores 8 are idle, 5 this process's and 2 its children's: 5 are others'. A guest's time is counted
    in the user's."""
    cores = namedtuple("cores", ("user", "system", "idle", "iowait", "guest"))
    times = iter([cores(10.0, 10.0, 10.0, 1.0, 4.0), cores(19.0, 13.0, 17.0, 2.0, 7.0)])
    own = iter([(1.0, 1.0, 1.0, 1.0, 50.0), (5.0, 2.0, 2.5, 1.5, 60.0)])
    monkeypatch.setattr("benchmark.machine.psutil.cpu_times", lambda: next(times))
    monkeypatch.setattr("benchmark.machine.os.times", lambda: next(own))
    assert Others().share() == pytest.approx(5 / 20)


def test_every_row_of_the_issue_is_there() -> None:
    """Names are unique, arms exist, and the limits are those that the project set itself."""
    limits = {row.name: (row.bound, row.limit) for row in ROWS if row.limit}
    assert limits == {
        "digits-stack": ("at least", 8),
        "fashion-stack": ("at least", 4.5),
        "fashion-plain": ("at least", 25),
        "fashion-rate": ("at least", 0.7),
        "cnn": ("at least", 1.5),
        "rnn": ("at least", 3),
        "digits-process": ("at least", 10),
        "fashion-wandb": ("at most", 1.1),
        "digits-wandb": ("at most", 1.6),
        "main-busy": ("at most", 2.5),
        "digits-former": ("at most", 1.05),
        "fashion-former": ("at most", 1.05),
    }
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("sizes", [FULL, QUICK], ids=["full", "quick"])
def test_every_row_finds_its_arms(sizes, tmp_path: Path) -> None:
    assert set(IN_PROCESS) < BLOCKS.keys()
    for row in ROWS:
        assert {row.suite, row.other} <= BLOCKS[row.block](sizes, Place(tmp_path)).keys()
        assert num_repeats(row.block, sizes) >= 1
    assert sizes.kind_trials % len(INITIALIZERS) == sizes.ones % len(INITIALIZERS) == 0


def result(**changes: Any) -> dict[str, Any]:
    rows = [record(ROW, LABELS, PLANTED, others=0.25)]
    left_out: dict[str, Any] = {"skipped": [], "failed": [], "stated": []}
    return {"machine": machine(), "rows": rows, **left_out, "total_s": 90.0, "quick": True, **changes}


def test_the_table_names_machine_units_and_what_was_left_out() -> None:
    text = markdown(result(skipped=[{"name": "gpu-digits-64", "reason": "there is no GPU"}]))
    assert f"{num_cores()} cores" in text
    assert f"torch {torch.__version__}" in text
    assert "| 9 trials/s | 1 trials/s | 9x (4x to 10x, n = 3) | at least 8x | yes |" in text
    assert "- planted, suite: 60 trials" in text
    assert "- planted: other processes took 25% of the cores meanwhile" in text
    assert "gpu-digits-64: skipped, there is no GPU" in text
    assert "1.5 minutes (--quick" in text
    assert cells(record(replace(ROW, limit=100), LABELS, PLANTED))[-2:] == ("NO", "-")


def test_the_share_of_the_matrix_products_is_taken_in_turn() -> None:
    """60 GFLOP in 6, 5 and 10 s are 10, 12 and 6 GFLOP/s, of 20, 30 and 20 GFLOP/s."""
    suite = [replace(timing, gflop=60.0) for timing in PLANTED["suite"]]
    most = [Timing(seconds, 40.0, gflop=40.0) for seconds in (2.0, 4 / 3, 2.0)]
    made = record(ROW, LABELS, {**PLANTED, "suite": suite, LIMIT: most})
    assert made["shares"] == pytest.approx([0.5, 0.4, 0.3])
    assert cells(made)[-1] == "0.40 (0.30 to 0.50)"
    assert record(ROW, LABELS, PLANTED)["shares"] == []


PAGE = """
| row | work | ratio |
|---|---|---|
| `planted` | work, 60 trials | 9x (8x to 10.5x) |
| `other` | work | 0.64 (0.29 to 0.75) |
"""


@pytest.mark.parametrize(
    ("median", "bound", "verdict"),
    [
        (7.9, "at least", "worse"),
        (8.0, "at least", "as stated"),
        (10.6, "at least", "better"),
        (7.9, AT_MOST, "better"),
        (10.6, AT_MOST, "worse"),
    ],
)
def test_what_is_stated_is_judged(median: float, bound: str, verdict: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    said = stated(tmp_path / "page.md")
    assert said == {"planted": Spread(9.0, 8.0, 10.5), "other": Spread(0.64, 0.29, 0.75)}
    measured = {"name": "planted", "median": median, "bound": bound}
    judgement = {"name": "planted", "median": 9.0, "low": 8.0, "high": 10.5, "verdict": verdict}
    assert judged([measured, {**measured, "name": "unstated"}], said) == [judgement]
    assert f"- planted: {verdict}, 9x (8x to 10.5x)" in markdown(result(stated=[judgement]))


def test_a_page_that_states_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("| `planted` | work | nine times |\n")
    with pytest.raises(ConfigError, match=r"page.md.*`planted`='nine times'. Expected MEDIANx \(LOWx to HIGHx\)"):
        stated(tmp_path / "page.md")
    (tmp_path / "page.md").write_text("Nothing.\n")
    with pytest.raises(ConfigError, match=r"`rows`=0. Expected a table whose first column"):
        stated(tmp_path / "page.md")


def test_every_ratio_of_the_documentation_can_be_measured_again() -> None:
    """Each line of the table names a row, and neither page states a ratio outside it."""
    page = (SCRIPTS.parent / "docs" / "benchmarks.md").read_text()
    said = stated()
    assert said.keys() <= {row.name for row in ROWS}
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(lines) == len(said) > 0
    ratio = re.compile(r"\d(\.\d+)?x\b")
    for text in (page, (SCRIPTS.parent / "README.md").read_text()):
        assert not [line for line in text.splitlines() if ratio.search(line) and line not in lines]


def test_a_block_that_fails_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sizes, place):
        raise InitsuiteError("benchmark: planted")

    timing = Arm("planted", lambda: Timing(1.0, 1.0))
    monkeypatch.setitem(BLOCKS, "digits-stack", broken)
    monkeypatch.setitem(BLOCKS, "fashion-stack", lambda sizes, place: {"suite": lambda: timing, "one": lambda: timing})
    rows = [row for row in ROWS if row.name in ("digits-stack", "fashion-stack", "gpu-digits-64")]
    made = door.run_rows(rows, QUICK, is_quick=True)
    assert [one["name"] for one in made["rows"]] == ["fashion-stack"]
    assert made["failed"] == [{"name": "digits-stack", "reason": "benchmark: planted"}]
    assert [one["name"] for one in made["skipped"]] == ([] if torch.cuda.is_available() else ["gpu-digits-64"])


def test_the_door_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["--only", "digit-stack"]) == 2
    assert "Expected one of: digits-stack, fashion-stack" in (error := capsys.readouterr().err)
    assert "Did you mean `digits-stack`?" in error
    (tmp_path / "file").write_text("")
    assert door.main(["--output", str(tmp_path / "file")]) == 2
    assert "Choose another: --output DIR" in capsys.readouterr().err


def test_help_is_quick() -> None:
    code = "import sys, benchmark.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS).returncode == 0
