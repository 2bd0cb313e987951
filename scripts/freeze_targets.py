#!/usr/bin/env python3
"""Freeze the target levels of a data set. Run once per data set, by a maintainer.

    python scripts/freeze_targets.py digits
    python scripts/freeze_targets.py adding model=rnn activation=tanh
    python scripts/freeze_targets.py adding --check

It trains {he, xavier, torch_default} on the default model, or on that of the overrides, each at its own learning
rate, takes the best arm by its median best validation score, and writes easy, primary and hard = 80, 95, 100 % of the
way from chance to it into conf/dataset/<name>.yaml, with a record of the evidence beside the data code. Test data is
not read.

Levels stay what they are when the numbers of trials change. `--check` trains the same arms by the present protocol
version, compares, adds what it found to the record, and ends with 1 if a frozen level no longer lies where it should.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import pandas as pd

from initsuite.config.build import build
from initsuite.config.groups import conf_dir
from initsuite.errors import ConfigError
from initsuite.protocol.yardstick import Yardstick
from initsuite.provenance import provenance
from initsuite.results.store import load_results
from initsuite.spec import PROTOCOL_VERSION, Stage
from initsuite.stats.intervals import median_interval
from initsuite.train.launch import raise_if_failed, run_cells

ARMS = ("he", "xavier", "torch_default")
SHARES = {"easy": 0.80, "primary": 0.95, "hard": 1.00}
RECORDS = Path(__file__).parents[1] / "src" / "initsuite" / "data" / "targets"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python scripts/freeze_targets.py", description="Freeze the target levels.")
    parser.add_argument("dataset", help="a name of conf/dataset")
    parser.add_argument("overrides", nargs="*", help="what differs from the defaults: model=rnn activation=tanh")
    parser.add_argument("--results-dir", help="store of the deriving trials (default: results/targets-DATASET)")
    parser.add_argument("--check", action="store_true", help="compare the frozen levels with those of today's trials")
    arguments = parser.parse_args()
    results_dir = arguments.results_dir or f"results/targets-{arguments.dataset}"
    if not arguments.check:
        record = derive(arguments.dataset, results_dir, arguments.overrides)
        write(arguments.dataset, record)
        print(json.dumps(record, indent=2))
        return
    path = RECORDS / f"{arguments.dataset}.json"
    frozen = json.loads(path.read_text())
    found = checked(frozen, derive(arguments.dataset, results_dir, arguments.overrides or frozen.get("overrides", ())))
    path.write_text(json.dumps({**frozen, "checked": found}, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    raise SystemExit(0 if found["holds"] else 1)


def derive(dataset: str, results_dir: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train the arms, or read them from the store, and compute the levels.

    Returns:
        The record: levels, the winning arm, the scores behind it, and the code that made them.
    """
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        shared = [f"dataset={dataset}", f"results_dir={results_dir}", "experiment_name=targets", "tracking=disabled"]
        built = [build(hydra.compose("config", overrides=[f"init={arm}", *shared, *overrides])) for arm in ARMS]
    jobs, settings = [job for job, _ in built], built[0][1]
    outcome = run_cells(jobs, settings)
    raise_if_failed(outcome, settings)
    trials = load_results(results_dir).trials
    cells = {job.cell.cell_id: job.cell.axes["init"] for job in jobs}
    score = trials[trials.cell_id.isin(cells) & (trials.stage == Stage.SCORE)]
    return {
        **levels_from({cells[str(key)]: arm for key, arm in score.groupby("cell_id")}, jobs[0].cell.yardstick),
        "dataset": dataset,
        "model": jobs[0].cell.axes["model"],
        "overrides": list(overrides),
        "optimizer": jobs[0].cell.axes["optimizer"],
        "max_steps": jobs[0].cell.workload.max_steps,
        "batch_size": jobs[0].cell.workload.batch_size,
        "protocol_version": PROTOCOL_VERSION,
        **provenance(),
    }


def levels_from(arms: dict[str, pd.DataFrame], yardstick: Yardstick) -> dict[str, Any]:
    """Levels from the scoring trials of each arm, rounded to the easier side.

    An accuracy is rounded to 4 decimals, any other score to 4 significant digits.

    Args:
        arms: by name, with the columns lr, seed and best_val_score.
        yardstick: scale of the data set; its levels are ignored.

    Raises:
        ConfigError: no arm is better than a constant guess.
    """
    medians = {name: float(arm.best_val_score.median()) for name, arm in arms.items()}
    best = max(medians, key=lambda name: yardstick.oriented(medians[name]))
    chance = yardstick.chance
    if yardstick.oriented(medians[best]) <= yardstick.oriented(chance):
        raise ConfigError(
            f"targets: no arm is better than chance ({chance:g}): medians {medians}. Expected one that learns. Name "
            "another model: python scripts/freeze_targets.py DATASET model=NAME"
        )
    goals = {name: chance + share * (medians[best] - chance) for name, share in SHARES.items()}
    levels = {name: _rounded(goal, yardstick) for name, goal in goals.items()}
    return {
        "levels": levels,
        "chance": chance,
        "best_arm": best,
        "median_best_val_score": medians,
        "lr": {name: sorted(set(arm.lr)) for name, arm in arms.items()},
        "best_val_score": {name: arm.sort_values("seed").best_val_score.tolist() for name, arm in arms.items()},
    }


def checked(frozen: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Whether the frozen hard level, from which the others follow, still is the median of the arm it was taken from.

    Args:
        frozen: a record of `derive`.
        now: another one, by the present protocol version.

    Returns:
        The levels that today's trials would give, the 95 % interval of today's median of the frozen best arm, whether
        the frozen level lies in it (`holds`), and the code that made the trials.
    """
    arm = frozen["best_arm"]
    interval = median_interval(now["best_val_score"][arm])
    return {
        "holds": interval.low <= frozen["median_best_val_score"][arm] <= interval.high,
        "median": [interval.low, interval.estimate, interval.high],
        **{key: now[key] for key in ("levels", "best_arm", "protocol_version", "commit", "dirty", "torch_version")},
    }


def _rounded(goal: float, yardstick: Yardstick) -> float:
    decimals = 4 if yardstick.metric == "accuracy" else 3 - math.floor(math.log10(goal))
    scale = 10.0**decimals
    return yardstick.oriented(round(math.floor(yardstick.oriented(goal) * scale + 1e-6) / scale, decimals))


def write(dataset: str, record: dict[str, Any]) -> None:
    """Put the levels into the configuration of the data set and the record beside the data code."""
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{dataset}.json").write_text(json.dumps(record, indent=2) + "\n")
    path = conf_dir() / "dataset" / f"{dataset}.yaml"
    levels = ", ".join(f"{name}: {level}" for name, level in record["levels"].items())
    text, count = re.subn(r"^levels: \{.*?\}", f"levels: {{{levels}}}", path.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise RuntimeError(f"targets: no line `levels: {{...}}` in {path}")
    path.write_text(text)


if __name__ == "__main__":
    main()
