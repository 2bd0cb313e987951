import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import initsuite
from initsuite.errors import StoreError
from initsuite.results.columns import CURVES, TRIALS
from initsuite.results.store import Store
from initsuite.spec import Curve


def curve(length: int = 3) -> Curve:
    values = np.linspace(0.0, 1.0, length)
    return Curve(np.arange(1, length + 1), values, values, np.where(values > 0.9, np.nan, values))


def row(trial_id: str, status: str = "done", **more: object) -> dict[str, object]:
    return {"trial_id": trial_id, "status": status, "seed": 1, "lr": 0.1, "error": "", "dirty": False, **more}


def test_what_is_stored_is_read_back(tmp_path) -> None:
    store = Store(tmp_path / "new" / "folder")
    store.append([row("a", steps_to_target=math.nan, diverged_at=None), row("b")], {"a": curve(), "b": curve(2)})
    results = initsuite.load_results(tmp_path / "new" / "folder")
    assert list(results.trials.columns) == TRIALS.names
    assert list(results.curves.columns) == CURVES.names
    assert set(results.trials.trial_id) == {"a", "b"}
    assert results.trials.steps_to_target.isna().all()
    assert results.trials.lr.dtype == np.float64
    a = results.curves[results.curves.trial_id == "a"]
    assert a.step.tolist() == [1, 2, 3]
    assert a.train_loss.tolist() == [0.0, 0.5, 1.0]
    assert math.isnan(a.val_score.iloc[-1])


def test_parts_from_before_there_were_other_metrics_are_read(tmp_path) -> None:
    Store(tmp_path).append([row("a", test_score=0.5, final_val_score=0.25)], {"a": curve()})
    for kind in ("trials", "curves"):
        (part,) = (tmp_path / kind).glob("*.parquet")
        table = pq.read_table(part)
        table = table.rename_columns([name.replace("_score", "_accuracy") for name in table.column_names])
        pq.write_table(table.drop_columns(["metric"]) if kind == "trials" else table, part.with_name("former.parquet"))
        part.unlink()
    results = initsuite.load_results(tmp_path)
    (trial,) = results.trials.itertuples()
    assert (trial.test_score, trial.final_val_score, trial.metric) == (0.5, 0.25, "accuracy")
    assert results.curves.val_score.tolist()[:2] == [0.0, 0.5]
    assert Store(tmp_path).stored() == {"a"}


def test_parts_are_only_added(tmp_path) -> None:
    store = Store(tmp_path)
    store.append([row("a")], {"a": curve()})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    store.append([row("b")], {"b": curve()})
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_later_row_replaces_a_failed_one_and_no_other(tmp_path) -> None:
    store = Store(tmp_path)
    store.append([row("a", "failed", error="first")], {"a": curve(0)})
    store.append([row("a", "failed", error="second")], {"a": curve(0)})
    assert store.read().trials.error.tolist() == ["second"]
    store.append([row("a", loss_auc=1.0)], {"a": curve()})
    store.append([row("a", "failed", error="third")], {"a": curve(0)})
    store.append([row("a", loss_auc=2.0)], {"a": curve()})
    results = store.read()
    assert results.trials.loss_auc.tolist() == [1.0]
    assert len(results.curves) == 3


def test_an_empty_store_has_all_columns(tmp_path) -> None:
    results = Store(tmp_path).read()
    assert list(results.trials.columns) == TRIALS.names
    assert results.trials.empty
    assert results.curves.empty


def test_pandas_alone_reads_a_part(tmp_path) -> None:
    Store(tmp_path).append([row("a")], {"a": curve()})
    assert pd.read_parquet(tmp_path / "trials").trial_id.tolist() == ["a"]


@pytest.mark.parametrize("kind", ["trials", "curves"])
def test_a_damaged_part_is_moved_and_named(tmp_path, kind) -> None:
    store = Store(tmp_path)
    store.append([row("a")], {"a": curve()})
    store.append([row("b")], {"b": curve()})
    part = max((tmp_path / kind).glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="will be run again"):
        results = store.read()
    assert results.damaged == [tmp_path / "quarantine" / f"{kind}-{part.name}"]
    assert results.damaged[0].exists()
    assert not part.exists()


def test_a_trial_whose_curve_was_lost_is_not_listed(tmp_path) -> None:
    store = Store(tmp_path)
    store.append([row("a")], {"a": curve()})
    next((tmp_path / "curves").glob("*.parquet")).write_bytes(b"")
    with pytest.warns(UserWarning, match="quarantine"):
        assert store.read().trials.empty


