"""Tables of answers beside the trials of a store: what they hold, and when they are not used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from initsuite.report import answer as answering
from initsuite.report.answer import derive, recommend
from initsuite.report.derived import FOLDER, Derived, questions, read_derived, set_name, write_derived
from initsuite.report.tried import KINDS, Tried
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.results.store import Store, load_results
from support.planter import Planter

FAST = [100.0 + 20 * seed for seed in range(8)]
SLOW = [steps + 200 for steps in FAST]


def tried(number: int, hidden_layers: int = 2, **kinds: str) -> Tried:
    usual = {"model": "mlp", "norm": "none", "activation": "relu", "optimizer": "sgd", "dataset": "digits"}
    return Tried((f"c{number}", "tuned"), {**usual, **kinds}, hidden_layers)


def test_each_set_of_contexts_that_can_be_asked_about_is_one_question() -> None:
    every = [tried(0), tried(1, 30), tried(2, model="cnn"), tried(3, model="cnn", norm="batch")]
    found = {frozenset(one.key[0] for one in chosen) for chosen in questions(every)}
    assert len(found) == len(questions(every))
    by_hand = ["0", "1", "2", "3", "01", "23", "012", "02", "023", "0123"]  # such as depth=2 with norm=none: 0 and 2
    assert found == {frozenset(f"c{number}" for number in numbers) for numbers in by_hand}


def test_the_name_of_a_set_does_not_depend_on_its_order() -> None:
    assert set_name([tried(0), tried(1)]) == set_name([tried(1), tried(0)]) != set_name([tried(0)])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = Store(tmp_path_factory.mktemp("planted"))
    for depth, good in ((2, "he"), (8, "xavier")):
        planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
        for init in ("he", "xavier"):
            planter.arm(init, FAST if init == good else SLOW)
    return build_report(load_results(store.directory))


@pytest.fixture
def store(report: Report, tmp_path: Path) -> Path:
    """A store with its derived tables."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "part.parquet").touch()
    write_derived([tmp_path], derive(report), {"store_hash": "0" * 16})
    return tmp_path


def read(store: Path) -> Derived:
    found = read_derived([store])
    assert found is not None
    return found


def test_what_is_read_is_what_was_written(report: Report, store: Path) -> None:
    found, written = read(store), derive(report)
    assert (found.tried, found.answers) == (written.tried, written.answers)
    assert [one.kinds.keys() == set(KINDS) for one in found.tried] == [True, True]
    assert found.evidence_of(found.tried[1:]).recommended.tolist() == ["xavier"]


@pytest.mark.parametrize("name", ["origin.json", "answers.parquet", "contexts.parquet"])
def test_damaged_tables_are_not_used(store: Path, name: str) -> None:
    (store / FOLDER / name).write_bytes(b"{}")
    assert read_derived([store]) is None


def test_tables_of_other_trials_are_not_used(store: Path) -> None:
    (store / "trials" / "another.parquet").touch()
    assert read_derived([store]) is None
    shutil.rmtree(store / FOLDER)
    assert read_derived([store]) is None


def test_a_question_without_a_stored_answer_is_worked_out(
    report: Report, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read(store)
    monkeypatch.setattr(answering, "_reference", lambda: report)
    for stored in (whole, Derived(whole.tried, whole.evidence, {}), None):
        monkeypatch.setattr(answering, "_derived", lambda stored=stored: stored)
        assert recommend(depth=8).recommended == "xavier"
        assert recommend(depth=4).neighbours.keys() == {2, 8}
