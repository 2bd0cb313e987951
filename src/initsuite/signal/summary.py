"""From what each draw showed to the tables of a diagnosis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from initsuite.signal import statistics
from initsuite.signal.brief import brief
from initsuite.signal.diagnosis import WHOLE, Diagnosis, table_of
from initsuite.signal.expected import Drawn, expected, scales_of
from initsuite.signal.jacobian import Spectrum
from initsuite.signal.layers import Layer
from initsuite.signal.measure import Measured, Subject
from initsuite.signal.verdicts import verdicts

MEASURED = (
    "q_in", "q", "q_norm", "c", "input_share", "dead", "saturated", "duplicates", "effective_rank", "gradient",
    "gradient_norm", "chi", "gradient_to_weight", "update_to_weight", "attention_entropy", "attention_collision",
    "attention_deviation", "token_cosine",
)  # fmt: skip
"""Columns of a layer that are means over draws, each with its noise."""


class Summary:
    """Takes in one draw after the other, and lets go of its values."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._points: list[dict[str, Any]] = []
        self._whole: list[dict[str, float]] = []
        self._blocks: dict[str, list[float]] = defaultdict(list)
        self._drawn: dict[str, list[Drawn]] = defaultdict(list)
        self._histograms: dict[str, Tensor] = {}
        self._idle: set[str] = set()
        self._entries: dict[str, float] = {}
        self.draws = 0

    def add(self, found: Measured, params: Mapping[str, Tensor]) -> None:
        """Take in what one draw showed, and the values of its parameters."""
        for layer in self.subject.layers:
            numbers = dict(found.layers[layer.name])
            numbers |= {f"attention_{name}": each for name, each in found.attention.get(layer.name, {}).items()}
            self._entries[layer.name] = numbers.get("units", math.nan)
            self._points.append({"draw": self.draws, "layer": layer.name, **numbers, "chi": self._chi(layer, found)})
            weights = drawn_of(layer, params)
            self._drawn[layer.name].append(weights)
            is_optional = layer.is_head or layer.spec.closes_residual
            if layer.name in found.idle_heads or (weights.square == 0 and is_optional):
                self._idle.add(layer.name)
        for name, number in found.blocks.items():
            self._blocks[name].append(number)
        for name, density in found.histograms.items():
            self._histograms[name] = self._histograms.get(name, 0) + density
        self._whole.append({**found.whole, **_of_outputs(found.output, self.subject)})
        self.draws += 1

    def _chi(self, layer: Layer, found: Measured) -> float:
        """|gradient|^2 here / that of the one layer that this one leads to."""
        after = [each.name for each in self.subject.layers if each.link == layer.name]
        if len(after) != 1 or after[0] in found.idle_heads:
            return math.nan
        own, other = (found.layers[name].get("gradient_norm", math.nan) for name in (layer.name, after[0]))
        return (own / other) ** 2 if other else math.nan

    def diagnosis(
        self,
        audit: pd.DataFrame,
        notes: Sequence[str],
        name: str,
        extra: Mapping[str, float],
        spectrum: Spectrum | None,
    ) -> Diagnosis:
        """The tables.

        Args:
            audit: one row per tensor.
            notes: sentences for the reader.
            name: of the model and the batch.
            extra: further numbers about the whole network, of the first draw.
            spectrum: of the first draw.
        """
        points = self._table()
        layers, scales = self._layers(points)
        each = pd.DataFrame(self._whole)
        each["update_to_weight"] = points.groupby("draw")["update_to_weight"].median()
        whole = self._whole_table(each, extra)
        values = dict(zip(whole["measure"], whole["value"], strict=True))
        values |= dict(zip(whole["measure"] + "_noise", whole["noise"], strict=True))
        found = verdicts(layers, points, values)
        return Diagnosis(
            layers=layers,
            whole=whole,
            blocks=self._blocks_table(),
            verdicts=pd.DataFrame([vars(each) for each in found]),
            scales=scales,
            audit=audit,
            points=points,
            draws=each.rename_axis("draw").reset_index(),
            histograms=self._histograms_table(),
            spectrum=table_of([{"singular_value": each} for each in spectrum.values.tolist()] if spectrum else [],
                              ["singular_value"]),
            notes=(*notes, *self._own_notes()),
            subject=name,
        )  # fmt: skip

    def brief(self, chance_loss: float = math.nan) -> dict[str, float | str]:
        """The main measures, without theory; see `signal.brief`."""
        points = self._table()
        layers = pd.DataFrame(self._rows(points.groupby("layer", sort=False)[list(MEASURED)].mean()))
        whole = {str(name): value for name, value in pd.DataFrame(self._whole).mean().items()}
        return brief(layers, whole, verdicts(layers, points, whole), chance_loss)

    def _table(self) -> pd.DataFrame:
        """The numbers of each layer in each draw."""
        points = pd.DataFrame(self._points)
        unknown = {column: math.nan for column in MEASURED if column not in points}
        return points.assign(**unknown)

    def _rows(self, means: pd.DataFrame) -> list[dict[str, Any]]:
        """What a layer is, and its means over the draws, for each layer."""
        found = means.to_dict("index")
        rows = []
        for layer in self.subject.layers:
            measured = {str(column): value for column, value in found[layer.name].items()}
            state = {"units": self._entries[layer.name], "is_idle": layer.name in self._idle,
                     "is_zero": all(each.square == 0 for each in self._drawn[layer.name])}  # fmt: skip
            rows.append({**_facts(layer), **state, **measured})
        return rows

    def _layers(self, points: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        by_layer = points.groupby("layer", sort=False)
        means = by_layer[list(MEASURED)].mean()
        with np.errstate(invalid="ignore"):  # infinite less infinite: no noise is known
            errors = by_layer[list(MEASURED)].std(ddof=1) / math.sqrt(self.draws)
        numbers = {str(name): {**row, "c_in": math.nan} for name, row in means.to_dict("index").items()}
        for name, row in numbers.items():
            given = points[points["layer"] == name]
            row["c_in"] = float(given["c_in"].mean()) if "c_in" in given else math.nan
            row["units"] = self._entries[name]
        drawn = {name: _mean_of(each) for name, each in self._drawn.items()}
        theory = expected(self.subject.layers, drawn, numbers)
        rows = []
        for layer, row in zip(self.subject.layers, self._rows(means), strict=True):
            expects = theory[layer.name]
            rows.append({
                **row, **errors.loc[layer.name].add_suffix("_noise").to_dict(),
                "rank_limit": self._rank_limit(layer), "q_theory": expects.q, "c_theory": expects.c,
                "chi_theory": expects.chi_1, "q_band": expects.q_error, "theory": expects.theory,
            })  # fmt: skip
        scales = [
            {"activation": field.activation.name, "layers": count, "sigma_w": field.sigma_w, "sigma_b": field.sigma_b,
             **vars(found)}
            for field, count, found in scales_of(self.subject.layers, drawn, theory)
        ]  # fmt: skip
        return pd.DataFrame(rows), table_of(scales, ["activation", "layers"])

    def _rank_limit(self, layer: Layer) -> float:
        node = layer.uses[0].output
        units = self._entries[layer.name]
        total = node.meta["val"].numel()
        return min(units, total / units, statistics.ROWS) if units else math.nan

    def _whole_table(self, frame: pd.DataFrame, extra: Mapping[str, float]) -> pd.DataFrame:
        with np.errstate(invalid="ignore"):
            errors = frame.std(ddof=1) / math.sqrt(self.draws) if self.draws > 1 else frame.mean() * math.nan
        values = {"draws": float(self.draws), **frame.mean().to_dict(), **extra}
        rows = [
            {"measure": name, "value": values[name], "noise": errors.get(name, math.nan), "unit": unit, "ideal": ideal,
             "what": what}
            for name, (what, unit, ideal) in WHOLE.items()
            if not math.isnan(values.get(name, math.nan))
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def _blocks_table(self) -> pd.DataFrame:
        rows = [
            {"block": name, "jacobian_norm": float(np.mean(each)), "jacobian_norm_noise": _error(each)}
            for name, each in self._blocks.items()
        ]
        return table_of(rows, ["block", "jacobian_norm", "jacobian_norm_noise"])

    def _histograms_table(self) -> pd.DataFrame:
        at = (torch.arange(statistics.BINS) + 0.5) * 8 / statistics.BINS - 4
        tables = [
            pd.DataFrame({"layer": name, "at": at.tolist(), "density": (density / self.draws).tolist()})
            for name, density in self._histograms.items()
        ]
        return pd.concat(tables, ignore_index=True) if tables else table_of([], ["layer", "at", "density"])

    def _own_notes(self) -> list[str]:
        heads = [layer.name for layer in self.subject.layers if layer.is_head and layer.name in self._idle]
        notes = []
        if heads:
            notes.append(
                f"the weights of the head `{heads[0]}` start at 0, so that only they move in the first step; the other "
                "gradients are those of a random direction of what goes into it"
            )
        if self.subject.batch < 2:
            notes.append("one example, or none that can be told from others: nothing is known about pairs of inputs")
        if self.subject.loss is None:
            notes.append("no targets: gradients are those of a random direction of the outputs, and there is no loss")
        return notes


def drawn_of(layer: Layer, params: Mapping[str, Tensor]) -> Drawn:
    weight = params[layer.spec.name].detach()
    bias = params[layer.bias].detach() if layer.bias in params else None
    squared_bias = statistics.mean_square(bias.float()) if bias is not None else 0.0
    mean = float(weight.float().mean()) * layer.spec.factor + layer.spec.offset
    square = statistics.mean_square(weight.float()) * layer.spec.factor**2
    return Drawn(square, mean, squared_bias, weight.numel())


def _mean_of(drawn: Sequence[Drawn]) -> Drawn:
    count = len(drawn)
    square, mean, bias = (sum(getattr(each, name) for each in drawn) / count for name in ("square", "mean", "bias"))
    return Drawn(square, mean, bias, drawn[0].entries * count)


def _facts(layer: Layer) -> dict[str, Any]:
    kind = "embedding" if layer.is_look_up else "convolution" if layer.is_convolution else "linear"
    phi = layer.spec.nonlinearity
    return {
        "layer": layer.name, "kind": kind, "nonlinearity": phi.name if phi else "", "is_head": layer.is_head,
        "is_look_up": layer.is_look_up, "is_normalised": layer.uses[0].normalised is not layer.uses[0].output,
        "in_branch": layer.spec.branch_layers > 0, "link": layer.link,
        "makes_logits": bool(layer.spec.parts) and set(layer.spec.parts) <= {"query", "key"},
    }  # fmt: skip


def _of_outputs(output: Tensor | None, subject: Subject) -> dict[str, float]:
    """What class scores [..., class] say, where the loss is one of classes."""
    if output is None or subject.num_classes < 2:
        return {}
    scores = output.movedim(subject.class_axis, -1).flatten(0, -2).double()
    shares = scores.argmax(-1).bincount(minlength=scores.shape[-1]).double() / len(scores)
    entropy = torch.special.entr(scores.softmax(-1).mean(0)).sum()
    guess = math.log(subject.num_classes)
    return {
        "uniform_loss": guess,
        "commonest_class": float(shares.max()),
        "prediction_entropy": float(entropy) / guess,
    }


def _error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
