#!/usr/bin/env python3
"""Measure how well step 0 predicts training, over the reference store.

    python scripts/predict_training.py            # writes src/initsuite/signal/prediction.csv and docs/prediction.png
    python scripts/predict_training.py --check --folder new        # measures everything again, and compares
    python scripts/predict_training.py --check --folder new --network "digits / mlp-2x64"

Each cell of the store is built from its stored overrides, its network drawn as its scoring trials were, and measured
before the first step. These measures, naive predictors beside them, are compared with how fast and how well the
trials at the tuned learning rate trained. What was measured is kept in --folder, and is not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from predicting import SEEDS, facts_of, network_of, rows_of, workloads_of

from initsuite.apply.cells import Starts
from initsuite.apply.diagnosis import diagnosis_of
from initsuite.config.build import Builder
from initsuite.config.sweep import build_jobs, compose_sweep
from initsuite.engine.workload import Cell
from initsuite.errors import as_overrides
from initsuite.report.figures.prediction import prediction_figure
from initsuite.report.text.documents import markdown_table
from initsuite.results.sources import REFERENCE_STORE
from initsuite.results.store import Results, load_results
from initsuite.signal.jacobian import spectrum
from initsuite.signal.prediction import ALL, COMBINED, FITTED, MEASURE, PREDICTION, SCORE, SPEED, TRAINED, Prediction
from initsuite.signal.predictors import distance_from_he, illnesses, predictors_of
from initsuite.spec import Stage
from initsuite.train.starts import EXAMPLES, subject_of

PICTURE = Path(__file__).parents[1] / "docs" / "prediction.png"
PAGE = PICTURE.with_name("diagnosis.md")
BLOCK = ("<!-- prediction: written by python scripts/predict_training.py -->\n", "<!-- end of prediction -->\n")
QUESTIONS = ((SPEED, ALL), (SCORE, ALL), (SPEED, TRAINED), (SCORE, TRAINED))
TOLERANCE = 0.03
"""On another machine float32 rounds otherwise, and nearly equal initializers swap places: two neighbours of six, in one
of five workloads, change a mean rank correlation by 0.011."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python scripts/predict_training.py", description="Measure how well step 0 "
                                     "predicts training.")  # fmt: skip
    parser.add_argument("--store", type=Path, default=REFERENCE_STORE, help="results (default: the reference)")
    parser.add_argument("--folder", type=Path, default=Path("results/prediction"), help="where measures are kept")
    parser.add_argument("--network", help="only this one, with --check, such as 'digits / mlp-2x64'")
    parser.add_argument("--check", action="store_true", help="compare with what is shipped; 1 where it differs")
    options = parser.parse_args()
    results = load_results(options.store)
    found = predicted(results, options.folder, options.network)
    if options.check:
        wrong = differences(Prediction.read(), found)
        print(wrong.to_string() if len(wrong) else f"{len(found.table)} rows are as shipped.")
        raise SystemExit(int(bool(len(wrong))))
    if options.network:
        parser.error("--network goes with --check: what is shipped is about all networks")
    found.write(PREDICTION)
    prediction_figure(found.table).savefig(PICTURE, dpi=200)
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), Prediction.read()), encoding="utf-8")
    print(found.table[found.table["network"] == "all"].to_string())


def predicted(results: Results, folder: Path, network: str | None = None) -> Prediction:
    """Measure what is not measured yet, and compare it with the trials.

    Args:
        network: rows of this one alone.
    """
    workloads = workloads_of(results)
    wanted = [each for each in workloads if network in (None, network_of(each.axes))]
    measured = dict(measures(results, [name for each in wanted for name in each.cells], folder))
    table = rows_of(workloads, measured, network)
    return Prediction(table, {**facts_of(results, workloads), "draws": len(SEEDS), "examples": EXAMPLES})


