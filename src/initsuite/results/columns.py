"""The columns of the results store."""

from __future__ import annotations

import pyarrow as pa

from initsuite.spec import SIGNAL, SIGNAL_IN_WORDS

_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int64()
TRIALS = pa.schema({
    "trial_id": _TEXT, "cell_id": _TEXT, "context_id": _TEXT,
    "dataset": _TEXT, "model": _TEXT, "activation": _TEXT, "init": _TEXT, "optimizer": _TEXT,
    "lr": _NUMBER, "seed": _COUNT, "stage": _TEXT, "status": _TEXT, "error": _TEXT,
    "steps_to_easy": _NUMBER, "steps_to_target": _NUMBER, "steps_to_hard": _NUMBER,
    "epochs_to_easy": _NUMBER, "epochs_to_target": _NUMBER, "epochs_to_hard": _NUMBER,
    "loss_auc": _NUMBER, "setup_s": _NUMBER, "metric": _TEXT,
    "final_val_score": _NUMBER, "best_val_score": _NUMBER, "test_score": _NUMBER, "diverged_at": _NUMBER,
    "wall_s": _NUMBER, "stack_size": _COUNT, "device": _TEXT,
    "protocol": _TEXT, "protocol_version": _COUNT, "experiment": _TEXT,
    "torch_version": _TEXT, "commit": _TEXT, "dirty": pa.bool_(),
    "config": _TEXT, "overrides": _TEXT, "written_at": _TEXT,
    **{f"signal_{name}": _TEXT if name in SIGNAL_IN_WORDS else _NUMBER for name in SIGNAL},
})  # fmt: skip
"""Numbers that may be missing (a level never reached, no divergence) are null, NaN in pandas.

`config` is the resolved configuration of the cell, and `overrides` are those of a command that makes it, both as JSON
objects. Parts written before `overrides` existed lack them until `python -m initsuite.results migrate DIR`.
`signal_...` is missing where `diagnostics=true` was not asked for, in tuning trials, and in older parts.
"""

CURVES = pa.schema({
    "trial_id": _TEXT, "step": _COUNT, "train_loss": _NUMBER, "val_loss": _NUMBER, "val_score": _NUMBER
})  # fmt: skip

KINDS = {"curves": CURVES, "trials": TRIALS}
"""Kinds of parts in the order in which they are written: a trial is never without its curve."""

FORMER_NAMES = {f"{kind}_accuracy": f"{kind}_score" for kind in ("val", "final_val", "best_val", "test")}
"""What columns were called when accuracy was the only metric."""
