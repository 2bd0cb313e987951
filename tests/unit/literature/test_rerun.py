"""What `initsuite results check` does again: what it compares, how nearly, and what it says of errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from initsuite.errors import StoreError
from initsuite.literature.claim import Starts
from initsuite.literature.contribution import numbers
from initsuite.literature.contribution.cells import start_cells
from initsuite.literature.contribution.numbers import Allowed, Rerun, rerun_starts, rerun_trials
from initsuite.literature.contribution.reading import read_contribution
from initsuite.literature.running import measured
from initsuite.results.store import load_results
from initsuite.spec import TrialResult
from initsuite.train.task import failure
from support.small_store import make_store

SAME, NEAR = Allowed(0.0, 0.05), Allowed(0.001, 0.001)
ERROR = "Traceback (most recent call last):\nRuntimeError: the law is not here"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trials of one stack, which is whole, and their curves."""
    found = load_results(make_store(tmp_path_factory.mktemp("store")))
    return found.trials.assign(stack_size=len(found.trials), written_at="2026-12-01"), found.curves


@pytest.fixture
def rerun(monkeypatch: pytest.MonkeyPatch, stored: Any) -> Any:
    """Compare trials of the store; training them gives what is stored, changed by a function."""

    def rerun(trials: pd.DataFrame, change: Any = lambda result: result, allowed: Allowed = SAME) -> tuple[Rerun, str]:
        curves, said = stored[1], []
        by_trial = dict(tuple(curves.groupby("trial_id")))
        again = {row.trial_id: numbers._stored_result(row, by_trial[row.trial_id]) for _, row in trials.iterrows()}
        results = [found for each in again.values() if (found := change(each)) is not None]
        monkeypatch.setattr(numbers, "_trained", lambda rows, cells: results)
        return rerun_trials(trials, curves, {}, trials.trial_id.tolist()[:2], allowed, said.append), "\n".join(said)

    return rerun


def lost(result: TrialResult) -> TrialResult:
    return failure(result.trial, ERROR, 1, "cpu")


def shifted(result: TrialResult) -> TrialResult:
    """One per cent off in its losses."""
    return replace(result, curve=replace(result.curve, val_loss=result.curve.val_loss * 1.01))


def test_trials_without_a_date_are_compared_and_no_chosen_one_is_passed_over(stored: Any, rerun: Any) -> None:
    trials = stored[0].assign(written_at=None)
    done, _ = rerun(trials)
    assert (done.num, done.num_equal, done.problems) == (len(trials), len(trials), ())
    done, _ = rerun(trials, lambda result: None)
    assert done.problems == tuple(f"trial {name}: was chosen, and not compared" for name in trials.trial_id[:2])


@pytest.mark.parametrize(("is_whole", "allowed", "expected"), [
    (True, SAME, "the same bits"), (False, SAME, ""), (True, NEAR, "at most 0.001"), (False, NEAR, "at most 0.001"),
    (True, Allowed(0.05, 0.05), ""), (False, Allowed(0.0, 0.0), "the same bits"),
])  # fmt: skip
def test_the_tolerance_that_is_stated_is_the_one_that_counts(
    stored: Any, rerun: Any, is_whole: bool, allowed: Allowed, expected: str
) -> None:
    trials = stored[0] if is_whole else stored[0].iloc[1:]
    done, said = rerun(trials, shifted, allowed)
    assert done.largest == pytest.approx(0.01)
    assert ("Stack 1 is not whole, " in said) is not is_whole
    assert len(done.problems) == (len(trials) if expected else 0)
    assert all(problem.endswith(f"it is 0.01 apart. Expected {expected}") for problem in done.problems)


def test_an_error_is_a_problem_that_says_what_it_was(stored: Any, rerun: Any) -> None:
    done, _ = rerun(stored[0], lost)
    assert (done.num, len(done.problems)) == (0, len(stored[0]))
    assert done.problems[0].endswith("cannot be trained again: RuntimeError: the law is not here")


@pytest.mark.slow  # 2 s of processor time, most of it imports
def test_a_law_that_raises_while_it_draws_is_a_problem(stored: Any, make_job: Any) -> None:
    def law(*_: Any, **__: Any) -> None:
        raise RuntimeError("the law is not here")

    cell = replace(make_job("model.width=8").cell, initializer=law)
    rows = stored[0].iloc[:2]
    failed = numbers._trained(rows, dict.fromkeys(rows.cell_id, cell))
    assert [result.error.splitlines()[-1] for result in failed] == ["RuntimeError: the law is not here"] * 2
    starts = Starts(measures=("born_dead",), draws=2)
    table = pd.DataFrame({"cell": [cell.cell_id], "seed": [0], "born_dead": [0.0]})
    done = rerun_starts([table], {cell.cell_id: cell}, starts, [(0, 0)], 0.0)
    assert done.problems[0].endswith("seed 0: cannot be measured again: RuntimeError: the law is not here")


@pytest.mark.slow  # 1 s of processor time: a sweep is composed
def test_draws_and_columns_that_are_missing_are_found() -> None:
    starts = Starts(("model.width=8",), {"init": "he,zero"}, measures=("born_dead",), draws=3)
    cells, (missing,) = start_cells(starts, ())
    assert missing == "starts of 2 cells are missing"
    first, second = (measured(cell, starts) for cell in cells.values())
    assert start_cells(starts, (first, second))[1] == []
    without, few, other = second.drop(columns="born_dead"), second.iloc[:2], second.assign(measures="signal")
    for table, problem in (
        (few, "2 draws. Expected 3"), (without, "no `born_dead`. Expected"), (other, "no `born_dead`. Expected")
    ):  # fmt: skip
        (found,) = start_cells(starts, (first, table))[1]
        assert problem in found
    done = rerun_starts([without], cells, starts, [(0, 1)], 0.0)
    assert (done.num, len(done.problems)) == (0, 1)
    assert "seed 1: no `born_dead`. Expected all columns that the claim measures" in done.problems[0]
    (problem,) = start_cells(replace(starts, params={"init": "he", "model.widht": "8"}), (first,))[1]
    assert problem.startswith("the starts of the claim cannot be made: ")
    assert "widht" in problem


@pytest.mark.parametrize(("table", "message"), [
    (pd.DataFrame({"seed": [0], "measures": [""], "config": ["{}"]}), r"no `cell` in `.*0.parquet`. Expected the "),
    (pd.DataFrame({"cell": [], "seed": [], "measures": [], "config": []}), r"no `rows` in `.*0.parquet`"),
    (None, r"damaged `.*0.parquet`: .*Expected a Parquet file"),
], ids=["column", "rows", "damaged"])  # fmt: skip
def test_a_table_of_starts_that_is_none_is_refused(table: pd.DataFrame | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "starts" / "0.parquet"
    path.parent.mkdir()
    path.write_bytes(b"none") if table is None else table.to_parquet(path, index=False)
    with pytest.raises(StoreError, match=message):
        read_contribution(tmp_path)
