"""The report from planted stores: each sentence has a case that must make it, and the files are read back."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from initsuite.errors import StoreError
from initsuite.report import arms_table, recommend_table
from initsuite.report.__main__ import main
from initsuite.report.figures import curves
from initsuite.report.text.display import arms_by_context, confidence_text, recommendations_for_people, summary_line
from initsuite.report.verdicts.recommendations import build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.store import Store, load_results
from initsuite.spec import PROTOCOL_VERSION
from support.markup import Markup
from support.planter import CHANCE, DIVERGED, FAILED, LEVELS, MISS, STUCK, Planter

FILES = ["recommendations.html", "recommendations.md", "recommendations.csv", "recommendations.json", "arms.csv"]
FILES += [f"tables/{name}" for name in ("recommendations_table.html", "recommendations.tex", "trials.csv")]
FILES += [f"tables/scorecard.{kind}" for kind in ("html", "md", "tex", "csv")]
FIGURE_FILES = [
    f"figures/{name}.{kind}"
    for name in ("curves", "steps_to_target", "lr_sensitivity")
    for kind in ("png", "pdf", "csv")
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def only_row(store: Store) -> pd.Series:
    table = recommend_table(store.read())
    assert len(table) == 1
    return table.iloc[0]


def arm_row(store: Store, init: str) -> pd.Series:
    table = arms_table(store.read())
    return table[table.init == init].iloc[0]


def clear_winner(store: Store, num_seeds: int = 10) -> None:
    planter = Planter(store)
    planter.arm("he", [100 + 20 * (seed % 3) for seed in range(num_seeds)])
    planter.arm("torch_default", [300 + 20 * (seed % 4) for seed in range(num_seeds)])
    planter.arm("zero", [MISS] * num_seeds, STUCK, easy=False)


def test_a_clear_winner(store: Store) -> None:
    clear_winner(store)
    row = only_row(store)
    assert row.in_words == (
        "he reaches the target 0.84 in 10 of 10 seeds (median 120 steps [100, 140]); zero stays near chance at every "
        "learning rate. Worse than he (adjusted p = 0.0039): torch_default in 10 of 10 seeds (median 320 steps "
        "[300, 360]). Fastest and most accurate: he, +0.2 points [0.2, 0.2] over torch_default, p = 0.0039."
    )
    assert (row.recommended, row.tied_with, row.seeds) == ("he", "", "10")
    assert (row.confidence, row.confidence_reason) == ("high", "better than every other arm")
    assert (row.article_agrees, row.article_reason) == ("yes", "he")
    assert (row.best_lr, row.lr_window_low, row.lr_window_high, row.lr_window_decades) == (0.1, 0.01, 0.316, 1.5)
    assert row.improvement_over_torch_default == 1
    # Clopper-Pearson for 10 of 10: the lower bound is (alpha / 2)^(1 / 10).
    assert row.success_rate_low == pytest.approx(0.025**0.1)


def test_ties_are_an_answer(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100, 140, 120, 160, 100, 140, 120, 160, 120, 140])
    planter.arm("orthogonal", [140, 100, 160, 120, 140, 100, 160, 120, 140, 160])
    row = only_row(store)
    assert row.recommended == "he"
    assert row.tied_with == "orthogonal"
    assert (row.confidence, row.confidence_reason) == ("low", "undecided")
    assert "Undecided between he and orthogonal (adjusted p = " in row.in_words
    assert math.isnan(row.improvement_over_torch_default)


def test_few_seeds_claim_nothing(store: Store) -> None:
    clear_winner(store, num_seeds=3)
    row = only_row(store)
    # Two comparisons: 2 * 2^(1 - n) <= 0.05 from n = 7 on.
    assert row.seeds_to_decide == 7
    assert (
        "he trains in all of 3 seeds, zero in none. Not enough seeds to tell he from torch_default (3 of at least 7): "
        in row.in_words
    )
    assert "run the same command with seeds=7." in row.in_words
    assert arm_row(store, "zero").verdict == "stays near chance"
    assert (row.confidence, row.confidence_reason) == ("low", "not enough seeds (7 could decide)")
    assert math.isnan(row.median_steps_low)


def test_misses_are_infinite_and_stay_in(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 8)
    planter.arm("xavier", [200, 220, 240, MISS, MISS, MISS, MISS, MISS])
    row = arm_row(store, "xavier")
    assert (row.num_reached, row.median_steps, row.median_steps_low) == (3, math.inf, 200)
    assert row.verdict == "worse"
    assert "Worse than he (adjusted p = 0.0078): xavier in 3 of 8 seeds." in only_row(store).in_words


def test_a_diverged_trial_counts_as_chance(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100, 100, DIVERGED, DIVERGED])
    row = arm_row(store, "he")
    assert row.num_diverged == 2
    assert row.test_score == pytest.approx((2 * (0.86 - 0.001 - 0.01) + 2 * CHANCE) / 4)
    assert "he reaches the target 0.84 in 2 of 4 seeds, diverging in 2." in only_row(store).in_words
    assert confidence_text(only_row(store)) == "none: nothing to compare with"


def test_nobody_reaches_the_target(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [MISS] * 6)
    planter.arm("xavier", [MISS] * 6, easy=False)
    row = only_row(store)
    assert (row.level, row.target, row.recommended) == ("easy", 0.7, "he")
    assert row.in_words.startswith(
        "Nobody reaches the target 0.84: the easier level 0.7 ranks the arms. he reaches the"
    )
    assert row.median_steps == 400


def test_nobody_reaches_the_easier_level(store: Store) -> None:
    planter = Planter(store, levels={"easy": 0.9, "primary": 0.95, "hard": 0.99})
    planter.arm("he", [MISS] * 6)
    for other in ("xavier", "orthogonal"):
        planter.arm(other, [MISS] * 6, easy=False)
    row = only_row(store)
    assert row.level == "loss area"
    assert row.in_words.startswith("Nobody reaches the target 0.95 or the easier level: the area under the validation")
    assert "he has the smallest loss area, median 1 [1, 1] nats (6 seeds)" in row.in_words


def test_no_frozen_target(store: Store) -> None:
    planter = Planter(store, levels=None)
    planter.arm("he", [100] * 7)
    planter.arm("xavier", [300] * 7)
    row = only_row(store)
    assert row.in_words.startswith("This data set has no frozen target yet: the area under the validation loss ranks")
    assert row.recommended == "he"
    assert (row.confidence, row.confidence_reason) == ("high", "better than every other arm, by loss area")
    assert "Worse than he (adjusted p = 0.016): xavier 0.6 [0.6, 0.6] nats." in row.in_words


def test_no_initializer_trains(store: Store) -> None:
    planter = Planter(store, depth=30)
    planter.arm("xavier", [MISS, DIVERGED], STUCK, easy=False)
    planter.arm("zero", [MISS, MISS], STUCK, easy=False)
    row = only_row(store)
    assert row.recommended == "none"
    assert row.in_words == (
        "No initializer trains: zero and xavier stay near chance at every learning rate. See where the signal gets "
        "lost: initsuite diagnose init=zero ...."
    )
    assert (row.confidence, row.confidence_reason) == ("none", "no initializer trains")
    assert (row.article_agrees, row.article_reason) == (
        "cannot say",
        "it chooses orthogonal but nothing is recommended",
    )


def test_one_lr_for_all_is_its_own_row(store: Store) -> None:
    planter = Planter(store)
    planter.origin["protocol"] = "fixed"
    for lr in (0.1, 0.316):
        planter.arm("he", [100] * 6, tune=None, lr=lr)
        planter.arm("zero", [MISS] * 6, tune=None, lr=lr, easy=False)
    table = recommend_table(store.read())
    assert table.lr_rule.tolist() == ["one lr for all: 0.1", "one lr for all: 0.316"]
    assert "zero stays near chance at lr 0.1" in table.in_words[0]
    assert table.lr_window_low.isna().all()


def test_fixed_trials_serve_the_tuned_row_where_the_lr_is_the_best(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100, 120, 140], tune=None, protocol="fixed")
    planter.arm("he", [])
    table = recommend_table(store.read())
    assert table.lr_rule.tolist() == ["tuned", "one lr for all: 0.1"]
    assert table.num_reached.tolist() == [3, 3]
    assert "Scoring trials that count: 3." in summary_line(build_report(store.read()))


def test_fixed_trials_after_tuning_have_their_own_row(store: Store) -> None:
    planter = Planter(store)
    for init, steps in (("he", 100), ("xavier", 200)):
        planter.arm(init, [steps] * 3)
    planter.arm("xavier", [160] * 3, tune=None, lr=0.316, protocol="fixed")
    planter.arm("he", [120] * 2, tune=None, lr=0.316, protocol="fixed")
    planter.arm("zero", [MISS] * 2, tune=None, lr=0.1, easy=False, protocol="fixed")
    report = build_report(store.read())
    arms = {rule: sorted(group.init) for rule, group in report.arms.groupby("lr_rule")}
    assert arms == {
        "tuned": ["he", "xavier"],
        "one lr for all: 0.1": ["he", "xavier", "zero"],  # those of another protocol too
        "one lr for all: 0.316": ["he", "xavier"],
    }
    assert not any("left out" in note for note in report.notes)


def test_scores_at_an_earlier_best_lr_are_left_out(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 4, lr=0.316)
    planter.arm("he", [120] * 6, tune=None)
    report = build_report(store.read())
    assert report.recommendations.num_reached[0] == 6
    assert "4 scoring trials are left out: at an earlier best learning rate." in report.notes
    assert not any("The same command" in note for note in report.notes)


def test_scores_whose_seed_is_missing_at_the_best_lr_are_told(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 4, lr=0.316)
    planter.arm("he", [120] * 3, tune=None)
    notes = build_report(store.read()).notes
    assert "3 scoring trials are left out: at an earlier best learning rate." in notes
    assert any(
        note.startswith("1 scoring trial is left out: at a learning rate that is not the best one")
        and note.endswith("The same command, run again, scores the missing ones.")
        for note in notes
    )


def test_contexts_of_other_metrics_stand_in_one_table(store: Store) -> None:
    clear_winner(store)
    regression = Planter(store, dataset="teacher", levels=None)
    regression.config["dataset"] |= {"metric": "mse", "loss": "mse", "chance": 1.0}
    regression.arm("he", [MISS] * 6, {0.01: 0.5, 0.1: 0.2, 1.0: 0.9}, easy=False)
    report = build_report(load_results(store.directory))
    (row,) = report.recommendations.query("dataset == 'teacher'").itertuples()
    assert (row.metric, row.loss_unit, row.best_lr) == ("mse", "squared units", 0.1), "the lowest error is the best"
    assert (row.lr_window_low, row.lr_window_high) == (0.01, 0.1), "an error of 0.9 is near the chance of 1"
    assert "squared units" in row.in_words
    table = recommendations_for_people(report.recommendations)
    assert list(map(str, table.metric)) == ["accuracy", "mean squared error"]
    assert "test score [95 %]" in table
    titles = dict(arms_by_context(report))
    assert any("test mean squared error [95 %]" in table for table in titles.values())
    assert any("loss area, squared units [95 %]" in table for table in titles.values())
    drawing = curves(Views(report))
    assert drawing is not None
    labels = [axes.get_ylabel() for axes in drawing.pages[0].axes]
    assert labels == ["validation accuracy", "validation mean squared error"]


def test_levels_that_moved_hold_for_all_trials(store: Store) -> None:
    # he was trained when the target was 0.84 and reached it at step 100; on the line from there to 0.859 at step 601
    # it passes 0.85 between steps 360 and 380. xavier was trained when the target was 0.85.
    Planter(store).arm("he", [100] * 6)
    Planter(store, levels={**LEVELS, "primary": 0.85}).arm("xavier", [MISS] * 6)
    stored = store.read()
    assert stored.trials.query("init == 'he' and stage == 'score'").steps_to_target.unique() == [100]
    report = build_report(stored)
    assert len(report.recommendations) == 1
    assert report.recommendations.target[0] == 0.85
    assert report.arms.set_index("init").median_steps.to_dict() == {"he": 380, "xavier": math.inf}
    assert (
        "digits / mlp-2x64 / relu / sgd: trials come from 2 different sets of levels and chance. All are held to the "
        "newest one (easy 0.7, primary 0.85, hard 0.88, chance 0.1), their steps read off the stored curves."
    ) in report.notes
    assert stored.trials.query("init == 'he' and stage == 'score'").steps_to_target.unique() == [100]


def test_a_level_may_sit_one_ulp_above_the_curve(store: Store) -> None:
    level = math.nextafter(0.84, 1)
    Planter(store, levels={**LEVELS, "primary": level}).arm("he", [100] * 6)
    assert only_row(store).median_steps == 100


def test_the_newest_grid_chooses_the_lr(store: Store) -> None:
    # Two lrs score the same: the centre of the grid breaks the tie, 0.1 of the old one, 0.316 of the new one.
    even = {0.1: 0.85, 0.316: 0.85}
    Planter(store).arm("he", [100] * 2, even)
    newer = Planter(store)
    newer.config["optimizer"] = {"name": "sgd", "lr_grid": [0.1, 0.316, 1.0]}
    newer.arm("he", [140] * 3, None, lr=0.316)
    assert only_row(store).best_lr == 0.316
    # A command with one lr for all has a grid in its configuration that it does not use.
    Planter(store).arm("he", [140] * 4, None, lr=0.1, protocol="fixed")
    table = recommend_table(store.read())
    assert table.best_lr[table.lr_rule == "tuned"].tolist() == [0.316]


def test_scores_without_tuning_are_left_out(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 2)
    planter.arm("xavier", [100], tune=None)
    notes = build_report(store.read()).notes
    assert any(note.startswith("1 scoring trial is left out: the cell has no tuning trials.") for note in notes)


def test_a_store_in_which_nothing_counts_says_so(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    Planter(store).arm("he", [100] * 2, tune=None)
    assert main([str(store.directory)]) == 0
    sentence = "Nothing can be recommended: no stored trial counts. The notes say why."
    why = "2 scoring trials are left out: the cell has no tuning trials."
    printed = " ".join(capsys.readouterr().out.split())
    pages = [(store.directory / "report" / f"recommendations.{suffix}").read_text() for suffix in ("html", "md")]
    for text in (printed, *pages):
        assert sentence in text
        assert why in text
    for name in FILES:
        if "tables/recommendations" not in name:
            assert (store.directory / "report" / name).stat().st_size > 0
    assert not list((store.directory / "report" / "figures").iterdir()), "a figure without data is not written"
    report = build_report(store.read())
    clear_winner(store)
    full = build_report(store.read())
    for empty, table in ((report.recommendations, full.recommendations), (report.arms, full.arms)):
        assert empty.empty
        assert empty.columns.tolist() == table.columns.tolist()


def test_an_arm_that_was_only_tuned(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 2)
    planter.arm("xavier", [])
    assert only_row(store).in_words.endswith("No scoring trials of xavier yet.")
    assert arm_row(store, "xavier").verdict == "no scoring trials"
    assert any("unequal numbers of scoring seeds (he 2, xavier 0)" in note for note in build_report(store.read()).notes)


def test_only_tuning_trials(store: Store) -> None:
    Planter(store).arm("he", [])
    row = only_row(store)
    assert row.recommended == "none"
    assert row.in_words.startswith("No scoring trials yet: nothing can be recommended.")


def test_failed_trials_are_counted_and_named(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100, FAILED, FAILED])
    planter.arm("xavier", [FAILED])
    report = build_report(store.read())
    assert report.arms.set_index("init").num_failed.to_dict() == {"he": 2, "xavier": 1}
    assert any(
        note.startswith('Failed trials, left out: he 2, xavier 1. The last one ended with "ValueError: planted".')
        for note in report.notes
    )


def test_other_versions_and_other_code(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 2, protocol_version=PROTOCOL_VERSION - 1)
    planter.arm("he", [100] * 3)
    planter.arm("xavier", [100] * 3, commit="b" * 40, dirty=True)
    report = build_report(store.read())
    assert report.arms.num_seeds.tolist() == [3, 3]
    told = " ".join(report.notes)
    assert f"7 trials of protocol version {PROTOCOL_VERSION - 1} are left out" in told
    assert "Trials come from 2 commits (aaaaaaaaa, bbbbbbbbb)" in told
    assert "8 of 16 trials come from a working tree with uncommitted changes." in told


def test_partly_tuned_arms_are_named(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 2)
    planter.arm("xavier", [100] * 2, {0.1: 0.85, 0.01: 0.5})
    notes = build_report(store.read()).notes
    assert any("xavier was tuned at 2 of 5 learning rates." in note for note in notes)


def test_what_an_arm_requires_of_the_model_is_told(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 6)
    planter.arm("fixup", [120] * 6, options={"requires": {"model.norm": "none", "model.fixup": True}})
    notes = build_report(store.read()).notes
    assert any("fixup trains the model that it requires (model.norm=none model.fixup=true)" in note for note in notes)
    assert not any("he trains" in note for note in notes)


def test_arms_with_unequal_tuning_seeds_are_named(store: Store) -> None:
    planter = Planter(store)
    planter.arm("he", [100] * 2)
    planter.arm("xavier", [100] * 2)
    assert not any("tuning seeds" in note for note in build_report(store.read()).notes)
    for seed in (10_001, 10_002):
        planter.arm("xavier", [], {0.1: 0.85, 0.01: 0.5}, tuning_seed=seed)
    notes = build_report(store.read()).notes
    assert any("unequal numbers of tuning seeds at a learning rate (he 1, xavier 1 to 3)" in note for note in notes)


def test_cells_and_contexts_that_share_a_name_are_told_apart(store: Store) -> None:
    for max_steps in (600, 1200):
        planter = Planter(store, max_steps=max_steps)
        planter.arm("he", [100] * 2, options={"gain": 1.0})
        planter.arm("he", [120] * 2, options={"gain": 1.4})
    table = arms_table(store.read())
    assert set(table.init) == {"he (gain=1.0)", "he (gain=1.4)"}
    titles = [f"digits / mlp-2x64 / relu / sgd (max_steps={steps})" for steps in (1200, 600)]
    assert table.context.unique().tolist() == titles


def test_an_empty_store_teaches(store: Store) -> None:
    with pytest.raises(StoreError, match=r"Make some with: python -m initsuite\.train"):
        recommend_table(store.read())


def test_a_row_without_the_facts_of_its_data_set(store: Store) -> None:
    planter = Planter(store)
    del planter.config["dataset"]
    planter.arm("he", [100])
    with pytest.raises(StoreError, match=r"no usable entry 'dataset' .* train into another results_dir"):
        recommend_table(store.read())


def many_contexts(store: Store) -> None:
    """Six rows with every kind of fate, 200 trials and more."""
    clear_winner(store)
    deep = Planter(store, dataset="fashion_mnist", model="mlp-30x100", depth=30)
    deep.arm("he", [MISS, 400, 420, 460, 480, 500])
    deep.arm("xavier", [MISS] * 6, STUCK, easy=False)
    deep.arm("guideline", [440, DIVERGED, 460, 500, 520, FAILED])
    fixed = Planter(store, activation="tanh")
    fixed.origin["protocol"] = "fixed"
    for init in ("he", "xavier", "normal", "my_own_$init$"):
        fixed.arm(init, [200, 220, 260, 300], tune=None)
    Planter(store, activation="<blink>odd</blink>").arm("he", [300])
    new = Planter(store, dataset="new_data", levels=None)
    new.config["dataset"] |= {"name": "new_data"}
    for init in ("he", "zero"):
        new.arm(init, [MISS] * 3, easy=False)
    wide = Planter(store, model="mlp-2x1024")
    wide.config["model"] |= {"width": 1024}
    for place, init in enumerate(("zero", "normal", "xavier", "he", "orthogonal", "torch_default", "guideline")):
        wide.arm(init, [120 + 20 * place + 20 * (seed % 3) for seed in range(18)])


@pytest.mark.slow
def test_the_door_prints_and_writes_all(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    many_contexts(store)
    started = time.monotonic()
    assert main([str(store.directory)]) == 0
    # A few seconds were asked for; the bound leaves room for a busy machine and matplotlib's first font search.
    assert time.monotonic() - started < 30
    printed = capsys.readouterr().out
    report_dir = store.directory / "report"
    before_paths = printed[: printed.index("Written:")]
    assert max(map(len, before_paths.splitlines())) <= 80
    for name in FILES + FIGURE_FILES:
        assert (report_dir / name).stat().st_size > 0
        assert str((report_dir / name).parent) in printed
    assert "Recommended: he." in printed

    page = Markup()
    page.feed((report_dir / "recommendations.html").read_text())
    assert "<blink>odd</blink>" in page.text
    assert "blink" not in page.tags
    assert "xavier stays near chance at every learning rate" in page.text
    assert "xavier stays near chance at every learning rate" in (report_dir / "recommendations.md").read_text()

    table = pd.read_csv(report_dir / "recommendations.csv")
    assert len(table) == 6
    assert table.recommended.tolist() == recommend_table(store.read()).recommended.tolist()
    assert len(pd.read_csv(report_dir / "arms.csv")) == 3 + 3 + 4 + 1 + 2 + 7


@pytest.mark.slow
def test_the_same_store_gives_the_same_report(store: Store, tmp_path: Path) -> None:
    clear_winner(store, num_seeds=18)  # beyond the exact test: flips are drawn
    for name in ("one", "two"):
        assert main([str(store.directory), "--out", str(tmp_path / name)]) == 0
    for name in FILES + FIGURE_FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_door_prints_errors_as_one_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    shown = capsys.readouterr()
    assert "Make one with: python -m initsuite.train" in shown.err
    assert "Traceback" not in shown.err


def test_a_folder_that_cannot_be_written(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clear_winner(store)
    (tmp_path / "file").write_text("in the way")
    assert main([str(store.directory), "--out", str(tmp_path / "file" / "below")]) == 2
    assert "Choose another with --out DIR." in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_starts_without_torch(store: Store) -> None:
    Planter(store).arm("he", [100])
    command = [sys.executable, "-X", "importtime", "-m", "initsuite.report", str(store.directory)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    modules = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "initsuite.results.store" in modules
    assert not modules & {"torch", "hydra", "wandb"}
    assert {line.partition(":")[0] for line in result.stderr.splitlines()} == {"import time"}


@pytest.mark.slow
def test_the_starter_in_scripts_is_the_same_door() -> None:
    script = Path(__file__).parents[2] / "scripts" / "recommend.py"
    result = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "usage: python -m initsuite.report" in result.stdout
