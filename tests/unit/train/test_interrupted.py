"""Ctrl-C: what is said of the stacks in training, and where their next start goes on."""

from __future__ import annotations

import pandas as pd
import pytest

from initsuite.engine.checkpoint import stored_step
from initsuite.results.store import Store
from initsuite.train.launch import run_cells
from initsuite.train.progress import Progress

SMALL = ("max_steps=80", "eval_every=20", "tracking=disabled", "protocol=fixed", "optimizer.lr=0.1", "seeds=2")


@pytest.mark.parametrize("moment", [20, 40])
def test_the_next_start_goes_on_from_the_step_that_is_said(build_job, tmp_path, monkeypatch, capsys, moment) -> None:
    """Although no checkpoint was due: a launch that stops at an evaluation keeps where it is."""
    every = "checkpoint_every_s=3600"
    job, whole = build_job("init=he", f"results_dir={tmp_path / 'whole'}", *SMALL, every)
    run_cells([job], whole)
    job, settings = build_job("init=he", f"results_dir={tmp_path / 'results'}", *SMALL, every)
    steps: list[int] = []

    def interrupt(progress: Progress, force: bool = False) -> None:
        steps.extend(stack.step for stack in progress.stacks.values())
        if steps[-1:] == [moment]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "_plain_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_cells([job], settings)
    assert f"The next start goes on with 2 trials from step {moment} of 80." in capsys.readouterr().out
    (kept,) = settings.checkpoints.glob("*.pt")
    assert stored_step(kept) == moment
    run_cells([job], settings)
    found, expected = (Store(folder.results_dir).trials().set_index("trial_id") for folder in (settings, whole))
    measures = ["final_val_score", "test_score", "loss_auc", "steps_to_target"]
    pd.testing.assert_frame_equal(found[measures].sort_index(), expected[measures].sort_index(), check_exact=True)


def test_what_cannot_be_read_starts_over(tmp_path) -> None:
    assert stored_step(tmp_path / "none.pt") == 0
    (tmp_path / "damaged.pt").write_bytes(b"damaged")
    assert stored_step(tmp_path / "damaged.pt") == 0
