"""How long a launch still takes: what its stacks promised when they were timed, and how they keep that promise."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

TRUST_S = 5.0
"""A promise counts as much as this many seconds of training: the first evaluations come with what is done once."""


@dataclass
class _Running:
    promised_s: float
    share: float = 0.0


@dataclass
class Forecast:
    """Work in seconds of one core, as timed before the first step, and the pace at which it is done.

    Attributes:
        at_a_time: stacks that are trained at the same time.
        later_s: what a later stage will take, by the same measure.
        clock: seconds, from any beginning.
    """

    at_a_time: int = 1
    later_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _waiting: dict[str, float] = field(default_factory=dict)
    _running: dict[str, _Running] = field(default_factory=dict)
    _done_s: float = 0.0
    _trained_s: float = 0.0
    _since: float = 0.0
    _is_timed: bool = True

    def expect(self, promised_s: Mapping[str, float], at_a_time: int, later_s: float = 0.0) -> None:
        """Take on trials.

        Args:
            promised_s: by trial_id; NaN counts as the mean of the others.
            at_a_time: stacks that are trained at the same time.
            later_s: what the stages after this one will take; NaN is left out.
        """
        known = [seconds for seconds in promised_s.values() if not math.isnan(seconds)]
        self._is_timed = self._is_timed and (bool(known) or not promised_s)
        usual = sum(known) / len(known) if known else 1.0
        self._waiting |= {key: usual if math.isnan(seconds) else seconds for key, seconds in promised_s.items()}
        self.at_a_time, self.later_s = at_a_time, 0.0 if math.isnan(later_s) else later_s

    def drop(self, trial_ids: Collection[str]) -> None:
        """Forget trials that another launch has trained."""
        for trial_id in trial_ids:
            self._waiting.pop(trial_id, None)

    def begin(self, stack_id: str, trial_ids: Collection[str]) -> None:
        """A stack goes into training."""
        self._tick()
        self._running[stack_id] = _Running(sum(self._waiting.pop(trial_id, 0.0) for trial_id in trial_ids))

    def advance(self, stack_id: str, share: float) -> None:
        """A stack has reached this share of its steps."""
        self._tick()
        running = self._running[stack_id]
        self._done_s += (share - running.share) * running.promised_s
        running.share = share

    def end(self, stack_id: str) -> None:
        """A stack has ended with its results."""
        self.advance(stack_id, 1.0)
        del self._running[stack_id]

    def give_up(self, stack_id: str, trial_ids: Collection[str]) -> None:
        """A stack has ended without results: its trials wait again."""
        self.advance(stack_id, 0.0)
        each = self._running.pop(stack_id).promised_s / max(1, len(trial_ids))
        self._waiting |= dict.fromkeys(trial_ids, each)

    @property
    def share(self) -> float:
        """How much of all work is done, from 0 to 1."""
        total_s = self._done_s + self._left_s
        return self._done_s / total_s if total_s > 0 else 0.0

    @property
    def left_s(self) -> float:
        """Seconds that are left; NaN where nothing was timed and nothing is known yet."""
        self._tick()
        trust_s = TRUST_S if self._is_timed else 0.0
        pace = self._done_s + self.at_a_time * trust_s
        if pace <= 0:
            return math.nan
        stretch = (self._trained_s + trust_s) / pace  # seconds for one of those promised, all stacks together
        longest_s = max((stack.promised_s * (1 - stack.share) for stack in self._running.values()), default=0.0)
        return stretch * max(self._left_s, self.at_a_time * longest_s)

    @property
    def _left_s(self) -> float:
        running = sum(stack.promised_s * (1 - stack.share) for stack in self._running.values())
        return sum(self._waiting.values()) + running + self.later_s

    def _tick(self) -> None:
        """Count the time since the last call, if anything was in training."""
        now = self.clock()
        self._trained_s += now - self._since if self._running else 0.0
        self._since = now
