"""The diagnosis of a cell of the suite: its model, data, loss and initializer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
from torch import Tensor

from initsuite.apply.account import account
from initsuite.apply.diagnosis import diagnosis_of
from initsuite.apply.pictures import Pictured
from initsuite.engine.stack import start_of
from initsuite.engine.workload import Cell
from initsuite.models.describe.describe import Description
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
    name = ", ".join(f"{key} {value}" for key, value in cell.axes.items() if key != "optimizer")
    name += f": {format_count(subject.batch, 'example')}, {format_count(draws, 'draw')}"
    return diagnosis_of(subject, starts, starts.audit, [], name, jacobian=jacobian, curves=curvature)


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
