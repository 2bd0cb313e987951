"""Claims measured and trained: what their stores lack. Imported late, with torch and Hydra."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from initsuite import rng
from initsuite.config.build import Builder
from initsuite.config.compose.resolve import Composed
from initsuite.config.sweep import build_jobs, compose_sweep, raise_if_illegal
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Cell
from initsuite.files import write_whole
from initsuite.literature.claim import Claim, Starts, Sweep, Trials
from initsuite.literature.evidence import flat
from initsuite.literature.measures import MEASURES
from initsuite.literature.measures.passing import Start
from initsuite.train.__main__ import explained
from initsuite.train.launch import Inventory, plan_cells, raise_if_failed, run_cells
from initsuite.train.plan.preview import print_plan
from initsuite.train.starts import kept_values
from initsuite.wording import format_count

Say = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """How claims are run.

    Attributes:
        results: the folder with a store for each claim.
        overrides: keys of `initsuite train` that say where and how, such as `workers=1`.
        dry_run: plan, and run nothing.
    """

    results: Path
    overrides: tuple[str, ...] = ()
    dry_run: bool = False


def run_claim(claim: Claim, command: Command, say: Say = print) -> None:
    """Measure and train what the store of a claim lacks.

    Raises:
        ConfigError: a sweep that cannot be trained.
        TrialsFailed: at least one trial raised.
    """
    folder = command.results / claim.name
    if claim.starts is not None:
        _measure(claim.starts, folder, command, say)
    if claim.trials is not None and claim.trials.store:
        say(f"{claim.name}: judged from the results that ship as {claim.trials.store}; nothing to train")
    elif claim.trials is not None:
        for launch in launches(claim.trials):
            _train(claim, launch, folder, command, say)


def launches(trials: Trials) -> Iterator[Sweep]:
    """Tuned first; then at the one learning rate of the paper, and with its optimizer where that is another one."""
    yield trials
    if trials.published_lr is not None:
        replaced = "optimizer" if trials.published_optimizer else "optimizer.lr_grid="
        kept = [each for each in trials.base if not each.startswith(("protocol=", replaced))]
        optimizer = [f"optimizer={trials.published_optimizer}"] if trials.published_optimizer else []
        base = *kept, *optimizer, "protocol=fixed", f"optimizer.lr={trials.published_lr:g}", *_seeds(trials.base)
        yield Sweep(base, trials.params, trials.sweeps)


def _seeds(base: Sequence[str]) -> list[str]:
    """As many as the tuned sweep has: those of its protocol, where it does not say."""
    quick = not any(each.startswith("seeds=") for each in base) and "protocol=quick" in base
    return ["seeds=8"] if quick else []


def composed(sweep: Sweep, extra: Sequence[str] = ()) -> list[Composed]:
    """The jobs of a sweep.

    Raises:
        ConfigError: an override that Hydra refuses.
    """
    is_experiment = any(each.startswith("experiment=") for each in sweep.base)
    with explained():
        return compose_sweep([*sweep.base, *extra], None if is_experiment else sweep.axes)


def _train(claim: Claim, sweep: Sweep, folder: Path, command: Command, say: Say) -> None:
    tag = () if any(each.startswith("experiment=") for each in sweep.base) else (f"experiment_name={claim.name}",)
    extra = (*tag, "tracking=disabled", f"results_dir={folder.resolve()}", *command.overrides)
    extra = (*extra, "dry_run=true") if command.dry_run else extra
    inventory = Inventory()
    built = build_jobs(composed(sweep, extra), Builder(), inventory.finished)
    raise_if_illegal(built)
    say(f"{claim.name}: {format_count(len(built.jobs), 'cell')} to train")
    if command.dry_run:
        print_plan(plan_cells(built.jobs, built.settings), built.settings)
        return
    outcome = run_cells(built.jobs, built.settings, inventory.store)
    raise_if_failed(outcome, built.settings)


def _measure(starts: Starts, folder: Path, command: Command, say: Say) -> None:
    """A file for each cell, with a row for each draw; written when all of its draws are measured."""
    built = build_jobs(composed(starts, ("tracking=disabled", "protocol=smoke")), Builder())
    raise_if_illegal(built)
    cells = [job.cell for job in built.jobs]
    left = [cell for cell in cells if not _is_stored(_file(folder, cell), starts)]
    say(f"{folder.name}: {format_count(len(left), 'cell')} of {len(cells)} to measure, {starts.draws} draws each")
    if command.dry_run:
        return
    for cell in left:
        table = measured(cell, starts)
        path = _file(folder, cell)
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda target, table=table: table.to_parquet(target, index=False))


def _file(folder: Path, cell: Cell) -> Path:
    return folder / "starts" / f"{cell.cell_id}.parquet"


def _is_stored(path: Path, starts: Starts) -> bool:
    if not path.is_file():
        return False
    table = pd.read_parquet(path)
    return len(table) >= starts.draws and set(starts.measures) <= set(table["measures"].iloc[0].split())


def measured(cell: Cell, starts: Starts, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """One row for each draw: cell, seed, the measures, and the configuration as JSON.

    Args:
        seeds: of the draws; None = all of `starts`.
    """
    text = json.dumps(dict(cell.config), sort_keys=True, default=str)
    facts, kept, rows = flat({**cell.config, "network": None}), kept_values(cell.workload), []
    for seed in range(starts.draws) if seeds is None else seeds:
        with rng.isolated(seed, "diagnose"):
            drawn, _ = start_of(cell.workload, cell.initializer, seed)
            start = Start(cell, facts, seed, drawn, kept)
            values = {key: value for name in starts.measures for key, value in MEASURES[name](start).items()}
        rows.append({"cell": cell.cell_id, "seed": seed, **values})
    return pd.DataFrame(rows).assign(measures=" ".join(starts.measures), config=text)
