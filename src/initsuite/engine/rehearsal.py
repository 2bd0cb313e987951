"""Trying a workload out: whether it trains and in what manner, and how fast."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from initsuite import rng
from initsuite.engine.draws import global_state
from initsuite.engine.loop import Training
from initsuite.engine.manner import STACKED, Manner
from initsuite.engine.process import for_training
from initsuite.engine.stack import Member
from initsuite.errors import exits_are_errors

REHEARSED_STEPS, REHEARSED_EXAMPLES = 2, 32
"""Steps that a rehearsal takes, and validation examples that it evaluates."""
SAMPLES, SAMPLING_S = (3, 25), 0.2
"""The fewest and the most samples of a timing, and the seconds after which no more than the fewest are taken."""
MAX_REASON = 160
"""Characters of a reason; torch's messages go on for paragraphs."""


@for_training()
def rehearse(members: Sequence[Member], *, device: torch.device | str = "cpu") -> Manner:
    """Take two training steps and evaluate a few examples, to find what is broken; nothing of it is kept.

    What `torch.vmap` refuses as it is, is tried with random numbers from named streams, and then one trial by itself.

    Args:
        members: as for `train_stack`.
        device: as for `train_stack`.

    Returns:
        The manner in which the workload can be trained.

    Raises:
        Exception: whatever the model, the loss or the optimizer raises when a trial is trained by itself.
    """
    why = ""
    for manner in (STACKED, Manner(draws=True)):
        try:
            return _tried(members, torch.device(device), manner)
        except Exception as error:  # a user's model or loss may raise anything
            why = reason_of(error)
    return _tried(members, torch.device(device), Manner(why, draws=True))


def _tried(members: Sequence[Member], device: torch.device, manner: Manner) -> Manner:
    """The manner, with what two steps and an evaluation have shown about it."""
    with rng.isolated(0, "rehearsal"), exits_are_errors():
        training = Training(members, device, manner=manner)
        moves = []
        for _ in range(REHEARSED_STEPS):
            before = global_state()
            training.take_step()
            moves.append(global_state() != before)
        validation = training.data.validation
        training.measure(next(iter(validation.parts(REHEARSED_EXAMPLES))))
        training.wait()
    # another thread may take a number meanwhile, but hardly in each step
    manner = replace(manner, is_global=all(moves))
    if training.unstacked is None:
        return manner
    is_repeated = training.unstacked.is_repeated
    draws = training.unstacked.is_random and not is_repeated
    return replace(manner, draws=draws, is_global=manner.is_global or is_repeated)


def reason_of(error: Exception) -> str:
    """The first sentence of what was raised, on one line, and where in the user's code.

    Example:
        >>> reason_of(RuntimeError("vmap: no rule for aten::lstm (see https://a.b). We could not go on."))
        'no rule for aten::lstm'
    """
    text = " ".join(str(error).split()).removeprefix("vmap: ") or type(error).__name__
    sentence = re.sub(r" ?\([^()]*https?:[^()]*\)", "", text).split(". ")[0].rstrip(". ")
    if len(sentence) > MAX_REASON:
        sentence = f"{sentence[: MAX_REASON - 4].rstrip()} ..."
    ours = str(Path(torch.__file__).parent), str(Path(__file__).parents[1])
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    return f"{sentence} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else sentence


@for_training()
def pace(
    members: Sequence[Member], *, device: torch.device | str = "cpu", manner: Manner = STACKED
) -> tuple[float, float]:
    """How fast a stack trains here: medians of several short samples, so that no hiccup of the machine decides.

    Args:
        members: as for `train_stack`; copies of one member are enough.
        device: as for `train_stack`.
        manner: as for `train_stack`.

    Returns:
        Seconds of a training step, and of an evaluation on the validation split.

    Raises:
        Exception: as `rehearse` does.
    """
    training = Training(members, torch.device(device), manner=manner)
    training.take_step()  # warms up
    step_s = _median_s(training.take_step, training.wait)
    return step_s, _median_s(lambda: training.measure(training.data.validation), training.wait)


def _median_s(what: Callable[[], object], wait: Callable[[], None]) -> float:
    seconds: list[float] = []
    while len(seconds) < SAMPLES[0] or (len(seconds) < SAMPLES[1] and sum(seconds) < SAMPLING_S):
        begin = time.perf_counter()
        what()
        wait()
        seconds.append(time.perf_counter() - begin)
    return median(seconds)
