"""Inside `wandb agent`: the run that the agent waits for, beside those of the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

RUN_ID, SWEEP_ID, PARAMETERS = "WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH"
SCORE = "score"
"""The mean best validation score of the scoring trials, negative where lower is better: what a sweep maximizes."""


def is_in_agent(environment: Mapping[str, str]) -> bool:
    """Whether an agent started this command."""
    return bool(environment.get(SWEEP_ID))


@dataclass
class AgentRun:
    """The run of the agent: it has the score of its command, also of trials that an earlier one stored, and no curves.

    Attributes:
        run_id, sweep_id, parameters: what the agent gave the command by its environment.
        score: the mean over the jobs of the command, higher is better; NaN without any.
    """

    run_id: str
    sweep_id: str
    parameters: str
    score: float = math.nan

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> AgentRun | None:
        """The run that an agent waits for, if there is one; its variables go, else every run would be that one."""
        if not is_in_agent(environment):
            return None
        run_id, sweep_id, parameters = (environment.pop(name, "") for name in (RUN_ID, SWEEP_ID, PARAMETERS))
        return cls(run_id, sweep_id, parameters)

    def take(self, scores: Sequence[float]) -> None:
        """Take the scores of the jobs; one whose trials all failed has none."""
        known = [score for score in scores if not math.isnan(score)]
        self.score = fmean(known) if known else math.nan

    def write(self, wandb: Any, settings: Mapping[str, Any]) -> None:
        """Write the run; raises whatever W&B raises.

        Args:
            settings: those of every run of the launch.
        """
        own = {"run_id": self.run_id or None, "sweep_id": self.sweep_id, "sweep_param_path": self.parameters or None}
        given = {name: value for name, value in own.items() if value}
        run = wandb.init(settings=wandb.Settings(**settings, **given), config={})
        has_score = not math.isnan(self.score)
        if has_score:
            run.summary.update({SCORE: self.score})
        run.finish(exit_code=0 if has_score else 1)
