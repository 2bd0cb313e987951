"""How well step 0 predicts training: what scripts/predict_training.py measured over the reference store, as shipped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

PREDICTION = Path(__file__).with_name("prediction.csv")
SPEED, SCORE = "speed", "score"
"""What is predicted: the place of an initializer by the protocol (success rate, median steps to the target, area under
the validation loss), or by its mean test score; each at its tuned learning rate."""
ALL, TRAINED = "all", "those that train"
"""Among which initializers of a workload."""
MEASURE, NAIVE, COMBINED, CEILING = "measure", "naive", "combined", "ceiling"
"""Kinds of predictors: of step 0; without a pass; weighted ranks of measures; the trials themselves."""
FITTED, WORKLOAD_OUT, NETWORK_OUT = "fitted", "workload left out", "network left out"
"""The combinations: with weights that were fitted on all workloads, or on the others."""
BESIDE = {
    "name, network left out": "the name of the initializer alone",
    "he_distance": "the distance of the weights' std from He's",
    "half of the seeds": "training five seeds, for five others,",
}
"""What the combination is held against, in words."""
EVERY = "all"
"""The network of rows that are pooled over networks."""
COLUMNS = (
    "predictor", "kind", "outcome", "among", "network", "workloads", "correlation", "low", "high", "weight", "regret",
    "missed",
)  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """What was found.

    Attributes:
        table: one row for each predictor, outcome, set of initializers and network.
            correlation, low, high: the mean of Spearman's rank correlation over the workloads, 1 = the order of the
            initializers is as predicted, 0 = as by chance, with its 95 % interval. weight: in the combination.
            regret: of the initializer that it would choose, against the best one: for speed, the median over the
            workloads of the factor in median steps to the target; for score, the mean difference in test score.
            missed: the share of workloads in which the choice does not get to the target, and another does.
        facts: of the store: its hash, protocol_version, trials, initializers, workloads, networks, draws, examples.
    """

    table: pd.DataFrame
    facts: dict[str, Any]

    @classmethod
    def read(cls, path: Path = PREDICTION) -> Prediction:
        """The shipped one, or another file of the same form."""
        with path.open(encoding="utf-8") as file:
            facts = json.loads(file.readline().removeprefix("#"))
            return cls(pd.read_csv(file), facts)

    def write(self, path: Path = PREDICTION) -> None:
        table = self.table[list(COLUMNS)].to_csv(index=False, float_format="%.4f", lineterminator="\n")
        path.write_text(f"# {json.dumps(self.facts)}\n{table}", encoding="utf-8")

    def weights(self, outcome: str) -> dict[str, float]:
        """The measures that were found to predict an outcome, with their weights, the largest first."""
        rows = self.of(outcome)
        rows = rows[(rows["kind"] == MEASURE) & (rows["weight"] > 0)].sort_values("weight", ascending=False)
        return dict(zip(rows["predictor"], rows["weight"], strict=True))

    def sentences(self, outcome: str) -> list[str]:
        """How far the combination predicts an outcome, beside naive predictors, and its limits."""
        facts, what = self.facts, {SPEED: "speed", SCORE: "test score"}[outcome]
        found = f"{self._told(NETWORK_OUT, outcome)} with the order by {what}"
        others = ", ".join(f"{words} reaches {self._told(name, outcome)}" for name, words in BESIDE.items())
        low = float(self._row(NETWORK_OUT, outcome, TRAINED)["low"])
        limit = (
            "those it orders less surely" if low > 0 else "which may be chance, as it finds those that fail, no more"
        )
        networks = sorted({name.partition(" / ")[2] for name in facts["networks"]})
        return [
            f"How far step 0 predicts training: over {facts['workloads']} workloads of the reference, on networks that "
            f"the weights were not fitted on, this order has a rank correlation of {found} at tuned learning rates. "
            f"Beside it: {others}.",
            f"Among initializers that train it is {self._told(NETWORK_OUT, outcome, TRAINED)}: {limit}.",
            f"Measured on {', '.join(networks)} with {', '.join(facts['optimizers'])} and the initializers "
            f"{', '.join(facts['initializers'])}; elsewhere it is a guess.",
        ]

    def _row(self, predictor: str, outcome: str, among: str) -> Mapping[Any, Any]:
        rows = self.of(outcome, among)
        return rows[rows["predictor"] == predictor].to_dict("records")[0]

    def _told(self, predictor: str, outcome: str, among: str = ALL) -> str:
        row = self._row(predictor, outcome, among)
        return f"{row['correlation']:z.2f} (95 % {row['low']:z.2f} to {row['high']:z.2f})"

    def of(self, outcome: str, among: str = ALL, network: str = EVERY) -> pd.DataFrame:
        """The rows of one question."""
        table = self.table
        return table[(table["outcome"] == outcome) & (table["among"] == among) & (table["network"] == network)]
