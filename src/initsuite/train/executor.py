"""Trains one stack and keeps failures apart: a broken trial fails alone, and too little memory halves the width."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from initsuite.engine.checkpoint import Checkpoint
from initsuite.engine.loop import train_stack
from initsuite.engine.manner import Manner
from initsuite.engine.rehearsal import pace, rehearse
from initsuite.engine.stack import Member, start_of
from initsuite.engine.workload import Cell
from initsuite.errors import exits_are_errors, is_out_of_memory
from initsuite.spec import Abandoned, Evaluated, Evaluation, Initialization, Stage, TrialResult
from initsuite.train.events import Emit, Finished, Note, Started, tell_at_once
from initsuite.train.gate import Gate
from initsuite.train.starts import measured
from initsuite.train.task import Stack, Task, checkpoint_path, failure, identity_of
from initsuite.wording import last_line


@dataclass
class Executor:
    """Trains tasks on one device, in the process that owns it.

    Attributes:
        cells: by cell_id, all that the tasks name.
        device: cpu or cuda:N.
        checkpoints: the folder for them; None writes none.
        checkpoint_every_s: least seconds between two checkpoints of a stack.
        narrowed: by workload, the width that fitted into memory after a wider one did not.
        gate: keeps those apart who train and those who draw parameters.
        diagnostics: whether the starts of scoring trials are measured.
        unmeasured: workloads for which that failed, which was said.
    """

    cells: Mapping[str, Cell]
    device: str
    checkpoints: Path | None
    checkpoint_every_s: float
    narrowed: dict[str, int] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)
    diagnostics: bool = False
    unmeasured: set[str] = field(default_factory=set)

    def run(self, task: Task, emit: Emit, before_draw: Callable[[], None] = lambda: None) -> None:
        """Train a task, which may be emitted in parts. Only interrupts and what a listener raises get out.

        Several Python threads may call it at the same time.

        Args:
            emit: gets the events.
            before_draw: called before the parameters of each trial are drawn; what it raises stops the task.
        """
        torch.set_num_threads(1)  # of this Python thread, for the drawing
        with self.gate.alone():  # all in one go: who trains steps aside at evaluations only, a long wait for each draw
            members, broken = self._initialise(task, before_draw)
            if self.diagnostics:
                members = [self._measured(member, emit, before_draw) for member in members]
        if broken:
            part = task.part([result.trial for result in broken])
            tell_at_once(emit, part.stack.stack_id, broken)
        waiting = [members] if members else []
        while waiting:
            part = waiting.pop(0)
            width = self.narrowed.get(part[0].cell.workload.workload_id, len(part))
            if len(part) > width:
                waiting = [part[start : start + width] for start in range(0, len(part), width)] + waiting
            elif error := self._attempt(task, part, emit):
                waiting = self._halves(part, error, emit) + waiting

    def member(self, cell: Cell) -> Member:
        """A trial of a cell to rehearse with, which is not stored. Raises whatever a user's initializer raises."""
        trial = cell.trial(min(cell.lr_grid), 0, Stage.TUNE)
        return Member(cell, trial, *start_of(cell.workload, cell.initializer, trial.seed))

    def rehearse(self, member: Member) -> Manner:
        """Take two steps of one trial, to find its manner. Raises whatever a user's model or loss raises."""
        return rehearse([member], device=self.device)

    def pace(self, member: Member, seeds: Sequence[int], manner: Manner) -> tuple[float, float]:
        """Seconds of a step and of an evaluation of a stack of copies of one trial. Raises as `rehearse` does.

        Args:
            seeds: of each copy, which decide whether they share their batches.
        """
        copies = [replace(member, trial=replace(member.trial, seed=seed)) for seed in seeds]
        return pace(copies, device=self.device, manner=manner)

    def _initialise(self, task: Task, before_draw: Callable[[], None]) -> tuple[list[Member], list[TrialResult]]:
        """Draw the parameters of each trial; an initializer that raises fails its own trials only."""
        drawn = self._drawn(task, before_draw)
        members, broken = [], []
        for trial in task.trials:
            start = drawn[trial.cell_id, trial.seed]
            if isinstance(start, str):
                broken.append(failure(trial, start, len(task.trials), self.device))
            else:
                members.append(Member(self.cells[trial.cell_id], trial, *start))
        return members, broken

    def _drawn(
        self, task: Task, before_draw: Callable[[], None]
    ) -> dict[tuple[str, int], tuple[Initialization, float] | str]:
        """By cell and seed, the start of the trials, or the traceback of their initializer."""
        drawn: dict[tuple[str, int], tuple[Initialization, float] | str] = {}
        for cell_id, seed in dict.fromkeys((trial.cell_id, trial.seed) for trial in task.trials):
            before_draw()
            cell = self.cells[cell_id]
            try:
                drawn[cell_id, seed] = start_of(cell.workload, cell.initializer, seed)
            except Exception:  # a user's initializer may raise anything
                drawn[cell_id, seed] = traceback.format_exc()
        return drawn

    def _measured(self, member: Member, emit: Emit, before_draw: Callable[[], None]) -> Member:
        """A scoring trial with the measures of its start. What fails here is said; the trial trains without them."""
        workload_id = member.cell.workload.workload_id
        if member.trial.stage != Stage.SCORE or workload_id in self.unmeasured:
            return member
        before_draw()
        try:
            return replace(member, signal=measured(member.cell, member.start.params, member.trial.seed))
        except Exception as error:  # a user's model or loss may raise anything
            self.unmeasured.add(workload_id)
            emit(Note(f"Not measured at step 0: {member.cell.axes['model']}: {last_line(str(error))}"))
            return member

    def _attempt(self, task: Task, members: Sequence[Member], emit: Emit) -> Exception | None:
        """Train members as one stack. Returns the error of a stack that can be split; a lone trial fails with it."""
        part = task.part([member.trial for member in members])
        stack_id = part.stack.stack_id
        emit(Started(stack_id, part.trials))

        can_be_shared = members[0].cell.workload.can_be_shared

        def on_evaluation(evaluation: Evaluation) -> None:
            emit(Evaluated(stack_id, evaluation))
            if can_be_shared:
                self.gate.let_pass()

        try:
            with self.gate.among_others() if can_be_shared else self.gate.alone():
                checkpoint = self._checkpoint(part.stack)
                how: dict[str, Any] = {"device": self.device, "manner": task.manner, "checkpoint": checkpoint}
                with exits_are_errors():
                    results = train_stack(members, on_evaluation=on_evaluation, **how)
        except Exception as error:  # a user's model or loss may raise anything
            if len(members) > 1:
                emit(Abandoned(stack_id))
                # its frames hold the memory that the next, narrower attempt needs
                traceback.clear_frames(error.__traceback__)
                return error
            results = [failure(members[0].trial, traceback.format_exc(), 1, self.device)]
        emit(Finished(stack_id, results))
        return None

    def _halves(self, members: list[Member], error: Exception, emit: Emit) -> list[list[Member]]:
        half = -(-len(members) // 2)
        if is_out_of_memory(error):
            self.narrowed[members[0].cell.workload.workload_id] = half
            if self.device != "cpu":
                torch.cuda.empty_cache()
            emit(Note(f"Out of memory with stacks of {len(members)}: trying {half}."))
        else:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            emit(Note(f"A stack of {len(members)} broke ({what}): trying its halves."))
        return [members[:half], members[half:]]

    def _checkpoint(self, stack: Stack) -> Checkpoint | None:
        if self.checkpoints is None or self.checkpoint_every_s == math.inf:
            return None
        return Checkpoint(
            checkpoint_path(self.checkpoints, stack.stack_id), self.checkpoint_every_s, identity_of(stack)
        )
