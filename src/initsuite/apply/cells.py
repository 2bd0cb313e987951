"""The diagnosis of a cell of the suite: its model, data, loss and initializer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
from torch import Tensor

from initsuite.apply.account import account
from initsuite.apply.batch import Batch, scoring_of
from initsuite.apply.diagnosis import described, diagnosis_of
from initsuite.engine.stack import probe_of, start_of
from initsuite.engine.workload import Cell
from initsuite.models.describe.describe import Description
from initsuite.signal.diagnosis import Diagnosis
from initsuite.signal.measure import Subject
from initsuite.wording import format_count


def diagnosis_of_cell(
    cell: Cell, draws: int, examples: int, *, jacobian: bool = False, curvature: bool = False
) -> Diagnosis:
    """What the network of a cell is like before its first step, on training examples, with its own loss.

    The weights are those of the trials with seeds 0, 1, 2 ...
    """
    workload = cell.workload
    probe = probe_of(workload)
    inputs, targets = probe.inputs[:examples], probe.targets[:examples]
    batch = Batch((inputs,), {}, targets, len(inputs))
    description, recording = described(workload.model, batch)

    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return workload.loss(outputs, wanted).mean()

    scoring = scoring_of(recording, 0, batch, loss)
    subject = Subject(recording, workload.specs, 0, batch.size, scoring.loss, class_axis=scoring.class_axis,
                      num_classes=scoring.num_classes)  # fmt: skip
    starts = _Starts(cell, description, draws)
    name = ", ".join(f"{key} {value}" for key, value in cell.axes.items() if key != "optimizer")
    name += f": {format_count(len(inputs), 'example')}, {format_count(draws, 'draw')}"
    return diagnosis_of(subject, starts, starts.audit, [], name, jacobian=jacobian, curves=curvature)


class _Starts:
    """The parameters that trials of a cell start from."""

    def __init__(self, cell: Cell, description: Description, draws: int) -> None:
        self.cell, self.description, self.draws = cell, description, draws
        self._audit = pd.DataFrame()

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        workload = self.cell.workload
        kept = {name: each.detach() for name, each in workload.model.named_parameters() if not each.is_meta}
        for seed in range(self.draws):
            params = {**kept, **start_of(workload, self.cell.initializer, seed)[0].params}
            if seed == 0:
                table = account(workload.model, self.description, self.cell.initializer, params.keys(), values=params)
                self._audit = table.assign(changed=False)
            yield params

    def audit(self) -> pd.DataFrame:
        return self._audit
