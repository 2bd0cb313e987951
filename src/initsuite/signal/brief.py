"""A diagnosis in a few numbers, which are stored with a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from initsuite.signal.verdicts import Verdict
from initsuite.wording import verdict_name


def brief(
    layers: pd.DataFrame, whole: Mapping[str, float], found: Sequence[Verdict], chance_loss: float = math.nan
) -> dict[str, float | str]:
    """The main measures, by the names in `spec.SIGNAL`; NaN where one is not known.

    q_ratio: mean square of the pre-activations of the last hidden layer / that of the first; ideal: 1. gradient_ratio:
    square of the length of the gradient in the first hidden layer / that in the last; ideal: 1. input_share: the share
    of the signal of the last hidden layer that differs between examples; ideal: as in the inputs. dead, saturated: the
    largest share of any layer; ideal: 0, up to 1/2 of units where inputs look alike. loss_ratio: the loss / that of a
    model that knows nothing; ideal: 1. commonest_class: the share of examples that get it; ideal: that of the data.
    verdict: the illnesses, "; " between them, or healthy. layer: where the first one begins, "" for healthy.

    Args:
        layers: one row per layer, as in `Diagnosis.layers`; those that start at 0 by design do not count.
        whole: numbers about the whole network.
        found: the verdicts.
        chance_loss: the loss of a model that knows nothing, where the outputs are no classes.
    """
    hidden = layers[~layers["is_look_up"] & ~layers["is_head"] & ~layers["is_idle"]]
    hidden = hidden if len(hidden) else layers
    q, gradient = hidden["q"].to_numpy(float), hidden["gradient_norm"].to_numpy(float)
    return {
        "q_ratio": _ratio(q[-1], q[0]),
        "gradient_ratio": _ratio(gradient[0], gradient[-1]) ** 2,
        "input_share": float(hidden["input_share"].iloc[-1]),
        "dead": float(layers["dead"].max()),
        "saturated": float(layers["saturated"].max()),
        "loss_ratio": _ratio(whole.get("loss", math.nan), whole.get("uniform_loss", chance_loss)),
        "commonest_class": whole.get("commonest_class", math.nan),
        "verdict": "; ".join(dict.fromkeys(verdict_name(each.verdict, each.direction) for each in found)),
        "layer": found[0].layer,
    }


def _ratio(value: float, other: float) -> float:
    return float(value) / float(other) if other else math.nan
