"""Cells of the suite, with their model, data, loss and initializer, before their first step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from initsuite.apply.account import account
from initsuite.apply.diagnosis import diagnosis_of
from initsuite.apply.pictures import Pictured
from initsuite.apply.prescription import Prescription, prescription_of
from initsuite.apply.ranking import Candidate
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Cell
from initsuite.models.describe.describe import Description
from initsuite.signal.diagnosis import Diagnosis
from initsuite.signal.measure import Subject
from initsuite.train.starts import kept_values, subject_of
from initsuite.wording import format_count


def diagnosis_of_cell(
    cell: Cell, draws: int, examples: int, *, jacobian: bool = False, curvature: bool = False
) -> Pictured:
    """What the network of a cell is like before its first step, on training examples, with its own loss.

    The weights are those of the trials with seeds 0, 1, 2 ...
    """
    subject, description = subject_of(cell.workload, examples)
    starts = Starts(cell, description, draws)
    name = _in_words(cell, subject, draws, left_out=("optimizer",))
    return diagnosis_of(subject, starts, starts.audit, [], name, jacobian=jacobian, curves=curvature)


def prescription_of_cells(
    cells: Sequence[Cell], draws: int, examples: int, *, is_optional: bool, **options: Any
) -> Prescription:
    """Rank the initializers of cells of one context.

    Args:
        is_optional: whether one that fails is left out.
        options: as `prescription_of` takes them.
    """
    subjects: dict[str, tuple[Subject, Description]] = {}

    def subject_at(cell: Cell) -> tuple[Subject, Description]:
        """Of its workload, which those share that require nothing of the model."""
        name = cell.workload.workload_id
        if name not in subjects:
            subjects[name] = subject_of(cell.workload, examples)
        return subjects[name]

    def candidate(cell: Cell) -> Candidate:
        def measure() -> tuple[Any, Diagnosis]:
            subject, description = subject_at(cell)
            starts = Starts(cell, description, draws)
            name = _in_words(cell, subject, draws, left_out=("optimizer",))
            return cell.axes["init"], diagnosis_of(subject, starts, starts.audit, [], name)

        return Candidate(cell.axes["init"], measure, is_optional)

    words = _in_words(cells[0], subject_at(cells[0])[0], draws, left_out=("optimizer", "init"))
    return prescription_of(words, [candidate(cell) for cell in cells], has_loss=True, **options)


def _in_words(cell: Cell, subject: Subject, draws: int, left_out: Sequence[str]) -> str:
    name = ", ".join(f"{key} {value}" for key, value in cell.axes.items() if key not in left_out)
    return f"{name}: {format_count(subject.batch, 'example')}, {format_count(draws, 'draw')}"


class Starts:
    """The parameters that trials of a cell start from."""

    def __init__(self, cell: Cell, description: Description, draws: int) -> None:
        self.cell, self.description, self.draws = cell, description, draws
        self._audit = pd.DataFrame()

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        workload = self.cell.workload
        kept = kept_values(workload)
        for seed in range(self.draws):
            params = {**kept, **start_of(workload, self.cell.initializer, seed)[0].params}
            if seed == 0:
                table = account(workload.model, self.description, self.cell.initializer, params.keys(), values=params)
                self._audit = table.assign(changed=False)
            yield params

    def audit(self) -> pd.DataFrame:
        return self._audit
