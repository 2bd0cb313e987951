"""What `compare` returns: the recommendation in words, tables, curves, a report, and the choice as plain torch."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from initsuite.apply.pictures import embedded
from initsuite.config.build import Job
from initsuite.errors import unknown_choice
from initsuite.protocol.tuning import Protocol
from initsuite.report.files import write_report
from initsuite.report.text.display import arms_for_people, confidence_text
from initsuite.report.text.terminal import context_text
from initsuite.report.verdicts.comparison import Comparison, rows_of
from initsuite.report.verdicts.recommendations import ARM_COLUMNS, build_report
from initsuite.report.verdicts.views import TRIAL_COLUMNS, Views
from initsuite.results.store import Results, load_results
from initsuite.spec import CONTEXT_AXES, Status

_SHOWN_AXES = (*CONTEXT_AXES, "context", "context_id", "lr_rule")
"""Columns that are the same in every row of one comparison."""


@dataclass(frozen=True, eq=False, repr=False)
class Compared:
    """A comparison of initializers, read from the results store. Printed, it reads as the recommendation.

    Attributes:
        jobs: what was compared.
        results_dir: the store that holds the trials.
        notes: what is to be known about it.
        is_complete: False where it was stopped before all of its trials were trained.
    """

    jobs: Sequence[Job]
    results_dir: Path
    notes: tuple[str, ...] = ()
    is_complete: bool = True

    @cached_property
    def views(self) -> Views:
        """The tables of the report, of this comparison alone."""
        results = load_results(self.results_dir)
        cells = {job.cell.cell_id for job in self.jobs}
        trials = results.trials[results.trials.cell_id.isin(cells)].reset_index(drop=True)
        curves = results.curves[results.curves.trial_id.isin(trials.trial_id)].reset_index(drop=True)
        links = {name: url for name, url in results.links.items() if name in set(trials.trial_id)}
        report = build_report(Results(trials, curves, results.damaged, links))
        chosen = tuple(found for found in report.comparisons if _is_asked(found, self.jobs[0].protocol))
        keys = {found.key for found in chosen}
        return Views(
            replace(
                report,
                comparisons=chosen,
                recommendations=rows_of(report.recommendations, keys),
                arms=rows_of(report.arms, keys),
            )
        )

    @property
    def _comparison(self) -> Comparison | None:
        return next(iter(self.views.report.comparisons), None)

    @property
    def recommended(self) -> str | None:
        """The initializer to use; None where none trains."""
        leader = self._comparison.leader if self._comparison else None
        return leader.arm.name if leader else None

    @property
    def confidence(self) -> str:
        """How sure that is: high (better than all others), moderate (than some), low (than none), none."""
        rows = self.views.report.recommendations
        return str(rows.confidence.iloc[0]) if len(rows) else "none"

    @property
    def table(self) -> pd.DataFrame:
        """One row for each initializer, best first; columns as in `arms_table`, without those that name the context."""
        names = ["init", *(name for name in ARM_COLUMNS if name not in (*_SHOWN_AXES, "init"))]
        return self.views.report.arms[names]

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each trial: its learning rate, seed, stage, status and measures."""
        return self.views.trials[[name for name in TRIAL_COLUMNS if name != "context"]]

    @property
    def curves(self) -> pd.DataFrame:
        """One row for each evaluation: init, stage, lr, seed, step, train_loss, val_loss, val_score, trial_id."""
        of_trials = self.views.report.trials[["trial_id", "init", "stage", "lr", "seed"]]
        merged = of_trials.merge(self.views.report.curves, on="trial_id")
        order = ["init", "stage", "lr", "seed", "step", "train_loss", "val_loss", "val_score", "trial_id"]
        return merged[order].sort_values(["init", "stage", "lr", "seed", "step"], ignore_index=True)

    def plot(self, kind: str = "curves") -> Any:
        """A matplotlib figure of the report: `curves`, `lr_sensitivity`, `steps_to_target` ...

        Raises:
            ConfigError: an unknown name, or one that there are no data for.
        """
        from initsuite.report.figures import drawings

        found = {drawing.name: drawing for drawing in drawings(self.views)}
        if kind not in found:
            raise unknown_choice("plot", "kind", kind, found)
        return found[kind].pages[0]

    def report(self, folder: str | Path) -> list[Path]:
        """Write tables, figures and the page recommendations.html into a folder; returns the paths, the page first."""
        return write_report(self.views, Path(folder))

    def snippet(self, init: str | None = None) -> str:
        """A function `initialize_(model, seed)` in plain torch that draws what the chosen initializer draws.

        Args:
            init: another one of the table; None = the recommended one.

        Raises:
            ConfigError: no such initializer, or none is recommended.
            InitsuiteError: it cannot be written in plain torch.
        """
        from initsuite.apply.own.snippet import snippet_of

        name, known = init or self.recommended, dict(zip(self.table.init, self.table.cell_id, strict=True))
        if name not in known:
            raise unknown_choice("snippet", "init", name, known, "None trains: name one." if name is None else "")
        cell = next(job.cell for job in self.jobs if job.cell.cell_id == known[name])
        lr = self.table.set_index("init").best_lr[str(name)]
        title = f"{name}, for {cell.axes['model']}; best with {cell.axes['optimizer']} at a learning rate of {lr:g}."
        return snippet_of(cell.initializer, cell.workload.model, cell.workload.specs, title)

    def __str__(self) -> str:
        return "\n".join([self._words(), *self._remarks()])

    __repr__ = __str__

    @cached_property
    def _has_trials(self) -> bool:
        cells = {job.cell.cell_id for job in self.jobs}
        return bool(load_results(self.results_dir).trials.cell_id.isin(cells).any())

    def _words(self) -> str:
        if not self._has_trials:
            return "Nothing can be said yet: no trial has ended."
        report = self.views.report
        return context_text(report.recommendations, report.arms).replace("the same command", "the same call")

    def _remarks(self) -> list[str]:
        """What stands below the recommendation."""
        found = [self._final() if self._has_trials else "", *self.notes]
        if not self.is_complete:
            found.append("It was stopped before all trials were trained; the same call goes on from there.")
        if self._has_trials:
            found += [f"Note: {note}" for note in self.views.report.notes if "working tree" not in note]
        return [remark for remark in found if remark]

    def _final(self) -> str:
        """Who leads by the final score, which need not be who learns fastest."""
        comparison = self._comparison
        if comparison is None or comparison.leader is None:
            return ""
        yardstick = comparison.context.yardstick
        means = {}
        for standing in comparison.scored:
            trials = standing.arm.trials
            final = trials.final_val_score.where(trials.status == Status.DONE, yardstick.chance)
            means[standing.arm.name] = float(final.map(yardstick.counted).mean())
        best = max(means, key=lambda name: yardstick.oriented(means[name]))
        test = {standing.arm.name: standing.score.estimate for standing in comparison.scored}
        agree = "too " if best == comparison.leader.arm.name else ""
        return (
            f"By the final validation {yardstick.label}, {best} leads {agree}({means[best]:{yardstick.written}}; test "
            f"{test[best]:{yardstick.written}})."
        )

    def _repr_html_(self) -> str:
        if not self._has_trials:
            return f"<p>{html.escape(str(self))}</p>"
        report = self.views.report
        row: Any = report.recommendations.iloc[0].to_dict()
        words = str(row["in_words"]).replace("the same command", "the same call")
        parts = [
            f"<h4>{html.escape(str(row['context']))}</h4>",
            f"<p><b>Recommended: {html.escape(str(row['recommended']))}.</b> {html.escape(words)} Confidence "
            f"{html.escape(confidence_text(row))}.</p>",
            _without_blanks(arms_for_people(report.arms)).to_html(index=False, border=0, justify="left"),
        ]
        if len(self.views.curves):
            parts.append(embedded(self.plot(), "learning curves"))
        parts += [f"<p>{html.escape(remark)}</p>" for remark in self._remarks()]
        return "\n".join(parts)


def _without_blanks(table: pd.DataFrame) -> pd.DataFrame:
    """Without the columns in which nothing stands, such as steps to a target where there is none."""
    return table[[name for name in table if any(str(cell) for cell in table[name])]]


def _is_asked(comparison: Comparison, protocol: Protocol) -> bool:
    context = comparison.context
    if protocol.is_tuned or context.is_tuned:
        return protocol.is_tuned and context.is_tuned
    return context.lr_rule.endswith(f": {protocol.lr:g}")
