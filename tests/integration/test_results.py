"""Stores merged, shown and pruned: what readers find is the same before and after."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from initsuite.errors import StoreError
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.reproduce import commands, without_command
from initsuite.results import maintain, parts
from initsuite.results import migrate as migration
from initsuite.results.__main__ import main
from initsuite.results.columns import KINDS
from initsuite.results.leases import Leases, hold_all
from initsuite.results.maintain import merge, plan_prune, prune
from initsuite.results.migrate import migrate
from initsuite.results.parts import write_parts
from initsuite.results.sources import REFERENCE_STORE
from initsuite.results.store import Store, load_results, store_hash
from initsuite.spec import PROTOCOL_VERSION
from support.planter import FAILED, LEVELS, Planter

OLD_STORE = Path(__file__).parents[1] / "data" / "store_caf4eea"


def plant(directory: Path, inits: tuple[str, ...] = ("he", "xavier"), **changes: object) -> Path:
    planter = Planter(Store(directory), **changes)
    for place, init in enumerate(inits):
        planter.arm(init, [100 + 40 * place + 20 * (seed % 3) for seed in range(6)])
    return directory


def hash_of(directory: Path) -> str:
    return store_hash(load_results(directory).trials)


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def parts_of(directory: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_of(directory).items() if Path(name).parts[0] in KINDS}


def assert_same_report(ours: Report, theirs: Report) -> None:
    pd.testing.assert_frame_equal(ours.recommendations, theirs.recommendations)
    pd.testing.assert_frame_equal(ours.arms, theirs.arms)
    pd.testing.assert_frame_equal(ours.curves, theirs.curves)
    assert ours.notes == theirs.notes


def untidy(directory: Path) -> Path:
    """A store with all that a prune leaves out, whose newest trial decides levels and grid."""
    plant(directory)
    planter = Planter(Store(directory))
    planter.arm("zero", [300, FAILED, FAILED], None)
    planter.arm("zero", [320, 340], {0.1: 0.85})  # its second seed is done now; the first one is a repeat
    planter.arm("orthogonal", [FAILED])
    # The levels moved with the last command.
    moved = Planter(Store(directory), levels={**LEVELS, "primary": 0.85})
    moved.arm("torch_default", [200] * 6)
    moved.arm("torch_default", [220] * 6)  # trained twice
    return directory


def damage(part: Path) -> None:
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])


# ---- merge ----------------------------------------------------------------------------------------------------------


def test_a_merge_has_the_trials_of_all_sources_and_leaves_them_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = plant(tmp_path / "one")
    two = plant(tmp_path / "two", ("orthogonal",))
    both = plant(plant(tmp_path / "both"), ("orthogonal",))
    before = files_of(one), files_of(two)
    target = tmp_path / "new" / "all"
    assert main(["merge", str(target), str(one), str(two)]) == 0
    printed = capsys.readouterr().out
    assert "Trials: 33 new, 0 known already." in printed
    assert "Parts: 6 copied, 0 already there." in printed
    assert (files_of(one), files_of(two)) == before
    assert hash_of(target) == hash_of(both)
    pd.testing.assert_frame_equal(
        build_report(load_results(target)).recommendations, build_report(load_results(both)).recommendations
    )


def test_a_merge_again_changes_nothing(tmp_path: Path) -> None:
    one = plant(tmp_path / "one")
    merge(tmp_path / "all", [one])
    before = files_of(tmp_path / "all")
    done = merge(tmp_path / "all", [one, one])
    assert (done.num_copied, done.num_same, done.num_new, done.num_known) == (0, 8, 0, 22)
    assert files_of(tmp_path / "all") == before


def test_a_merge_waits_for_a_command_that_holds_the_whole_store(tmp_path: Path) -> None:
    one, target = plant(tmp_path / "one"), tmp_path / "all"
    Store(target)
    merging = threading.Thread(target=merge, args=(target, [one]))
    with hold_all("prune", target):
        merging.start()
        merging.join(0.5)
        assert merging.is_alive()
        assert not list(target.glob("*/*.parquet"))
    merging.join(30)
    assert len(load_results(target).trials) == 22


def test_a_merge_replaces_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Planter(Store(tmp_path / "failed")).arm("he", [100, FAILED])
    Planter(Store(tmp_path / "good")).arm("he", [100, 120, 140])
    assert main(["merge", str(tmp_path / "failed"), str(tmp_path / "good")]) == 0
    assert "Trials: 1 new, 7 known already (1 of them had failed, and are done now)." in capsys.readouterr().out


def test_a_reader_of_a_merge_never_sees_a_trial_without_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = plant(tmp_path / "one")
    written: list[str] = []

    def watch(target: Path, write: object) -> None:
        load = Store(tmp_path / "all").trials()
        assert set(load.trial_id) <= set(load_results(one).trials.trial_id)
        written.append(target.parent.name)
        real(target, write)  # pyright: ignore[reportArgumentType]

    real = maintain.write_whole
    monkeypatch.setattr(maintain, "write_whole", watch)
    merge(tmp_path / "all", [one])
    assert written == ["curves", "curves", "trials", "trials"]
    assert not list((tmp_path / "all").rglob("*.tmp"))


def test_parts_of_one_name_that_differ_stop_a_merge(tmp_path: Path) -> None:
    one = plant(tmp_path / "one")
    for part in (max((one / kind).glob("*.parquet")) for kind in KINDS):
        part.rename(part.with_name("former.parquet"))  # without a hash
    edited = tmp_path / "edited"
    shutil.copytree(one, edited)
    part = edited / "trials" / "former.parquet"
    table = pq.read_table(part)
    pq.write_table(table.set_column(table.column_names.index("lr"), "lr", pa.array([9.0] * len(table))), part)
    for arguments in ((one, [edited]), (tmp_path / "new", [one, edited])):
        with pytest.raises(StoreError, match=r"same name and different content\. .* Find the store that was edited"):
            merge(*arguments)
    assert not files_of(tmp_path / "new")


def test_a_merge_refuses_the_target_as_source_and_what_is_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = plant(tmp_path / "one")
    with pytest.raises(StoreError, match=r"merge: the target is its own source .* Leave it out\."):
        merge(one, [tmp_path / "one" / ".." / "one"])
    assert main(["merge", str(tmp_path / "new"), str(one), str(tmp_path / "nowhere")]) == 2
    shown = capsys.readouterr()
    assert "merge: no results store at `DIR`=" in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "new").exists()


def test_damaged_parts_of_a_source_are_left_out_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = plant(tmp_path / "one")
    damage(min((one / "trials").glob("*.parquet")))
    before = files_of(one)
    assert main(["merge", str(tmp_path / "all"), str(one)]) == 0
    printed = capsys.readouterr().out
    assert "Trials: 11 new, 0 known already." in printed
    assert "Damaged, and left out: " in printed
    assert files_of(one) == before


def test_a_source_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise OSError(5, "Input/output error")

    one = plant(tmp_path / "one")
    monkeypatch.setattr(Path, "read_bytes", away)
    monkeypatch.setattr(Store, "trials", lambda self: pd.DataFrame())
    with pytest.raises(StoreError, match=r"merge: cannot read `.*Fix the disk and try again"):
        merge(tmp_path / "all", [one])


# ---- prune ----------------------------------------------------------------------------------------------------------


def test_a_prune_leaves_the_report_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = untidy(tmp_path / "results")
    before, hashed, trials = build_report(load_results(directory)), hash_of(directory), Store(directory).trials()
    assert before.recommendations.target[0] == 0.85
    assert main(["prune", str(directory)]) == 0
    printed = capsys.readouterr().out
    assert "parts become 1." in printed
    assert "Left out: 12 repeated rows, 1 failures of trials that were done later." in printed
    assert_same_report(build_report(load_results(directory)), before)
    pd.testing.assert_frame_equal(Store(directory).trials(), trials)
    assert hash_of(directory) == hashed
    assert {kind: len(list((directory / kind).glob("*"))) for kind in KINDS} == {"curves": 1, "trials": 1}
    assert Store(directory).stored() == set(trials.trial_id[trials.status != "failed"])
    # What is in few parts is left alone, but for what killed commands left there.
    (directory / "trials" / ".a.parquet.01ab.tmp").touch()
    (directory / ".writable-01ab").touch()
    assert main(["prune", str(directory)]) == 0
    assert capsys.readouterr().out.startswith("Left out: 2 files that killed commands left.")
    assert main(["prune", str(directory)]) == 0
    assert capsys.readouterr().out.startswith("Nothing to prune")
    assert not list(directory.rglob(".*"))


def test_a_prune_in_several_parts_pairs_trials_with_their_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "TRIALS_PER_PART", 10)
    directory = untidy(tmp_path / "results")
    before = build_report(load_results(directory))
    num_trials = len(load_results(directory).trials)
    plan, _ = prune(directory)
    assert plan.num_new_parts == -(-num_trials // 10)
    named = {kind: sorted(path.name for path in (directory / kind).glob("*")) for kind in KINDS}
    assert named["curves"] == named["trials"]
    assert len(named["trials"]) == plan.num_new_parts
    assert_same_report(build_report(load_results(directory)), before)


def test_what_a_prune_puts_away_can_be_merged_again(tmp_path: Path) -> None:
    directory = untidy(tmp_path / "results")
    before = files_of(directory)
    _, place = prune(directory)
    assert place is not None
    assert files_of(place) == before
    report = build_report(load_results(directory))
    done = merge(directory, [place])
    assert done.num_new == 0
    assert_same_report(build_report(load_results(directory)), report)


def test_a_prune_can_delete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = untidy(tmp_path / "results")
    before = build_report(load_results(directory))
    assert main(["prune", str(directory), "--delete"]) == 0
    assert "deleted" in capsys.readouterr().out
    assert not (directory / "pruned").exists()
    assert len(list(directory.rglob("*.parquet"))) == 2
    assert_same_report(build_report(load_results(directory)), before)


def test_a_dry_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = untidy(tmp_path / "results")
    before = files_of(directory)
    assert main(["prune", str(directory), "--dry-run"]) == 0
    assert "Would leave out: 12 repeated rows, 1 failures" in capsys.readouterr().out
    assert files_of(directory) == before


def test_older_versions_go_when_asked(tmp_path: Path) -> None:
    directory = plant(tmp_path / "results")
    Planter(Store(directory)).arm("zero", [100] * 2, protocol_version=PROTOCOL_VERSION - 1)
    before = build_report(load_results(directory))
    assert prune(directory)[0].left_out["trials of older protocol versions"] == 0
    assert_same_report(build_report(load_results(directory)), before)
    assert prune(directory, older_versions=True)[0].left_out["trials of older protocol versions"] == 7
    after = build_report(load_results(directory))
    pd.testing.assert_frame_equal(after.recommendations, before.recommendations)
    pd.testing.assert_frame_equal(after.arms, before.arms)
    assert not any("protocol version" in note for note in after.notes)


def test_damaged_parts_and_lost_trials_go(tmp_path: Path) -> None:
    directory = plant(tmp_path / "results")
    damage(max((directory / "curves").glob("*.parquet")))
    with pytest.warns(UserWarning, match="damaged part"):
        plan, place = prune(directory)
    assert (plan.left_out["trials whose curve is lost"], plan.left_out["damaged parts"]) == (11, 1)
    assert place is not None
    assert len(list((place / "quarantine").iterdir())) == 1
    assert len(load_results(directory).trials) == 11
    # Where the quarantine is all there is to go, the parts stay.
    shutil.copy(place / "quarantine" / next((place / "quarantine").iterdir()).name, directory / "quarantine")
    plan, _ = prune(directory)
    assert not plan.is_rewritten
    assert len(plan.old) == 1


def test_a_prune_refuses_a_store_that_is_trained_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = untidy(tmp_path / "results")
    before = files_of(directory)
    code = (
        "import sys, time; from pathlib import Path; from initsuite.results.leases import Leases\n"
        "with Leases(Path(sys.argv[1])) as leases:\n"
        "    leases.take('stack'); print('taken', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE) as launch:
        assert launch.stdout is not None
        launch.stdout.readline()
        assert main(["prune", str(directory)]) == 2
        assert f"process {launch.pid}). Expected a store that nobody is training into." in capsys.readouterr().err
        assert {name: content for name, content in files_of(directory).items() if "claims" not in name} == before
        launch.kill()
    # A launch that was killed does not stand in the way.
    assert main(["prune", str(directory)]) == 0
    assert not list((directory / "claims").iterdir())


def test_a_launch_waits_for_a_prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = untidy(tmp_path / "results")
    taken: list[bool] = []

    def watch(*arguments: object) -> None:
        with Leases(directory) as launch:
            taken.append(launch.take("planning"))

    monkeypatch.setattr(maintain, "_write", watch)
    monkeypatch.setattr(maintain, "put_away", watch)
    prune(directory)
    assert taken
    assert not any(taken)


def test_trials_that_are_stored_during_a_prune_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their curves may be in the list of old parts: here two parts of trials are stored after the list is made."""
    directory = plant(tmp_path / "results", ("he", "xavier", "orthogonal", "zero"))
    before = hash_of(directory)
    late = sorted((directory / "trials").glob("*.parquet"))[-2:]
    content = {part: part.read_bytes() for part in late}
    for part in late:
        part.unlink()

    def store_then_write(*arguments: object) -> None:
        for part, found in content.items():
            part.write_bytes(found)
        real(*arguments)  # pyright: ignore[reportArgumentType]

    real = maintain._write
    monkeypatch.setattr(maintain, "_write", store_then_write)
    prune(directory)
    assert hash_of(directory) == before


