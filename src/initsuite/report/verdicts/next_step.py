"""What to do where no initializer trains: from what was measured at step 0, or the command that measures it."""

from __future__ import annotations

from collections.abc import Sequence

from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.reproduce import FROM_PYTHON, diagnose_command
from initsuite.report.verdicts.starts import HEALTHY, start_of
from initsuite.wording import format_names

KEEPERS = ("he", "orthogonal", "lsuv")
"""Laws that keep the size of a signal: by the activation, by its gain, by measuring."""
_REMEDIES = {
    "symmetric": "Try a law that draws different weights for each unit, such as {laws}",
    "dead": "Try {laws}, biases of 0, or an activation that is not flat for negative inputs (activation=leaky_relu)",
    "saturated": "Try {laws}, or smaller weights",
    "exploding": "Try {laws}, or a norm",
    "vanishing": "Try {laws}, or a norm",
    "input-independent": "Try fewer layers, a norm, residual branches, or {laws}",
    "attention one-hot": "Try smaller weights of queries and keys",
    "attention uniform": "Try larger weights of queries and keys",
    "biased to one class": "Try a smaller head, or {laws}",
}
"""By illness, what to try: only what was not tried already."""


def next_step(comparison: Comparison) -> str:
    """A sentence or two; "" where nothing was scored."""
    scored = comparison.scored
    if not scored:
        return ""
    measured = [(standing, start) for standing in scored if (start := start_of(standing.arm))]
    if not measured:
        return f"See where the signal gets lost: {_diagnose(scored)}."
    found: dict[str, list[str]] = {}
    for standing, start in measured:
        place = f" from {start['layer']}" if start["layer"] else ""
        found.setdefault(f"{start['verdict'].partition('; ')[0]}{place}", []).append(standing.arm.name)
    every = "all" if len(measured) == len(scored) else "all that were measured"
    if all(words == HEALTHY for words in found):
        return (
            f"At step 0 signal and gradient are healthy with {every}: look at the learning rates, the budget "
            "(max_steps) and the data."
        )
    whole = "; ".join(
        f"{words} with {every if len(found) == 1 else format_names(names)}" for words, names in found.items()
    )
    return f"At step 0: {whole}. {_remedy(list(found), {standing.arm.name for standing in scored})}."


def _remedy(found: Sequence[str], tried: set[str]) -> str:
    first = next(words for words in found if words != HEALTHY)
    left = [name for name in KEEPERS if name not in tried]
    laws = f"init={','.join(left)}" if left else "a law that is made for this model"
    texts = (text for illness, text in _REMEDIES.items() if first.startswith(illness))
    return next(texts, "Try {laws}").format(laws=laws)


def _diagnose(scored: Sequence[Standing]) -> str:
    """The command that measures these arms."""
    stored = [standing.arm.trials for standing in scored if "overrides" in standing.arm.trials]
    overrides = [text for trials in stored for text in trials.overrides.dropna().unique()[:1]]
    if overrides and FROM_PYTHON not in overrides:
        return diagnose_command(overrides)
    name = scored[0].arm.name
    return (
        f'print(initsuite.diagnose(model, batch, init="{name}"))'
        if overrides
        else f"initsuite diagnose init={name} ..."
    )
