"""The measurement of widths: all but its CUDA graphs runs on a CPU, and its checks can fail."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import gpu_arms
import pytest
import torch
from gpu_arms import CHECKED, FULL, QUICK, WARM_UP, WORKS, Case, Request, WholeGraph, eager
from gpu_widths import TIME_UP, Bench, main, markdown, rows
from torch import Tensor


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(Request("fashion-mlp", 3, "cpu", QUICK, ()))


def losses(take: gpu_arms.Take) -> Tensor:
    return torch.stack([take(index).clone() for index in range(CHECKED)])


def losses_at_the_start(case: Case) -> Tensor:
    """On the batches of all steps, with parameters that do not move."""
    return torch.stack([eager(case, QUICK)[0](index) for index in range(CHECKED)])


def cell(own: str = "graph", **samples: list[float]) -> dict[str, Any]:
    known = {"peak_bytes": 3 << 20, "agrees": True, "note": ""}
    arms = {name: {"ms": ms, **known} for name, ms in samples.items()}
    return {"work": "mnist-cnn", "width": 6, "own": own, "arms": arms, "failed": {}}


def bench(folder: Path, left_s: float = 60) -> Bench:
    return Bench("cuda", QUICK, 0.2, time.monotonic() + left_s, folder, {"machine": {}, "cells": []})


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--only", "mnist-cnn"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "no GPU is at hand" in said
    assert "1, 6, 32, 128" in said


def test_an_unknown_work_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "mnist"]) == 2
    assert "Did you mean `mnist-cnn`?" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "work", [pytest.param(name, marks=[] if name == "digits-mlp" else pytest.mark.exhaustive) for name in WORKS]
)
def test_all_but_the_graphs_runs_on_a_cpu(work: str, tmp_path: Path) -> None:
    assert main(["--device", "cpu", "--quick", "--only", work, "--limit-s", "300", "--output", str(tmp_path)]) == 0
    cells = json.loads((tmp_path / "gpu_widths.json").read_text())["cells"]
    expected = [("graph", 1), ("graph", 3), ("compile", 1), ("compile", 3)]
    assert [(each["own"], each["width"]) for each in cells] == expected
    for each in cells:
        assert list(each["failed"]) == (["graph"] if each["own"] == "graph" else [])
        assert all(arm["agrees"] and len(arm["ms"]) == QUICK.rounds for arm in each["arms"].values())
    table = (tmp_path / "gpu_widths.md").read_text()
    assert table.count("skipped: a CUDA graph needs a GPU") == 2
    assert table.count("backend aot_eager") == 2


def messages(arms: tuple[str, ...]) -> list[tuple[str, str, Any]]:
    """What the process for these arms says; few enough for the buffer of a pipe."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    gpu_arms.measure_cell(theirs, Request("digits-mlp", 2, "cpu", QUICK, arms))
    theirs.close()
    heard = []
    while True:
        try:
            heard.append(ours.recv())
        except EOFError:
            return heard


def test_arms_are_prepared_checked_and_sampled_in_turn() -> None:
    heard = messages(("eager", "plain"))
    assert [arm for what, arm, _ in heard if what == "sample"] == ["eager", "plain", "plain", "eager"]
    assert [detail["agrees"] for what, _, detail in heard if what == "prepared"] == [True, True]
    assert heard[-1][0] == "done"


def test_an_arm_that_raises_ends_its_process() -> None:
    assert messages(("eager", "unknown"))[-1] == ("failed", "unknown", "KeyError: 'unknown'")


