"""The columns of the results store."""

from __future__ import annotations

import pyarrow as pa

TRIALS = pa.schema(
    {
        "trial_id": pa.string(),
        "cell_id": pa.string(),
        "context_id": pa.string(),
        "dataset": pa.string(),
        "model": pa.string(),
        "activation": pa.string(),
        "init": pa.string(),
        "optimizer": pa.string(),
        "lr": pa.float64(),
        "seed": pa.int64(),
        "stage": pa.string(),
        "status": pa.string(),
        "error": pa.string(),
        "steps_to_easy": pa.float64(),
        "steps_to_target": pa.float64(),
        "steps_to_hard": pa.float64(),
        "epochs_to_easy": pa.float64(),
        "epochs_to_target": pa.float64(),
        "epochs_to_hard": pa.float64(),
        "loss_auc": pa.float64(),
        "setup_s": pa.float64(),
        "metric": pa.string(),
        "final_val_score": pa.float64(),
        "best_val_score": pa.float64(),
        "test_score": pa.float64(),
        "diverged_at": pa.float64(),
        "wall_s": pa.float64(),
        "stack_size": pa.int64(),
        "device": pa.string(),
        "protocol": pa.string(),
        "protocol_version": pa.int64(),
        "experiment": pa.string(),
        "torch_version": pa.string(),
        "commit": pa.string(),
        "dirty": pa.bool_(),
        "config": pa.string(),
        "overrides": pa.string(),
        "written_at": pa.string(),
    }
)
"""Numbers that may be missing (a level never reached, no divergence) are null, NaN in pandas.

`config` is the resolved configuration of the cell and `overrides` what a command says to make it, both JSON objects.
Parts from before there were `overrides` lack them until `python -m initsuite.results migrate DIR`.
"""

CURVES = pa.schema(
    {
        "trial_id": pa.string(),
        "step": pa.int64(),
        "train_loss": pa.float64(),
        "val_loss": pa.float64(),
        "val_score": pa.float64(),
    }
)

FORMER_NAMES = {f"{kind}_accuracy": f"{kind}_score" for kind in ("val", "final_val", "best_val", "test")}
"""Of columns in parts from before there were other metrics than accuracy."""
