"""What happens while tasks are trained. `Evaluated` and `Abandoned` also reach the sinks, so `spec` defines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from initsuite.spec import Abandoned, Evaluated, Trial, TrialResult

__all__ = [
    "Abandoned",
    "Emit",
    "Evaluated",
    "Event",
    "Finished",
    "Lost",
    "Note",
    "Started",
    "StopLaunch",
    "tell_at_once",
]


@dataclass(frozen=True)
class Started:
    """A stack goes into training."""

    stack_id: str
    trials: Sequence[Trial]


@dataclass(frozen=True)
class Finished:
    """A stack has ended, with a result for each of its trials, in their order."""

    stack_id: str
    results: Sequence[TrialResult]


@dataclass(frozen=True)
class Lost:
    """A stack has lost the process that trained it; it starts again, from its checkpoint if it has one."""

    stack_id: str


@dataclass(frozen=True)
class Note:
    """A line for the user."""

    line: str


class StopLaunch(BaseException):
    """As many trials have failed as `on_error` allows, or the deadline is past.

    Whoever takes events raises it, in the midst of a training, too: what handles the errors of users does not catch it.
    """


Event = Started | Evaluated | Finished | Abandoned | Lost | Note
Emit = Callable[[Event], None]


def tell_at_once(emit: Emit, stack_id: str, results: Sequence[TrialResult]) -> None:
    """Emit results that took no training."""
    emit(Started(stack_id, [result.trial for result in results]))
    emit(Finished(stack_id, results))
