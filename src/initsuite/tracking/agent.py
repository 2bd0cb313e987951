"""Inside `wandb agent`: the run that the agent waits for, beside those of the trials."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from initsuite.spec import Stage

RUN_ID, SWEEP_ID, PARAMETERS = "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"
SCORE = "score"
"""The mean best validation score of the scoring trials, negative where lower is better: what a sweep maximizes."""


@dataclass
class AgentRun:
    """The run of the agent: it has the score of the trials that this command trained, and none of their curves.

    Attributes:
        run_id, sweep_id, parameters: what the agent gave the command by its environment.
        scores: of the scoring trials, higher is better.
    """

    run_id: str
    sweep_id: str
    parameters: str
    scores: list[float] = field(default_factory=list)

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> AgentRun | None:
        """The run that an agent waits for, if there is one; its variables go, else every run would be that one."""
        if not environment.get(SWEEP_ID):
            return None
        run_id, sweep_id, parameters = (environment.pop(name, "") for name in (RUN_ID, SWEEP_ID, PARAMETERS))
        return cls(run_id, sweep_id, parameters)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take stored rows into account; a trial that diverged counts as chance."""
        for row in rows:
            if row.get("stage") == Stage.SCORE and row.get("best_val_score") is not None:
                dataset = json.loads(row.get("config") or "{}").get("dataset") or {}
                score, sign = float(row["best_val_score"]), -1.0 if dataset.get("direction") == "min" else 1.0
                self.scores.append(sign * (float(dataset.get("chance") or 0.0) if math.isnan(score) else score))

    def write(self, wandb: Any, settings: Mapping[str, Any]) -> None:
        """Write the run; raises whatever W&B raises.

        Args:
            settings: those of every run of the launch.
        """
        own = {"run_id": self.run_id or None, "sweep_id": self.sweep_id, "sweep_param_path": self.parameters or None}
        given = {name: value for name, value in own.items() if value}
        run = wandb.init(settings=wandb.Settings(**settings, **given), config={})
        if self.scores:
            run.summary.update({SCORE: fmean(self.scores)})
        run.finish(exit_code=0 if self.scores else 1)
