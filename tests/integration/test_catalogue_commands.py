"""Sweeps that need a model and a data set of their own, as a user types them, in miniature."""

import os
import subprocess
import sys

import pytest

import initsuite
from initsuite.report import recommend_table

pytestmark = pytest.mark.slow
TINY = ("protocol=smoke", "optimizer.lr_grid=[0.001,0.01]", "max_steps=20", "eval_every=10", "tracking=disabled")
COMMANDS = {
    "resnet": ["init=he,fixup,skipinit", "model=resnet", "model.depth=8", "model.width=4"],
    "adding": ["init=irnn,orthogonal,torch_default", "model=rnn", "dataset=adding", "dataset.length=10"],
    "vit": [
        "init=gpt2,xavier,mimetic",
        "model=vit",
        "model.depth=2",
        "model.width=16",
        "model.patch_size=2",
    ],
    "image_fit": ["init=siren,he", "model=siren", "model.width=32", "dataset=image_fit", "dataset.size=24"],
    "text": ["init=gpt2,t_fixup", "model=transformer", "model.width=16", "dataset=text", "dataset.length=16"],
    "teacher": ["init=he,xavier", "model=mlp", "dataset=teacher", "optimizer=adam"],
}
LOWER_IS_BETTER = ("adding", "image_fit", "text", "teacher")


@pytest.mark.parametrize("name", COMMANDS)
def test_it_trains_and_reports(tmp_path, name: str) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "HYDRA_"))}
    environment = kept | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    command = [sys.executable, "-m", "initsuite.train", "-m", *COMMANDS[name], *TINY]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    results = initsuite.load_results(tmp_path / "results")
    trials = results.trials
    score = trials[trials.stage == "score"]
    assert len(score) == len(COMMANDS[name][0].split(","))
    assert set(trials.status) <= {"done", "diverged"}
    assert trials.context_id.nunique() == 1, "arms are compared with each other, whatever they require of the model"
    tune = trials[(trials.stage == "tune") & (trials.status == "done")]
    means = tune.set_index("lr").groupby("init").final_val_score
    for init, lr in score.set_index("init").lr.items():
        best = means.get_group(init).idxmin() if name in LOWER_IS_BETTER else means.get_group(init).idxmax()
        assert lr in (best, 0.001), "the centre serves an arm that trains at no lr"
    (row,) = recommend_table(results).itertuples()
    assert row.recommended in {*score.init, "none"}
    assert row.metric == trials.metric[0]
