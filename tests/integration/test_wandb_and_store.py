"""The W&B runs of a launch, read back from disk, say what the store says."""

import math

import pytest

import initsuite
from initsuite.train.launch import run_cells

SUMMARY = {
    "result/loss_auc": "loss_auc",
    "result/final_val_accuracy": "final_val_score",
    "result/best_val_accuracy": "best_val_score",
    "result/test_accuracy": "test_score",
}
HISTORY = {"val/accuracy": "val_score", "val/loss": "val_loss", "train/loss": "train_loss"}
SMALL = ("max_steps=40", "eval_every=10", "optimizer.lr_grid=[0.1,0.316]", "protocol=smoke", "seeds=2")


@pytest.mark.slow
@pytest.mark.parametrize("cap", [64, 1])
def test_offline_runs_equal_the_store(build_job, isolated_wandb, read_wandb_runs, tmp_path, cap) -> None:
    offline = ("tracking.mode=offline", f"tracking.max_open_runs={cap}", "experiment_name=quickstart")
    built = [build_job(f"init={init}", *SMALL, *offline, f"results_dir={tmp_path}/r") for init in ("he", "zero")]
    run_cells([job for job, _ in built], built[0][1])
    results = initsuite.load_results(tmp_path / "r")
    score = results.trials[results.trials.stage == "score"].set_index("trial_id")
    runs = read_wandb_runs(tmp_path / "r" / "wandb")
    assert runs.keys() == set(score.index)
    for trial_id, row in score.iterrows():
        run = runs[str(trial_id)]
        for key in ("init", "activation", "model", "dataset", "optimizer", "lr", "seed", "stage", "cell_id"):
            assert run["config"][key] == row[key]
        assert run["name"] == f"digits-mlp-2x64-relu-sgd-{row.init}-max_steps=40-eval_every=10-s{row.seed}"
        assert run["group"] == f"digits/mlp-2x64/relu/sgd/{row.init}"
        assert run["job_type"] == "train"
        assert run["tags"] == ["quickstart"]
        assert run["summary"]["result/diverged"] is False
        missed = math.isnan(row.steps_to_target)
        assert run["summary"]["result/reached"] == (0 if missed else 1)
        assert run["summary"]["result/steps_to_target"] == (40 if missed else row.steps_to_target), "the budget"
        for key, column in SUMMARY.items():
            assert run["summary"].get(key, math.nan) == pytest.approx(row[column], nan_ok=True)
        curve = results.curves[results.curves.trial_id == trial_id]
        logged = [item for item in run["history"] if "val/loss" in item]
        assert [item["step"] for item in logged] == curve.step.tolist()
        for key, column in HISTORY.items():
            assert [item[key] for item in logged] == pytest.approx(curve[column].tolist())


@pytest.mark.slow
def test_tuning_trials_are_shown_on_request(build_job, isolated_wandb, read_wandb_runs, tmp_path) -> None:
    job, settings = build_job(
        *SMALL, "tracking.mode=offline", "tracking.stages=[tune,score]", f"results_dir={tmp_path}"
    )
    run_cells([job], settings)
    trials = initsuite.load_results(tmp_path).trials
    runs = read_wandb_runs(tmp_path / "wandb")
    assert runs.keys() == set(trials.trial_id)
    assert {run["job_type"] for run in runs.values()} == {"tune", "train"}
