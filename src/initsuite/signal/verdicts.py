"""What the numbers mean, in words: which illness, where it begins, how fast it grows.

Every limit has a reason, none is a matter of taste:

- Vanishing, exploding and input-independent: networks are trainable up to about 6 depth scales (Schoenholz et al.
  2016), and over 6 of them a mean square changes by e^6 = 403, a root mean square by 20. So much, from one end to the
  other, is a trend (the median slope of its logarithm over the layers, times their number) or a step (between the
  medians before and after it). Medians, because what happens inside a residual branch or in attention is undone.
- Gradients where most layers have a norm right behind them grow by design (Yang et al. 2019), and the weights there
  have no scale that a step could be too large for. Healthy ones were measured: the most is e^14.4, of torchvision's
  resnet152; the limit is half as much again, e^21.
- A layer is left behind where the square of gradient / weight is e^21 below that of the median layer, the same limit.
  Behind weights times f, a norm makes gradients 1 / f of what they were, and that ratio 1 / f^2 (van Laarhoven 2017).
- Dead: pre-activations are distributed evenly about 0 unless something pushes them, so that even where all inputs look
  the same at most half of the units are off for all of them; more than two standard errors above are too many.
- Saturated: more than half of the entries, so the typical one, pass on less than 5 % of the largest slope.
- Symmetric: random weights make no two units equal; more than half of the units are equal to another one.
- Attention one-hot: sum p^2 above 1/2. Gaussian logits freeze onto few keys where their variance exceeds 2 log n
  (Derrida 1981, the random energy model); 1/2 is reached at twice that standard deviation.
- Attention uniform: logits deviate by less than 2^-8, so that bfloat16 cannot tell the weights of two keys apart.
- A first loss above twice that of the uniform guess: exploding. For Gaussian logits this is where the softmax freezes
  onto one class, variance 2 log C, as above.
- Biased to one class: the mean prediction has less than half of the entropy of the uniform guess. Of one softmax of
  Gaussian logits where it freezes, the mean is 0.55 of it for 10 classes, 0.44 for 100.

What differs between draws counts once it is beyond a limit by two standard errors.

Layers that start at 0 by design (heads, the last layers of residual branches) are no illness, and neither are small
heads: gradients are compared from the layer before the head on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from initsuite.signal.drifts import (
    LIMIT,
    LIMIT_WITH_NORMS,
    Drift,
    drift_of,
    gradient_groups,
    gradient_limit,
    hidden,
    informed_layers,
    input_shares,
    series,
    signal_chain,
)
from initsuite.wording import verdict_name

UNIFORM = 2.0**-8
"""The rounding of bfloat16."""
HEALTHY, VANISHING, EXPLODING = "healthy", "vanishing", "exploding"
DEAD, SATURATED, SYMMETRIC, INDEPENDENT = "dead", "saturated", "symmetric", "input-independent"
ONE_HOT, EVEN, BIASED = "attention one-hot", "attention uniform", "biased to one class"
NUMBERS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Verdict:
    """One illness.

    Attributes:
        verdict: its name: healthy, vanishing, exploding, dead, saturated, symmetric, input-independent, attention
            one-hot, attention uniform, biased to one class.
        direction: forward or backward, for what vanishes or explodes; "" for others.
        layer: where it begins: seen from the inputs for signals, from the outputs for gradients; "" for healthy.
        rate: the factor on the mean square per layer; ideal 1. NaN where it does not change steadily with depth.
        float32, bfloat16, float16: after how many layers at this rate a number of this type is 0, below its smallest
            normal number, or infinite; NaN where that has no meaning.
        reason: a sentence.
    """

    verdict: str
    direction: str = ""
    layer: str = ""
    rate: float = math.nan
    float32: float = math.nan
    bfloat16: float = math.nan
    float16: float = math.nan
    reason: str = ""

    def __str__(self) -> str:
        name = verdict_name(self.verdict, self.direction)
        return f"{name} from `{self.layer}`: {self.reason}" if self.layer else f"{name}: {self.reason}"


def verdicts(layers: pd.DataFrame, points: pd.DataFrame, whole: Mapping[str, float]) -> list[Verdict]:
    """All illnesses, those nearest to the inputs first; one that is `healthy` where there is none.

    Args:
        layers: one row per layer, in order; the mean over draws.
        points: the same for each draw.
        whole: numbers about the whole network.
    """
    found = [
        *_forward(layers, points), *_backward(layers, points), *_units(layers), *_independent(layers, points),
        *_attention(layers), *_outputs(layers, whole),
    ]  # fmt: skip
    place = {name: number for number, name in enumerate(layers["layer"])}
    kinds = [SYMMETRIC, DEAD, SATURATED, EXPLODING, VANISHING, INDEPENDENT, ONE_HOT, EVEN, BIASED]
    merged = {(each.verdict, each.direction): each for each in reversed(found)}
    ordered = sorted(merged.values(), key=lambda each: (place.get(each.layer, len(place)), kinds.index(each.verdict)))
    return ordered or [Verdict(HEALTHY, reason="signal and gradient keep their size, and units differ.")]


def _forward(layers: pd.DataFrame, points: pd.DataFrame) -> list[Verdict]:
    weighted = hidden(layers)
    if weighted.empty:
        return []
    broken = [row.layer for row in layers.itertuples() if not math.isfinite(row.q)]  # type: ignore[arg-type]
    chain = signal_chain(layers)
    inputs = series(points, "q_in", chain)
    last = next(iter(weighted.loc[weighted["is_head"], "layer"].iloc[::-1]), None)
    found = []
    for kind, logs in ((VANISHING, inputs), (EXPLODING, _with_head(inputs, points, last))):
        moved, known, error = drift_of(logs)
        sign = -1 if kind == VANISHING else 1
        if sign * moved.total - error <= LIMIT:
            continue
        begin = [*chain, last or ""][known[moved.begin]]
        start = float(np.nanmean(logs[:, known[0]]))
        found.append(_moving(kind, "forward", begin, moved, start, "the mean square of the signal"))
    found += _lost_in_norms(layers) if not found else []
    if broken and not any(each.verdict == EXPLODING for each in found):
        found.append(Verdict(EXPLODING, "forward", str(broken[0]), reason="its outputs are not finite."))
    return found


def _lost_in_norms(layers: pd.DataFrame) -> list[Verdict]:
    """Signals that are smaller than the number which a norm adds to their variance; scales of 0 are by design."""
    small = layers[(layers["q_norm"] > 0) & (layers["q_norm"] < math.exp(-LIMIT))]
    reason = "its outputs are so small that the norm behind it, which should make their mean square 1, leaves {:.2g}."
    if small.empty:
        return []
    first = small.iloc[0]
    return [Verdict(VANISHING, "forward", str(first["layer"]), reason=reason.format(first["q_norm"]))]


def _with_head(inputs: np.ndarray, points: pd.DataFrame, head: str | None) -> np.ndarray:
    return inputs if head is None else np.concatenate([inputs, series(points, "q", [head])], axis=1)


def _backward(layers: pd.DataFrame, points: pd.DataFrame) -> list[Verdict]:
    groups = gradient_groups(layers)
    found = [verdict for group in groups for verdict in _backward_in(group, points)]
    return (found or [verdict for group in groups for verdict in _left_behind(group)])[:1]


def _left_behind(group: pd.DataFrame) -> list[Verdict]:
    """A layer whose gradient is nothing beside its weight, where a norm undoes the size of the weight forwards."""
    ratios = group["gradient_to_weight"]
    known = ratios[(ratios > 0) & np.isfinite(ratios)]
    slow = group.loc[known.index[known < known.median() * math.exp(-LIMIT_WITH_NORMS / 2)]]
    if slow.empty:
        return []
    row = slow.iloc[-1]
    times = float(known.median() / row["gradient_to_weight"])
    reason = (
        f"its gradient is {row['gradient_to_weight']:.2g} of its weight, {times:.2g} times less than in the median "
    )
    reason += "layer, so that no learning rate moves both; its weights may be too large for the norm behind it."
    return [Verdict(VANISHING, "backward", str(row["layer"]), reason=reason)]


def _backward_in(group: pd.DataFrame, points: pd.DataFrame) -> list[Verdict]:
    names = list(group["layer"])[::-1]
    logs = 2 * series(points, "gradient_norm", names)
    moved, known, error = drift_of(logs)
    limit = gradient_limit(group)
    if abs(moved.total) - error <= limit:
        return []
    kind = VANISHING if moved.total < 0 else EXPLODING
    start = 2 * float(np.nanmean(series(points, "gradient", names)[:, known[0]]))
    layer, what = names[known[moved.begin]], "the mean square of the gradient"
    return [_moving(kind, "backward", layer, moved, start, what, limit)]


def _moving(
    kind: str, direction: str, layer: str, moved: Drift, start: float, what: str, limit: float = LIMIT
) -> Verdict:
    depths = {name: _depth(start, moved.rate, dtype) for name, dtype in NUMBERS.items()} if moved.is_steady else {}
    end = math.exp(-limit if kind == VANISHING else limit)
    reason = f"{what} {moved.in_words()}; networks are trainable {'down' if kind == VANISHING else 'up'} to {end:.3g}."
    return Verdict(kind, direction, layer, moved.factor, reason=reason, **depths)


def _depth(start: float, rate: float, dtype: torch.dtype) -> float:
    """The layer in which a root mean square leaves the range of a type, at a rate of the log mean square per layer."""
    limit = 2 * math.log(torch.finfo(dtype).tiny if rate < 0 else torch.finfo(dtype).max)
    return max(math.ceil((limit - start) / rate), 0)


def _units(layers: pd.DataFrame) -> list[Verdict]:
    found: dict[str, Verdict] = {}
    for row in layers.itertuples():
        too_many = 0.5 + 2 * math.sqrt(0.25 / row.units)  # type: ignore[arg-type, operator]
        if row.dead > too_many and row.q > 0:  # type: ignore[operator]
            reason = f"{row.dead:.0%} of its units are off for all inputs; chance alone leaves at most {too_many:.0%}."
            found.setdefault(DEAD, Verdict(DEAD, layer=row.layer, reason=reason))  # type: ignore[arg-type]
        if row.saturated > 0.5:  # type: ignore[operator]
            reason = (
                f"{row.saturated:.0%} of its outputs are where {row.nonlinearity} is flat (5 % of its largest slope)."
            )
            found.setdefault(SATURATED, Verdict(SATURATED, layer=row.layer, reason=reason))  # type: ignore[arg-type]
        is_fed = row.is_look_up or row.q_in > 0  # type: ignore[operator]
        is_made = row.q > 0 or row.is_zero  # type: ignore[operator]
        if row.duplicates > 0.5 and is_fed and is_made and not row.is_idle:  # type: ignore[operator]
            reason = f"{row.duplicates:.0%} of its units equal another one, and get equal gradients."
            found.setdefault(SYMMETRIC, Verdict(SYMMETRIC, layer=row.layer, reason=reason))  # type: ignore[arg-type]
    return list(found.values())


def _independent(layers: pd.DataFrame, points: pd.DataFrame) -> list[Verdict]:
    names = informed_layers(layers)
    if not names:
        return []
    moved, known, error = drift_of(series(input_shares(points), "input_share", names))
    if -moved.total - error <= LIMIT:
        return []
    reason = f"the share of the signal that depends on the input {moved.in_words()}."
    return [Verdict(INDEPENDENT, layer=names[known[moved.begin]], rate=moved.factor, reason=reason)]


def _attention(layers: pd.DataFrame) -> list[Verdict]:
    found = []
    hot = layers[layers["attention_collision"] > 0.5]
    if len(hot):
        row = hot.iloc[0]
        reason = f"a query gives {row.attention_collision:.0%} of its attention to one key (mean of sum p^2)."
        found.append(Verdict(ONE_HOT, layer=str(row["layer"]), reason=reason))
    even = layers[layers["attention_deviation"] < UNIFORM]
    if len(even):
        row = even.iloc[0]
        reason = f"logits differ by {row.attention_deviation:.2g} between keys, below the rounding of bfloat16."
        found.append(Verdict(EVEN, layer=str(row["layer"]), reason=reason))
    return found


def _outputs(layers: pd.DataFrame, whole: Mapping[str, float]) -> list[Verdict]:
    heads = layers.loc[layers["is_head"], "layer"]
    head = heads.iloc[-1] if len(heads) else layers["layer"].iloc[-1]
    loss, guess = whole.get("loss", math.nan), whole.get("uniform_loss", math.nan)
    noise = {name: _twice(whole.get(f"{name}_noise", math.nan)) for name in ("loss", "prediction_entropy")}
    found = []
    if loss - noise["loss"] > 2 * guess:
        reason = f"the first loss is {loss:.3g}, more than twice that of the uniform guess, {guess:.3g}."
        found.append(Verdict(EXPLODING, "forward", head, reason=reason))
    if whole.get("prediction_entropy", math.nan) + noise["prediction_entropy"] < 0.5:
        share = whole["commonest_class"]
        reason = f"the mean prediction has {whole['prediction_entropy']:.0%} of the entropy of the uniform guess; "
        reason += f"{share:.0%} of the examples get the commonest class."
        found.append(Verdict(BIASED, layer=head, reason=reason))
    return found


def _twice(error: float) -> float:
    """Two standard errors, 0 where none is known."""
    return 0.0 if math.isnan(error) else 2 * error