def test_a_store_of_a_newer_version_is_not_pruned(tmp_path: Path) -> None:
    directory = plant(tmp_path / "results")
    part = max((directory / "trials").glob("*.parquet"))
    table = pq.read_table(part)
    newer = table.append_column("sharpness", pa.array([1.0] * len(table)))
    write_parts(directory, "newer", {"trials": newer})
    with pytest.raises(StoreError, match=r"unknown columns `sharpness`, .* Prune with the version that wrote it"):
        plan_prune(directory)


def test_parts_that_cannot_be_moved(tmp_path: Path) -> None:
    directory = untidy(tmp_path / "results")
    before = build_report(load_results(directory))
    (directory / "pruned").write_text("in the way")
    with pytest.raises(StoreError, match=r"prune: cannot put `.*Nothing is lost"):
        prune(directory)
    assert_same_report(build_report(load_results(directory)), before)


def test_an_empty_store_has_nothing_to_prune(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(tmp_path)
    assert main(["prune", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("Nothing to prune")


# ---- migrate --------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """Written by a version that stored no overrides."""
    shutil.copytree(OLD_STORE, tmp_path / "old")
    return tmp_path / "old"


def test_a_migration_writes_the_overrides_and_changes_nothing_else(
    old_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, parts_before = load_results(old_store), files_of(old_store)
    report = build_report(before)
    assert commands(report) == []
    assert without_command(report).startswith("18 trials were stored by an older version")
    assert main(["migrate", str(old_store), "--dry-run"]) == 0
    assert capsys.readouterr().out == "Would write the overrides of 18 rows of trials.\n"
    assert files_of(old_store) == parts_before
    assert main(["migrate", str(old_store)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Wrote the overrides of 18 rows of trials.\nOld files: 12 moved to ")
    after = load_results(old_store)
    assert after.trials.overrides.notna().all()
    pd.testing.assert_frame_equal(after.trials.assign(overrides=before.trials.overrides), before.trials)
    pd.testing.assert_frame_equal(after.curves, before.curves)
    assert store_hash(after.trials) == store_hash(before.trials)
    assert Store(old_store).stored() == set(before.trials.trial_id)
    names = [{path.name for path in (old_store / kind).iterdir()} for kind in KINDS]
    assert names[0] == names[1]
    # A second time there is nothing to do.
    parts_after = files_of(old_store)
    assert main(["migrate", str(old_store)]) == 0
    assert capsys.readouterr().out.startswith("Nothing to migrate")
    assert files_of(old_store) == parts_after


@pytest.mark.slow
def test_the_commands_of_a_migrated_store_make_its_trials_again(old_store: Path) -> None:
    """By this version, since the store is of a former one."""
    migrate(old_store)
    old = load_results(old_store).trials
    report = build_report(load_results(old_store))
    assert without_command(report) == ""
    found = commands(report)
    assert len(found) == 3
    for command in found:
        words = [*shlex.split(command)[1:], f"results_dir={old_store}", "tracking=disabled"]
        done = subprocess.run([sys.executable, *words], cwd=old_store.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    trials = load_results(old_store).trials
    new = trials[trials.protocol_version == PROTOCOL_VERSION]
    same = ["dataset", "model", "activation", "init", "optimizer", "seed", "stage"]
    assert sorted(new[same].values.tolist()) == sorted(old[same].values.tolist())


def test_what_a_migration_puts_away_can_be_merged_again(old_store: Path) -> None:
    place = migrate(old_store).place
    assert place is not None
    assert files_of(place) == parts_of(OLD_STORE)
    before = load_results(old_store)
    assert merge(old_store, [place]).num_new == 0
    pd.testing.assert_frame_equal(load_results(old_store).trials, before.trials)  # the overrides are still found
    assert migrate(old_store).num_filled == 18
    prune(old_store)
    pd.testing.assert_frame_equal(load_results(old_store).trials, before.trials)


def test_parts_that_have_overrides_are_left_alone(old_store: Path) -> None:
    late = sorted((old_store / "trials").glob("*.parquet"))[0]
    content = {part: part.read_bytes() for part in (late, old_store / "curves" / late.name)}
    for part in content:
        part.unlink()
    migrate(old_store)
    migrated = files_of(old_store)
    for part, found in content.items():
        part.write_bytes(found)
    done = migrate(old_store)
    assert done.old == tuple(content)
    assert migrated.items() <= files_of(old_store).items()
    assert load_results(old_store).trials.overrides.notna().all()


def test_rows_without_a_configuration_stay_without_overrides(
    old_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in (old_store / "trials").glob("*.parquet"):
        pq.write_table(pq.read_table(part).drop_columns(["config"]), part)
    before = parts_of(old_store)
    assert main(["migrate", str(old_store)]) == 0
    printed = capsys.readouterr().out
    assert "Left without overrides: 18 rows with no stored configuration." in printed
    assert parts_of(old_store) == before


def test_a_store_that_is_trained_into_is_not_migrated(old_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(old_store)
    with Leases(old_store) as launch:
        launch.take("stack")
        assert main(["migrate", str(old_store)]) == 2
        assert "migrate: another command is using `DIR`=" in capsys.readouterr().err
    assert files_of(old_store) == before
    assert main(["migrate", str(old_store / "nowhere")]) == 2
    assert "migrate: no results store at" in capsys.readouterr().err


def test_a_reader_of_a_migration_finds_every_trial_with_its_curve(
    old_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(load_results(old_store).trials.trial_id)
    seen = []

    def watched(real: Callable[..., None]) -> Callable[..., None]:
        def watch(*arguments: object) -> None:
            seen.append(set(Store(old_store).trials().trial_id))
            with Leases(old_store) as launch:
                assert not launch.take("planning")  # which a launch waits for
            real(*arguments)

        return watch

    monkeypatch.setattr(parts, "write_whole", watched(parts.write_whole))
    monkeypatch.setattr(migration, "put_away", watched(migration.put_away))
    migrate(old_store)
    assert len(seen) == 24
    assert all(found == before for found in seen)


def test_the_shipped_reference_says_how_it_is_made() -> None:
    (command,) = commands(build_report(load_results(REFERENCE_STORE)))
    assert command.startswith("python -m initsuite.train -m experiment=article workload=")
    assert command.endswith(" protocol=quick seeds=10")
    assert hash_of(REFERENCE_STORE) == "e89b276cd5b9c325"  # of what was measured


# ---- show -----------------------------------------------------------------------------------------------------------


def test_show_says_what_a_store_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    directory = untidy(tmp_path / "results")
    Planter(Store(directory)).arm("he", [100], None, lr=0.5, commit="b" * 40, dirty=True)
    (directory / "wandb" / "uploaded").mkdir(parents=True)
    run = load_results(directory).trials.trial_id[0]
    (directory / "wandb" / "uploaded" / run).write_text("https://wandb.test/team/project/runs/1\n")
    assert main(["show", str(directory)]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    printed = " ".join(" ".join(lines).split())
    assert f"hash {hash_of(directory)}" in printed
    assert "tune 21 done; score 21 done, 2 failed" in printed
    assert "initializers 5: he, orthogonal, torch_default, xavier, zero" in printed
    assert "contexts 1 cells 5" in printed
    assert "experiments none protocols 1: standard" in printed
    assert f"protocol versions {PROTOCOL_VERSION} (" in printed
    assert "commits aaaaaaaaa, bbbbbbbbb (dirty)" in printed
    assert "damaged parts none" in printed
    assert "W&B runs 1, such as https://wandb.test/team/project/runs/1" in printed


def test_show_finds_the_shipped_reference_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", "reference"]) == 0
    assert "e89b276cd5b9c325" in capsys.readouterr().out, "what was measured has not changed"
    (tmp_path / "reference").mkdir()
    assert main(["show", "reference"]) == 2


def test_show_names_damage_and_takes_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(tmp_path)
    (tmp_path / "trials" / "torn.parquet").write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="damaged part"):
        assert main(["show", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "damaged parts 1, in quarantine" in printed
    assert "trials none" in printed
    assert "written never" in printed
    assert main(["show", str(tmp_path / "nowhere")]) == 2


def test_the_door_starts_fast_and_without_torch(tmp_path: Path) -> None:
    directory = plant(tmp_path / "results")
    started = time.monotonic()
    command = [sys.executable, "-X", "importtime", "-m", "initsuite.results", "show", str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - started < 30
    modules = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not modules & {"torch", "hydra", "wandb", "scipy", "matplotlib"}


# ---- hash -----------------------------------------------------------------------------------------------------------


def test_a_hash_depends_on_what_was_measured_and_on_nothing_else(tmp_path: Path) -> None:
    trials = load_results(untidy(tmp_path / "results")).trials
    first = store_hash(trials)
    assert len(first) == 16
    assert store_hash(trials.sample(frac=1, random_state=0)) == first
    assert store_hash(pd.concat([trials, trials])) == first
    assert store_hash(trials.assign(written_at="2026", commit="c", wall_s=9.0, stack_size=1)) == first
    for column in ("test_score", "final_val_score", "steps_to_target", "loss_auc", "diverged_at"):
        assert store_hash(trials.assign(**{column: trials[column].fillna(0) + 1e-9})) != first
    assert store_hash(trials.assign(status="done")) != first
    assert store_hash(trials.iloc[1:]) != first
