"""What the starts of trials are like before the first step, measured where `diagnostics=true` asks for it."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from initsuite.data.base import map_tree, tensors_of
from initsuite.engine.passes import arguments
from initsuite.engine.stack import probe_of
from initsuite.engine.workload import Cell, Workload
from initsuite.models.describe.describe import Description
from initsuite.models.describe.graph.recording import Recording
from initsuite.signal.measure import Subject, measure
from initsuite.signal.subject import Batch, Scoring, chosen_output, described, scoring_of
from initsuite.signal.summary import Summary
from initsuite.spec import Params

EXAMPLES = 64
"""Training examples that a start is measured on, those of `initsuite diagnose`; no more than a training step has, whose
memory a plan counts with."""


def subject_of(workload: Workload, examples: int = EXAMPLES) -> tuple[Subject, Description]:
    """What is measured of a workload: its model on training examples, with its own loss, and what the model is.

    Raises:
        ConfigError: the model returns several tensors, and none is named.
        InitsuiteError: it cannot be recorded.
    """
    probe = probe_of(workload)
    inputs, targets = (map_tree(lambda tensor: tensor[:examples], part) for part in (probe.inputs, probe.targets))
    args, kwargs = arguments(inputs)
    batch = Batch(args, kwargs, targets if isinstance(targets, Tensor) else None, len(tensors_of(inputs)[0]))
    description, recording = described(workload.model, batch)
    place, scoring = _scored(workload, recording, batch, targets)
    subject = Subject(recording, workload.specs, place, batch.size, scoring.loss, class_axis=scoring.class_axis,
                      num_classes=scoring.num_classes)  # fmt: skip
    return subject, description


def _scored(workload: Workload, recording: Recording, batch: Batch, targets: Any) -> tuple[int, Scoring]:
    """Which of the tensors that the model returns is scored, and how: the loss that it returns itself, if nothing is
    picked from what it returns."""
    names = list(recording.outputs)
    if workload.output is None and "loss" in names:
        score = workload.loss  # not the workload, which would be kept with it
        return names.index("loss"), Scoring(lambda own: score(SimpleNamespace(loss=own), targets).mean())
    place = chosen_output(recording, workload.output, workload.model)

    score = workload.loss

    def loss(outputs: Tensor, wanted: Any = targets) -> Tensor:
        return score(outputs, wanted).mean()

    return place, Scoring(loss) if batch.targets is None else scoring_of(recording, place, batch, loss)


def kept_values(workload: Workload) -> Params:
    """The values of the parameters that no initializer draws."""
    return {name: each.detach() for name, each in workload.model.named_parameters() if not each.is_meta}


def measured(cell: Cell, params: Params, seed: int) -> Mapping[str, float | str]:
    """The main measures of one start, by the names in `spec.SIGNAL`. No random stream of a trial is drawn from.

    Args:
        params: what the initializer drew.

    Raises:
        Exception: as `subject_of`, and whatever a user's loss raises.
    """
    subject, kept = _subject(weakref.ref(cell.workload))
    whole = {**kept, **params}
    summary = Summary(subject)
    summary.add(measure(subject, whole, seed), whole)
    return summary.brief(cell.workload.chance_loss)


@functools.lru_cache(maxsize=4)
def _subject(of: weakref.ref[Workload]) -> tuple[Subject, Params]:
    """Held without its workload, whose data goes with the launch."""
    workload = of()
    assert workload is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return subject_of(workload, min(EXAMPLES, workload.batch_size))[0], kept_values(workload)