def measures(results: Results, cell_ids: Sequence[str], folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Mean over draws of the predictors of each cell."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = Builder()
    for number, cell_id in enumerate(cell_ids):
        path = folder / f"{cell_id}.json"
        if not path.exists():
            cell = cell_of(results, cell_id, builder)
            print(f"{number + 1} of {len(cell_ids)}: {' '.join(cell.axes.values())}", flush=True)
            path.write_text(json.dumps(measured_cell(cell)), encoding="utf-8")
        yield cell_id, {name: float(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}


def cell_of(results: Results, cell_id: str, builder: Builder) -> Cell:
    """The cell of stored trials, built again."""
    row = results.trials[(results.trials.cell_id == cell_id) & (results.trials.stage == Stage.SCORE)].iloc[0]
    overrides = [as_overrides({key: value}) for key, value in json.loads(row.overrides).items()]
    job = build_jobs(compose_sweep(overrides), builder).jobs[0]
    if job.cell.cell_id != cell_id:
        raise RuntimeError(f"predict_training: {row.overrides} makes cell {job.cell.cell_id}. Expected {cell_id}.")
    return job.cell


def measured_cell(cell: Cell) -> dict[str, float]:
    """The mean over draws of each predictor, the Jacobian's among them."""
    subject, description = subject_of(cell.workload, EXAMPLES)
    starts = Starts(cell, description, len(SEEDS))
    found = diagnosis_of(subject, starts, starts.audit, [], "")
    jacobian = [squares_of(spectrum(subject, params).values) for params in starts]
    found.draws[["jacobian_square", "jacobian_spread"]] = jacobian
    means = {str(name): float(value) for name, value in predictors_of(found).mean().items()}
    return {**means, "illnesses": illnesses(found), "he_distance": distance_from_he(found)}


def squares_of(values: Any) -> tuple[float, float]:
    """The mean of the squared singular values, and their variance / mean^2."""
    squares = values.square()
    mean = float(squares.mean())
    return mean, float(squares.var(correction=0)) / mean**2 if mean > 0 else float("inf")


def with_block(page: str, found: Prediction) -> str:
    """The page with the table of what was found between its two marks."""
    (before, _, rest), (begin, end) = page.partition(BLOCK[0]), BLOCK
    return f"{before}{begin}\n{docs_table(found)}\n\n{end}{rest.partition(end)[2]}"


def docs_table(found: Prediction) -> str:
    """The rank correlation of each predictor with its interval, and the regret, in Markdown."""
    by_question = [found.of(*question).set_index("predictor") for question in QUESTIONS]
    names = by_question[0].sort_values("correlation", ascending=False, kind="stable")
    names = names[(names["kind"] != COMBINED) | (names.index != FITTED)]
    rows = []
    for kind in (COMBINED, MEASURE, "naive", "ceiling"):
        for name in names.index[names["kind"] == kind]:
            speed, score, *trained = (table.loc[name] for table in by_question)
            shown = f"several, weighted, {name}" if kind == COMBINED else name.replace("_", " ")
            rows.append({
                "predictor": shown,
                "speed [95 %]": _interval(speed),
                "test score [95 %]": _interval(score),
                "speed, those that train": _interval(trained[0]),
                "score, those that train": _interval(trained[1]),
                "steps of its choice / best": _factor(speed["regret"]),
                "test score lost": f"{score['regret']:.3f}",
            })  # fmt: skip
    return markdown_table(pd.DataFrame(rows))


def _factor(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "never there"


def _interval(row: Any) -> str:
    return f"{row['correlation']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def differences(shipped: Prediction, found: Prediction) -> pd.DataFrame:
    """Rows of which a number is not the same, and facts."""
    keys = ["predictor", "outcome", "among", "network"]
    both = found.table.merge(shipped.table, "left", on=keys, suffixes=("", "_shipped"), indicator="origin")
    numbers = ["workloads", "correlation", "low", "high", "weight", "regret", "missed"]
    is_wrong = both["origin"] != "both"
    for name in numbers:
        ours, theirs = both[name].astype(float), both[f"{name}_shipped"].astype(float)
        is_same = (ours == theirs) | ((ours - theirs).abs() <= TOLERANCE) | (ours.isna() & theirs.isna())
        is_wrong |= ~is_same
    facts = [{"predictor": f"fact: {name}"} for name in found.facts if found.facts[name] != shipped.facts.get(name)]
    return pd.concat([both.loc[is_wrong], pd.DataFrame(facts)], ignore_index=True)


if __name__ == "__main__":
    main()