def test_a_disk_that_cannot_be_read_is_no_damage(tmp_path, monkeypatch) -> None:
    store = Store(tmp_path)
    store.append([row("a")], {"a": curve()})

    def stale(*arguments, **options):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("pathlib.Path.read_bytes", stale)
    with pytest.raises(StoreError, match="Fix the disk and try again"):
        store.read()
    monkeypatch.undo()
    assert store.read().trials.trial_id.tolist() == ["a"]


def test_a_folder_that_is_no_store_is_refused(tmp_path) -> None:
    with pytest.raises(StoreError, match=r"python -m initsuite\.train results_dir=DIR"):
        initsuite.load_results(tmp_path / "nothing")


def test_a_store_that_cannot_be_made_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Choose another with results_dir=DIR"):
        Store(tmp_path / "file" / "store")


def test_a_write_that_fails_leaves_the_store_intact(tmp_path, monkeypatch) -> None:
    store = Store(tmp_path)
    store.append([row("a")], {"a": curve()})

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match=r"No space left on device.*fix the disk and run the command again"):
        store.append([row("b")], {"b": curve()})
    monkeypatch.undo()
    assert store.read().trials.trial_id.tolist() == ["a"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_one_wrong_byte_inside_a_part_is_damage(tmp_path) -> None:
    store = Store(tmp_path)
    store.append([row("a")], {"a": curve(50)})
    part = next((tmp_path / "curves").glob("*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 0xFF
    part.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="will be run again"):
        assert store.trials().empty


def test_trials_alone_are_those_of_the_whole_store(tmp_path) -> None:
    """Also for parts that another writer adds, and that damage takes away, between two calls."""
    store, other = Store(tmp_path), Store(tmp_path)
    for writer, trial_id in ((store, "a"), (other, "b"), (store, "c")):
        writer.append([row(trial_id), row(f"{trial_id}-failed", "failed")], {trial_id: curve()})
        pd.testing.assert_frame_equal(store.trials(), other.read().trials)
    assert store.stored() == {"a", "b", "c"}
    lost = max((tmp_path / "curves").glob("*.parquet"))
    lost.write_bytes(b"")
    with pytest.warns(UserWarning, match="quarantine"):
        assert len(Store(tmp_path).stored()) == 2


def test_new_parts_of_other_writers_are_seen_and_lost_curves_are_missed(tmp_path) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    assert store.stored() == set()
    other.append([row("a"), row("b", "failed")], {"a": curve(), "b": curve(0)})
    store.append([row("c")], {"c": curve()})
    assert store.stored() == {"a", "c"}
    before = set((tmp_path / "curves").iterdir())
    other.append([row("d")], {"d": curve()})
    (new,) = set((tmp_path / "curves").iterdir()) - before
    new.unlink()
    assert store.stored() == {"a", "c"}


def test_a_launch_reads_each_part_once(tmp_path, monkeypatch) -> None:
    """Thousands of trials lie in hundreds of parts, and a launch asks for them at every stage."""
    for name in "abc":
        Store(tmp_path).append([row(name)], {name: curve()})
    store, opened = Store(tmp_path), list[str]()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda part: opened.append(str(part)) or read(part))
    for _ in range(3):
        assert store.stored() == set(store.trials().trial_id) == {"a", "b", "c"}
    assert len(opened) == len(set(opened)) == 6
    del store.trials()["trial_id"]
    assert "trial_id" in store.trials()  # what is kept is not the caller's


def test_a_damaged_record_of_an_upload_costs_no_more_than_its_link(tmp_path) -> None:
    store = Store(tmp_path)
    store.append([row(name) for name in "abcd"], {name: curve() for name in "abcd"})
    folder = tmp_path / "wandb" / "uploaded"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"https://wandb.ai/me/initsuite/runs/a\n")
    (folder / "b").write_bytes(b"https://wandb.ai/\xff")
    (folder / "c").write_bytes(b"javascript:alert(1)")
    (folder / "d").touch()
    (folder / "other").mkdir()
    assert store.read().links == {"a": "https://wandb.ai/me/initsuite/runs/a"}


def test_an_odd_text_of_one_trial_costs_no_other_trial(tmp_path) -> None:
    store = Store(tmp_path)
    long = "begin" + "x" * 20_000_000 + "the end"
    rows = [row("a"), row("b", "failed", error="caf\udce9"), row("c", "failed", error=long)]
    store.append(rows, {name: curve(3 if name == "a" else 0) for name in "abc"})
    errors = store.read().trials.set_index("trial_id").error
    assert errors["b"] == "caf\\udce9"
    assert errors["c"].startswith("beginxxx")
    assert errors["c"].endswith("the end")
    assert "19,980,012 characters left out" in errors["c"]
    assert len(errors["c"]) < 21_000
