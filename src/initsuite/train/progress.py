"""The terminal: how far a launch is, how the arms stand, what failed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from initsuite.protocol.yardstick import Yardstick, yardstick_of
from initsuite.spec import Abandoned, Announced, Evaluated, Evaluation, News, Stage, Status, Stored, TrialInfo
from initsuite.wording import format_count, format_duration, last_line, plural

PLAIN_EVERY_S = 5.0
"""Seconds between two lines where the output is not a terminal."""
MAX_STANDINGS, MAX_FAILURES = 12, 20
Arm = tuple[tuple[str, ...], str]
"""The labels of the context, and the initializer."""


@dataclass
class _Training:
    """A stack in training, and the step it has reached."""

    trials: Sequence[TrialInfo]
    step: int = 0

    @property
    def max_steps(self) -> int:
        return int(self.trials[0].config["max_steps"])


class Progress:
    """A sink that shows a live display on a terminal and plain lines elsewhere. Use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.begin = time.monotonic()
        self.last_line = 0.0
        self.total_steps = self.done_steps = self.total_trials = self.done_trials = 0
        self.stacks: dict[str, _Training] = {}
        self.latest: dict[tuple[Arm, Stage], dict[str, tuple[float, float]]] = {}
        self.yardsticks: dict[Arm, Yardstick] = {}
        self.failed: list[Mapping[str, Any]] = []
        self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self._display, transient=True)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()
        if not self.total_trials and exception[0] is None:
            self.console.print("Every trial of this command is already stored.")
        elif self.total_trials:
            done = format_count(self.done_trials, "trial")
            self.console.print(f"{done} in {format_duration(time.monotonic() - self.begin)}")
            self.console.print(self._standings())
        if self.failed:
            self.console.print(self._failures())

    def planned(self, trial_steps: int, num_trials: int) -> None:
        """Count more work: the number of its trials, and the sum of their steps."""
        self.total_steps += trial_steps
        self.total_trials += num_trials

    def found(self, trial_steps: int, num_trials: int) -> None:
        """Discount planned work that another launch has done in the meantime."""
        self.planned(-trial_steps, -num_trials)

    def say(self, *lines: str) -> None:
        """Print lines above the display."""
        for line in lines:
            self.console.print(Text(line), soft_wrap=True)

    def take(self, news: News) -> None:
        match news:
            case Announced(stack_id, trials):
                self.stacks[stack_id] = _Training(trials)
            case Evaluated(stack_id, evaluation):
                self._evaluated(self.stacks[stack_id], evaluation)
            case Stored(stack_id, rows):
                self._stored(self.stacks.pop(stack_id), rows)
            case Abandoned(stack_id):
                if stack := self.stacks.pop(stack_id, None):
                    self.done_steps -= stack.step * len(stack.trials)

    def _evaluated(self, stack: _Training, evaluation: Evaluation) -> None:
        self.done_steps += (evaluation.step - stack.step) * len(stack.trials)
        stack.step = evaluation.step
        for info, score in zip(stack.trials, evaluation.val_score, strict=True):
            self._note(info, score)
        self._plain_line()

    def _stored(self, stack: _Training, rows: Sequence[Mapping[str, Any]]) -> None:
        self.done_trials += len(rows)
        self.done_steps += (stack.max_steps - stack.step) * len(rows)
        self.failed += [row for row in rows if row["status"] == Status.FAILED]
        self._plain_line(force=self.done_trials == self.total_trials)

    def _note(self, info: TrialInfo, score: float) -> None:
        """Keep the last score of a trial, chance once it has diverged."""
        *context, init = (info.axes[axis] for axis in ("dataset", "model", "activation", "optimizer", "init"))
        arm = tuple(context), init
        if arm not in self.yardsticks:
            self.yardsticks[arm] = yardstick_of(info.config["dataset"])
        score = float(score) if math.isfinite(score) else self.yardsticks[arm].chance
        self.latest.setdefault((arm, info.trial.stage), {})[info.trial.trial_id] = (info.trial.lr, score)

    def _plain_line(self, force: bool = False) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and (force or now - self.last_line > PLAIN_EVERY_S):
            self.last_line = now
            self.console.print(self._status(), soft_wrap=True)

    def _status(self) -> str:
        elapsed = time.monotonic() - self.begin
        share = self.done_steps / self.total_steps if self.total_steps else 0.0
        left = f", about {format_duration(elapsed * (1 - share) / share)} left in this stage" if 0 < share < 1 else ""
        done = f"{self.done_trials:,} of {self.total_trials:,} {plural(self.total_trials, 'trial')}"
        return f"{done}, {self._in_training()}{format_duration(elapsed)} elapsed{left}"

    def _in_training(self) -> str:
        if not self.stacks:
            return ""
        first = next(iter(self.stacks.values()))
        if len(self.stacks) > 1:
            width = sum(len(stack.trials) for stack in self.stacks.values())
            return f"{first.trials[0].trial.stage} {width} in {len(self.stacks)} stacks, "
        size = len(first.trials)
        return f"{first.trials[0].trial.stage} stack of {size}, step {first.step:,} of {first.max_steps:,}, "

    def _display(self) -> Group:
        bar = ProgressBar(total=max(1, self.total_steps), completed=self.done_steps, width=60)
        return Group(Text(self._status()), bar, Text(), self._standings())

    def _standings(self) -> Table:
        """Best mean validation score over the learning rates seen, by arm and stage."""
        table = Table(box=None, pad_edge=False, title_justify="left", title_style="bold")
        labels = {yardstick.label for yardstick in self.yardsticks.values()}
        metric = labels.pop() if len(labels) == 1 else "score"
        for column in ("initializer", "stage", "lr", "trials", f"validation {metric} (mean, range)"):
            table.add_column(column, justify="left" if column in ("initializer", "stage") else "right", overflow="fold")
        stages = dict(self.latest.keys())  # the last stage of an arm replaces the one before
        contexts = {context for context, _ in stages}
        table.title = " / ".join(contexts.pop()) if len(contexts) == 1 else None
        rows = []
        for arm, stage in stages.items():
            name = arm[1] if table.title else "/".join((*arm[0], arm[1]))
            by_lr: dict[float, list[float]] = {}
            for lr, score in self.latest[arm, stage].values():
                by_lr.setdefault(lr, []).append(score)
            means = {lr: fmean(scores) for lr, scores in by_lr.items()}
            lr = max(means, key=lambda lr: self.yardsticks[arm].oriented(means[lr]))
            how = self.yardsticks[arm].written
            spread = f"{means[lr]:{how}} ({min(by_lr[lr]):{how}} to {max(by_lr[lr]):{how}})"
            rows.append((self.yardsticks[arm].normalised(means[lr]), name, stage, lr, len(by_lr[lr]), spread))
        for _, name, stage, lr, count, spread in sorted(rows, key=lambda row: -row[0])[:MAX_STANDINGS]:
            table.add_row(Text(name), str(stage), f"{lr:g}", str(count), spread)
        if len(rows) > MAX_STANDINGS:
            table.add_row(f"... and {len(rows) - MAX_STANDINGS} more arms", "", "", "", "")
        return table

    def _failures(self) -> Table:
        title = f"{format_count(len(self.failed), 'trial')} failed"
        table = Table(title=title, title_style="bold red", box=None, pad_edge=False)
        for name in ("trial", "error"):
            table.add_column(name, overflow="fold")
        for row in self.failed[:MAX_FAILURES]:
            label = f"{row['init']} lr {row['lr']:g} seed {row['seed']} ({row['model']}, {row['dataset']})"
            table.add_row(Text(label), Text(last_line(row["error"])))
        if len(self.failed) > MAX_FAILURES:
            table.add_row("...", f"and {len(self.failed) - MAX_FAILURES} more")
        return table
