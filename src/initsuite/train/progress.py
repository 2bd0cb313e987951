"""The terminal: how far a launch is, how the arms stand, what failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from initsuite.protocol.yardstick import Yardstick, yardstick_of
from initsuite.spec import (
    CONTEXT_AXES,
    Abandoned,
    Announced,
    Ended,
    Evaluated,
    Evaluation,
    News,
    Stage,
    Status,
    Stored,
    TrialInfo,
)
from initsuite.train.forecast import Forecast
from initsuite.train.standings import Standing, counted_score, standings_table
from initsuite.wording import format_count, format_duration, last_line, plural

PLAIN_EVERY_S = 5.0
"""Seconds between two lines where the output is not a terminal."""
MAX_LINES, MAX_FAILURES = 60, 20
"""Lines of the standings at the end, and of the failures."""
DOING = {Stage.TUNE: "tuning", Stage.SCORE: "scoring"}
Arm = tuple[tuple[str, ...], str]
"""The labels of the context, and the initializer."""


@dataclass
class Training:
    """A stack in training, and the step it has reached."""

    trials: Sequence[TrialInfo]
    step: int = 0

    @property
    def max_steps(self) -> int:
        return int(self.trials[0].config["max_steps"])

    @property
    def trial_ids(self) -> list[str]:
        return [info.trial.trial_id for info in self.trials]


class Progress:
    """A sink that shows a live display on a terminal and plain lines elsewhere. Use it as a context manager.

    Attributes:
        stacks: by stack_id, those in training; after an interruption, those that were.
        results: what is shown at the end; None shows what was seen.
        last_words: lines below that.
        forecast: how long the rest takes.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._lock = threading.RLock()
        self.begin = time.monotonic()
        self.last_line = 0.0
        self.total_trials = self.later_trials = self.done_trials = 0
        self.stacks: dict[str, Training] = {}
        self.latest: dict[tuple[Arm, Stage], dict[str, tuple[float, float]]] = {}
        self.yardsticks: dict[Arm, Yardstick] = {}
        self.failed: list[Mapping[str, Any]] = []
        self.results: Sequence[Standing] | None = None
        self.last_words: Sequence[str] = ()
        self.forecast = Forecast()
        self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self._display, transient=True)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.stop()
        if self.total_trials:
            done = format_count(self.done_trials, "trial")
            self.console.print(f"{done} in {format_duration(time.monotonic() - self.begin)}")
        elif exception[0] is None:
            self.console.print("Every trial of this command is already stored.")
        shown = self._seen() if self.results is None else self.results
        if shown:
            self.console.print(Text())
            self.console.print(standings_table(shown, MAX_LINES))
        if self.failed:
            self.console.print(self._failures())
        self.say(*self.last_words)

    def planned(self, num_trials: int) -> None:
        """Count more trials."""
        self.total_trials += num_trials

    def found(self, trial_ids: Collection[str]) -> None:
        """Discount planned trials that another launch has trained in the meantime."""
        self.total_trials -= len(trial_ids)
        self.forecast.drop(trial_ids)

    def say(self, *lines: str) -> None:
        """Print lines above the display."""
        for line in lines:
            self.console.print(Text(line), soft_wrap=True)

    def take(self, news: News) -> None:
        with self._lock:
            self._take(news)

    def _take(self, news: News) -> None:
        match news:
            case Announced(stack_id, trials):
                stack = self.stacks[stack_id] = Training(trials)
                self.forecast.begin(stack_id, stack.trial_ids)
            case Evaluated(stack_id, evaluation):
                self._evaluated(stack_id, evaluation)
            case Stored(stack_id, rows):
                self._stored(stack_id, rows)
            case Abandoned(stack_id):
                if stack := self.stacks.pop(stack_id, None):
                    self.forecast.give_up(stack_id, stack.trial_ids)
            case Ended():  # the table of results says it
                pass

    def _evaluated(self, stack_id: str, evaluation: Evaluation) -> None:
        stack = self.stacks[stack_id]
        stack.step = evaluation.step
        self.forecast.advance(stack_id, stack.step / stack.max_steps)
        for info, score in zip(stack.trials, evaluation.val_score, strict=True):
            self._note(info, score)
        self._plain_line()

    def _stored(self, stack_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        del self.stacks[stack_id]
        self.forecast.end(stack_id)
        self.done_trials += len(rows)
        self.failed += [row for row in rows if row["status"] == Status.FAILED]
        self._plain_line(force=self.done_trials == self.total_trials)

    def _note(self, info: TrialInfo, score: float) -> None:
        """Keep the last score of a trial; the arm that was heard of last comes last."""
        arm = tuple(info.axes[axis] for axis in CONTEXT_AXES), info.axes["init"]
        if arm not in self.yardsticks:
            self.yardsticks[arm] = yardstick_of(info.config["dataset"])
        key = arm, info.trial.stage
        seen = self.latest[key] = self.latest.pop(key, {})
        seen[info.trial.trial_id] = info.trial.lr, counted_score(score, self.yardsticks[arm])

    def _plain_line(self, force: bool = False) -> None:
        now = time.monotonic()
        if not self.console.is_terminal and (force or now - self.last_line > PLAIN_EVERY_S):
            self.last_line = now
            self.console.print(self._status(), soft_wrap=True)

    def _status(self) -> str:
        total = self.total_trials + self.later_trials
        parts = [f"{self.done_trials:,} of {total:,} {plural(total, 'trial')}", *self._in_training()]
        parts.append(f"{format_duration(time.monotonic() - self.begin)} elapsed")
        if (left_s := self.forecast.left_s) > 0:
            parts.append(f"about {format_duration(left_s)} left")
        return ", ".join(parts)

    def _in_training(self) -> Iterable[str]:
        if not self.stacks:
            return
        stacks = list(self.stacks.values())
        width = sum(len(stack.trials) for stack in stacks)
        yield f"{DOING[stacks[0].trials[0].trial.stage]} {width} together"
        if len(stacks) == 1:
            yield f"step {stacks[0].step:,} of {stacks[0].max_steps:,}"

    def _display(self) -> Group:
        with self._lock:  # the display is drawn by a thread of its own
            return self._drawn()

    def _drawn(self) -> Group:
        bar = ProgressBar(total=1.0, completed=self.forecast.share, width=min(60, self.console.width))
        room = max(6, self.console.height - 6)
        return Group(Text(self._status()), bar, Text(), standings_table(self._seen()[::-1], room))

    def _seen(self) -> list[Standing]:
        """Each arm at the learning rate with the best mean of those seen; its last stage replaces the one before."""
        found = []
        for arm, stage in dict(self.latest.keys()).items():
            by_lr: dict[float, list[float]] = {}
            for lr, score in self.latest[arm, stage].values():
                by_lr.setdefault(lr, []).append(score)
            yardstick = self.yardsticks[arm]
            standings = [Standing(*arm, str(stage), lr, scores, yardstick) for lr, scores in by_lr.items()]
            found.append(max(standings, key=lambda standing: yardstick.oriented(standing.mean)))
        return found

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
