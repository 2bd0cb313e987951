"""What `diagnostics=true` measures: the same as `initsuite diagnose`, and nothing of the training depends on it."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from initsuite.apply.cells import diagnosis_of_cell
from initsuite.apply.initialize import chosen_initializer
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Cell
from initsuite.results.columns import TRIALS
from initsuite.signal.diagnosis import Diagnosis
from initsuite.spec import SIGNAL, Stage, TrialResult
from initsuite.train import executor as module
from initsuite.train.events import Event, Finished, Note
from initsuite.train.executor import Executor
from initsuite.train.gate import Gate
from initsuite.train.starts import EXAMPLES, measured
from initsuite.train.task import Stack, Task

ROUNDING = 1e-5
"""Of float32, over the sums of a layer: the same passes on the same values."""
SMALL = ("init=xavier", "model.depth=12", "max_steps=4", "eval_every=2")


@pytest.fixture
def cell(make_job: Any) -> Cell:
    return make_job(*SMALL).cell


def task_of(cell: Cell, stage: Stage = Stage.SCORE, seeds: int = 3) -> Task:
    trials = tuple(cell.trial(0.1, seed, stage) for seed in range(seeds))
    return Task(Stack(tuple(trial.trial_id for trial in trials), "cpu"), trials)


def run(cell: Cell, task: Task, *, diagnostics: bool) -> tuple[list[TrialResult], list[Event]]:
    events: list[Event] = []
    Executor({cell.cell_id: cell}, "cpu", None, math.inf, diagnostics=diagnostics).run(task, events.append)
    return [result for event in events if isinstance(event, Finished) for result in event.results], events


def of_draw(found: Diagnosis, draw: int) -> dict[str, float]:
    """The measures of one draw, taken from its rows in the tables of a diagnosis."""
    points = found.points[found.points["draw"] == draw].set_index("layer")
    hidden = [str(row.layer) for row in found.layers.itertuples() if not row.is_head and not row.is_look_up]
    first, last = points.loc[hidden[0]], points.loc[hidden[-1]]
    return {
        "q_ratio": last["q"] / first["q"],
        "gradient_ratio": (first["gradient_norm"] / last["gradient_norm"]) ** 2,
        "input_share": last["input_share"],
        "dead": points["dead"].max(),
        "saturated": points["saturated"].max(),
    }


@pytest.mark.parametrize("options", [SMALL, ("init=he", "activation=tanh"), ("model=cnn", "init=orthogonal")])
def test_they_agree_with_a_diagnosis_of_the_cell(make_job: Any, options: tuple[str, ...]) -> None:
    cell = make_job(*options).cell
    found = diagnosis_of_cell(cell, 3, EXAMPLES)
    starts = [start_of(cell.workload, cell.initializer, seed)[0].params for seed in range(3)]
    stored = [measured(cell, params, seed) for seed, params in enumerate(starts)]
    for draw, measures in enumerate(stored):
        assert set(measures) == set(SIGNAL)
        for name, value in of_draw(found, draw).items():
            assert measures[name] == pytest.approx(value, rel=ROUNDING), name
    whole = found.whole.set_index("measure")["value"]
    losses = [float(measures["loss_ratio"]) for measures in stored]
    assert np.mean(losses) == pytest.approx(whole["loss"] / whole["uniform_loss"], rel=ROUNDING)
    shares = [float(measures["commonest_class"]) for measures in stored]
    assert np.mean(shares) == pytest.approx(whole["commonest_class"], rel=ROUNDING)
    alone = diagnosis_of_cell(cell, 1, EXAMPLES).verdicts
    names = [f"{row.verdict} {row.direction}".strip() for row in alone.itertuples()]
    assert stored[0]["verdict"] == "; ".join(names)
    assert stored[0]["layer"] == alone["layer"].iloc[0]


def test_a_signal_that_halves_in_each_layer_is_found_to(make_job: Any) -> None:
    """Xavier and ReLU in equal widths: 2^-(depth - 1) from the first to the last hidden layer, at width 512.

    The logarithm varies by about 5 (depth - 1) / width between draws (Hanin & Rolnick 2018): 0.11 at depth 12.
    """
    cell = make_job("init=xavier", "model.depth=12", "model.width=512").cell
    found = [measured(cell, start_of(cell.workload, cell.initializer, seed)[0].params, seed) for seed in range(4)]
    logs = [math.log2(float(each["q_ratio"])) for each in found]
    error = math.sqrt(5 * 11 / 512 / 4) / math.log(2)
    assert np.mean(logs) == pytest.approx(-11, abs=3 * error)
    assert {str(each["verdict"]).partition("; ")[0] for each in found} == {"vanishing forward"}


def test_no_bit_of_the_training_depends_on_it(cell: Cell) -> None:
    (plain, _), (diagnosed, _) = (run(cell, task_of(cell), diagnostics=chosen) for chosen in (False, True))
    for before, after in zip(plain, diagnosed, strict=True):
        assert not before.signal
        assert set(after.signal) == set(SIGNAL)
        assert before.trial.trial_id == after.trial.trial_id
        for name in ("train_loss", "val_loss", "val_score"):
            assert getattr(before.curve, name).tobytes() == getattr(after.curve, name).tobytes()
        assert before.test_score == after.test_score


def test_drawing_and_measuring_wait_once_for_those_who_train(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, alone = [], Gate.alone
    monkeypatch.setattr(Gate, "alone", lambda gate: waits.append(gate) or alone(gate))
    run(cell, task_of(cell), diagnostics=True)
    assert len(waits) == 1


def test_random_streams_stay_as_they_are(cell: Cell) -> None:
    params = start_of(cell.workload, cell.initializer, 0)[0].params
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    values = {name: value.clone() for name, value in params.items()}
    measured(cell, params, 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before[1:]  # noqa: NPY002
    assert all(torch.equal(params[name], value) and not params[name].requires_grad for name, value in values.items())


def test_tuning_trials_are_not_measured(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measured", lambda *_: pytest.fail("measured"))
    results, _ = run(cell, task_of(cell, Stage.TUNE), diagnostics=True)
    assert [dict(result.signal) for result in results] == [{}, {}, {}]


def test_what_cannot_be_measured_trains_and_is_said_once(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> None:
        raise ValueError("no such layer")

    monkeypatch.setattr(module, "measured", measured)
    results, events = run(cell, task_of(cell), diagnostics=True)
    assert {result.status for result in results} == {"done"}
    notes = [event.line for event in events if isinstance(event, Note)]
    assert notes == ["Not measured at step 0: mlp-12x64: no such layer"]


def test_the_store_has_a_column_for_each() -> None:
    assert [name for name in TRIALS.names if name.startswith("signal_")] == [f"signal_{name}" for name in SIGNAL]


@pytest.mark.slow
def test_a_launch_stores_them_and_older_parts_lack_them(build_job: Any, tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    from initsuite.results.__main__ import contents
    from initsuite.results.store import load_results
    from initsuite.train.launch import run_cells

    job, settings = build_job(*SMALL, "protocol=fixed", "optimizer.lr=0.1", "seeds=2", "tracking=disabled",
                              "diagnostics=true", f"results_dir={tmp_path}")  # fmt: skip
    run_cells([job], settings)
    found = load_results(tmp_path)
    assert set(found.trials.signal_verdict.str.partition("; ")[0]) == {"vanishing forward"}
    assert (found.trials.signal_q_ratio < 0.01).all()
    assert dict(contents(tmp_path, found))["signal at step 0"].startswith("vanishing forward")
    for part in (tmp_path / "trials").glob("*.parquet"):  # as an older version wrote it
        table = pq.read_table(part)
        pq.write_table(table.drop_columns([name for name in table.column_names if "signal" in name]), part)
    former = load_results(tmp_path)
    assert former.trials.signal_q_ratio.isna().all()
    assert former.trials.signal_verdict.isna().all()
    assert dict(contents(tmp_path, former))["signal at step 0"] == "not measured"


@pytest.mark.slow
def test_a_model_that_returns_its_loss_is_measured_with_it(make_job: Any) -> None:
    """A causal language model of transformers: its first loss is about that of the uniform guess, log 20."""
    from initsuite.data.base import Dataset, Split
    from initsuite.data.torchvision_import import import_torchvision

    import_torchvision()
    from transformers import GPT2Config, GPT2LMHeadModel

    from support.stubborn import workload_of

    tokens = torch.randint(0, 20, (96, 6), generator=torch.Generator().manual_seed(0))
    part = Split({"input_ids": tokens, "labels": tokens}, None)
    job = make_job("init=he")
    given = Dataset(**{**vars(job.cell.workload.dataset), "train": part, "validation": part, "test": part})
    small = GPT2Config(vocab_size=20, n_positions=6, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    options: dict[str, Any] = {"loss": lambda outputs, _: outputs.loss, "output": None, "chance_loss": math.log(20)}
    workload = workload_of(job, lambda: GPT2LMHeadModel(small), given, **options)
    cell = replace(job.cell, workload=workload, initializer=chosen_initializer("gpt2", {}))
    found = measured(cell, start_of(workload, cell.initializer, 0)[0].params, 0)
    assert found["loss_ratio"] == pytest.approx(1, abs=0.05)
    assert float(found["q_ratio"]) > 0
    assert float(found["gradient_ratio"]) > 0