def test_what_is_captured_works_in_place(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay knows addresses only: after a step every tensor of the stack must lie where it lay before."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    graph = WholeGraph(case)

    def take(index: int) -> Tensor:
        graph.indices.copy_(case.batch(index))
        return graph._in_place()

    seen = losses(take)
    addresses = [tensor.data_ptr() for tensor in graph.state.tensors()]
    assert gpu_arms._agrees(seen, losses(eager(case, QUICK)[0]), graph.state)
    for index in range(WARM_UP):
        take(index)
    assert [tensor.data_ptr() for tensor in graph.state.tensors()] == addresses


def test_the_engine_alone_does_not_work_in_place(case: Case) -> None:
    """Why the graph copies the statistics of BatchNorm back; the copies can go when this fails."""
    take, state = eager(case, QUICK)
    assert state is not None
    take(0)
    parameters, buffers = ([value.data_ptr() for value in part.values()] for part in (state.params, state.buffers))
    kept = dict(state.buffers)  # whose memory must not be used again
    take(1)
    assert [value.data_ptr() for value in state.params.values()] == parameters
    assert [value.data_ptr() for value in state.buffers.values()] != buffers
    assert len(kept) == len(buffers)


def test_a_step_that_trains_nothing_is_found(case: Case) -> None:
    take, state = eager(case, QUICK)
    right = losses(take)
    assert gpu_arms._agrees(right, right, state)
    assert gpu_arms._agrees(right[:, :1], right, None)
    assert not gpu_arms._agrees(losses_at_the_start(case), right, state)
    assert not gpu_arms._agrees(torch.full_like(right, torch.nan), right, state)
    assert gpu_arms._agrees(right, None, state) is None
    take(0)  # one step more than the losses tell of
    assert not gpu_arms._agrees(right, right, state)


@pytest.mark.parametrize("work", WORKS)
def test_losses_tell_whether_parameters_move(work: str) -> None:
    """A dozen steps change them by far more than the tolerance, at the batch sizes that are measured."""
    case = Case(Request(work, 1, "cpu", FULL, ()))
    right = losses(eager(case, FULL)[0])
    assert ((losses_at_the_start(case) - right).abs() / right).max() > 10 * gpu_arms.LOSS_TOLERANCE


def test_ratios_are_per_trial_and_in_pairs() -> None:
    """Six models in 2 ms, where one takes 1 ms: three times as fast."""
    samples = {"eager": [2.0, 4.0, 3.0] * 2, "plain": [1.0, 2.0, 1.5] * 2, "graph": [1.0, 1.0, 1.5] * 2}
    found = {row[2]: row for row in rows(cell("graph", **samples))}
    assert found["eager"][1:7] == ("6", "eager", "3", "500", "3x (3x to 3x)", "-")
    assert found["plain"][1:7] == ("1", "plain", "1.5", "1.5e+03", "-", "0.333x (0.333x to 0.333x)")
    assert found["graph"][5:9] == ("6x (6x to 12x)", "2x (2x to 4x)", "3 MiB", "-")
    few = {name: values[:3] for name, values in samples.items()}
    assert [row[6] for row in rows(cell("graph", **few)) if row[2] == "graph"] == ["2x"]  # too few for an interval


def test_the_second_pass_shows_the_compiler_only() -> None:
    assert [row[2] for row in rows(cell("compile", eager=[2.0], plain=[1.0], compile=[1.0]))] == ["compile"]


def test_wrong_losses_are_shown() -> None:
    wrong = cell(graph=[1.0])
    wrong["arms"]["graph"]["agrees"] = False
    assert next(rows(wrong))[-1] == "ITS LOSSES DIFFER"
    table = markdown({"machine": {"device": "X"}, "cells": [wrong]})
    assert "device X" in table
    assert "3.27x" in table


@pytest.mark.parametrize("is_dead", [False, True], ids=["hangs", "dies"])
def test_a_silent_process_is_given_up(is_dead: bool, tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    detail = {"prepared_s": 0.0, "peak_bytes": None, "agrees": True, "note": ""}
    for message in (("prepared", "eager", detail), ("sample", "eager", 2.0), ("begins", "graph", None)):
        theirs.send(message)
    if is_dead:
        theirs.close()
    each = cell()
    reason = "its process ended without a message" if is_dead else "no answer within 0.2 s"
    assert bench(tmp_path)._listen(each, ours) == ("graph", reason)
    assert each["arms"]["eager"]["ms"] == [2.0]
    assert (tmp_path / "gpu_widths.md").exists()


def test_the_others_start_over_without_the_arm_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, ...]] = []

    def attempt(self: Bench, cell: dict[str, Any], request: Request) -> tuple[str, str] | None:
        tried.append(tuple(request.arms))
        return ("graph", "broke") if "graph" in request.arms else None

    monkeypatch.setattr(Bench, "_attempt", attempt)
    each = cell()
    bench(tmp_path)._measure_cell(each, ("eager", "plain", "graph"))
    assert tried == [("eager", "plain", "graph"), ("eager", "plain")]
    assert each["failed"] == {"graph": "broke"}


def test_what_the_time_leaves_out_is_named(tmp_path: Path) -> None:
    each = cell()
    bench(tmp_path, left_s=-1)._measure_cell(each, ("eager", "graph"))
    assert each["failed"] == dict.fromkeys(["eager", "graph"], TIME_UP)
