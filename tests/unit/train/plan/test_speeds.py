"""What is remembered of a machine, and for how long."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from initsuite.train.plan import speeds as module
from initsuite.train.plan.speeds import Speed, Speeds, machine


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "initsuite" / "speeds.json"


def test_a_later_launch_remembers_and_says_since_when(cache) -> None:
    measured = Speeds("here").remember("workload-sgd/8", step_s=0.016, evaluation_s=0.1)
    assert measured.line(8) == "2 ms per step and trial, measured"
    recalled = Speeds("here").recall("workload-sgd/8")
    assert recalled == replace(measured, is_remembered=True)
    today = datetime.fromtimestamp(measured.measured_at, UTC).date()
    assert recalled.line(8) == f"2 ms per step and trial, remembered from {today}: replan=true measures again"
    for other in (Speeds("elsewhere"), Speeds("here", is_forgetful=True)):
        assert other.recall("workload-sgd/8") is None
    assert Speeds("here").recall("workload-sgd/4") is None
    assert Speeds("here").recall("workload-adam/8") is None


def test_replan_measures_once_and_later_launches_remember_the_new_timing(cache) -> None:
    Speeds("here").remember("a/1", 1.0, 1.0)
    again = Speeds("here", is_forgetful=True)
    again.remember("a/1", 2.0, 2.0)
    assert again.recall("a/1").step_s == Speeds("here").recall("a/1").step_s == 2.0


def test_what_is_forgotten_is_measured_again(cache) -> None:
    speeds = Speeds("here")
    speeds.remember("a/1", 1.0, 1.0)
    speeds.remember("b/1", 1.0, 1.0)
    speeds.forget("a/1")
    assert speeds.recall("a/1") is None
    assert Speeds("here").recall("a/1") is None
    assert Speeds("here").recall("b/1") is not None


def test_old_timings_and_those_of_former_versions_are_not_used(cache, monkeypatch) -> None:
    Speeds("here").remember("a/1", 1.0, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "KEPT_S", 0)
        assert Speeds("here").recall("a/1") is None
    former = {"num_trials": 7, "measured_at": 1e12, "speeds": [{"width": 1, "workers": 1, "threads": 2, "step_s": 0.5}]}
    for entry in (former, [1, 2], None, {"step_s": "x", "evaluation_s": 1.0, "measured_at": 0}):
        cache.write_text(json.dumps({"a/1/here": entry}))
        assert Speeds("here").recall("a/1") is None
    cache.write_text("no json")
    assert Speeds("here").recall("a/1") is None


def test_what_is_too_old_leaves_the_file(cache) -> None:
    Speeds("here").remember("a/1", 1.0, 1.0)
    entries = json.loads(cache.read_text())
    entries["a/1/here"]["measured_at"] -= module.KEPT_S + 1
    cache.write_text(json.dumps({**entries, "former": {"num_trials": 7}}))
    Speeds("here").remember("b/1", 1.0, 1.0)
    assert list(json.loads(cache.read_text())) == ["b/1/here"]


def test_the_time_of_a_stack_counts_its_evaluations() -> None:
    workload = SimpleNamespace(max_steps=10, eval_every=4)
    assert Speed(1.0, 0.5, 0.0).stack_s(workload) == 10 * 1.0 + 3 * 0.5  # type: ignore[arg-type]


def test_a_machine_is_not_another(monkeypatch) -> None:
    here = machine("cpu")
    monkeypatch.setattr(module.platform, "node", lambda: "another")
    assert machine("cpu") != here
