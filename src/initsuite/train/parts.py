"""Tasks in parts: what is left of one that lost the process that trained it is trained again, if need be in halves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from initsuite.train.events import Abandoned, Emit, Evaluated, Event, Finished, Lost, Note, Started, tell_at_once
from initsuite.train.task import Done, Task, failure
from initsuite.wording import format_count

ATTEMPTS = 2
"""How many processes a part may end before it is halved: one may end for reasons of its own, a kill for example."""


@dataclass
class Part:
    """A task in the hands of a process: the whole or a part of one that broke a process.

    Attributes:
        ended: how many processes have ended with it.
        training: its stacks in training.
        finished: ids of its trials that have ended.
    """

    task: Task
    whole: Task
    ended: int = 0
    training: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)

    def note(self, event: Event) -> None:
        """Take what its process says of it."""
        match event:
            case Started(stack_id):
                self.training.add(stack_id)
            case Finished(stack_id, results):
                self.training.discard(stack_id)
                self.finished |= {result.trial.trial_id for result in results}
            case Abandoned(stack_id) | Lost(stack_id):
                self.training.discard(stack_id)
            case Evaluated() | Note():
                pass


class Parts:
    """Gives out tasks as parts, and takes them back.

    Args:
        tasks: taken when they are needed.
        done: called with each task after the last of its parts.
    """

    def __init__(self, tasks: Iterator[Task], emit: Emit, done: Done) -> None:
        self._tasks, self._emit, self._done = tasks, emit, done
        self._again: list[Part] = []
        self._num_parts = Counter[Task]()

    def next(self) -> Part | None:
        """What is to be trained next; None after the last, until a part is lost."""
        if self._again:
            return self._again.pop(0)
        task = next(self._tasks, None)
        if task is None:
            return None
        self._num_parts[task] += 1
        return Part(task, task)

    def end(self, part: Part) -> None:
        """A part was trained."""
        self._replace(part, [])

    def lose(self, part: Part, how: str, device: str, *, is_to_blame: bool = True) -> None:
        """The process of a part has ended: what is left is tried again, as a whole first, which gives the same bits.

        Args:
            how: what happened, for the user.
            is_to_blame: whether the part may be what ended it. If not, it is never halved.
        """
        left = [trial for trial in part.task.trials if trial.trial_id not in part.finished]
        ended = part.ended + is_to_blame
        is_whole = ended < ATTEMPTS
        for stack_id in part.training:
            self._emit(Lost(stack_id) if is_whole else Abandoned(stack_id))
        if left and is_whole:
            self._emit(Note(f"{how} Its {format_count(len(left), 'trial')} are tried again."))
            self._replace(part, [Part(part.task.part(left), part.whole, ended)])
        elif len(left) > 1:
            self._emit(Note(f"{how} Its {len(left)} trials are tried again in halves."))
            half = -(-len(left) // 2)
            self._replace(part, [Part(part.task.part(some), part.whole) for some in (left[:half], left[half:])])
        else:
            for trial in left:
                alone = part.task.part([trial])
                tell_at_once(self._emit, alone.stack.stack_id, [failure(trial, how, 1, device)])
            self._replace(part, [])

    def _replace(self, part: Part, rest: list[Part]) -> None:
        self._again += rest
        self._num_parts[part.whole] += len(rest) - 1
        if not self._num_parts[part.whole]:
            del self._num_parts[part.whole]
            self._done(part.whole)
