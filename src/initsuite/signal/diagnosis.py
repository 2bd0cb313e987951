"""The diagnosis: the tables of what was measured, what theory expects and what it means."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from initsuite.signal.verdicts import HEALTHY
from initsuite.wording import verdict_name

SHOWN = 40
"""Rows of a table that are printed; the middle of a longer one is left out."""
PRINTED = (
    "layer",
    "nonlinearity",
    "q",
    "q_theory",
    "c",
    "input_share",
    "dead",
    "saturated",
    "gradient",
    "gradient_to_weight",
)
NAMES_OF_VERDICTS = ("verdict", "direction", "layer", "rate", "float32", "bfloat16", "float16")
WHOLE = {
    "draws": ("draws of the weights", "", "8 or more"),
    "loss": ("mean loss before the first step", "nats for classes", "that of the uniform guess"),
    "uniform_loss": ("the loss of the uniform guess, log of the number of classes", "nats", ""),
    "commonest_class": ("share of the examples that get the commonest class", "share", "that of the data"),
    "prediction_entropy": ("entropy of the mean prediction / that of the uniform guess", "share", "1"),
    "update_to_weight": ("|update| / |weight| in one step of Adam, the median over the layers", "ratio", "about 0.001"),
    "jacobian_spread": ("Var[s^2] / E[s^2]^2 of the singular values s of the input-output Jacobian", "", "0"),
    "jacobian_largest": ("the largest of them", "output / input", "about 1"),
    "jacobian_error": ("what each of them is off by at most; 0 = exact", "output / input", "0"),
    "curvature": ("the largest eigenvalue of the Hessian of the loss, by size", "loss / weight^2", "below 2 / lr"),
    "curvature_change": ("its relative change in the last iteration", "ratio", "below 0.001"),
}  # fmt: skip
"""What each number about the whole network is, its unit, and its ideal value."""


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What a model is like before its first step. Numbers are means over draws; `..._noise` is their standard error
    over draws, the noise floor (NaN for one draw).

    Attributes:
        layers: one row per layer, in the order of use.
            layer: its weight, without `.weight`. kind: linear, convolution or embedding. nonlinearity: what follows.
            units: output features. is_head, is_normalised, is_idle: whether it makes an output; whether a norm is right
            behind it; whether it starts at 0 by design. is_zero: whether its weights are 0. in_branch: whether it is in
            a residual branch. makes_logits: whether it makes queries or keys and nothing else. link: the layer before
            it, if nothing but a nonlinearity is in between.
            q_in, q: mean square of what goes in, and of the pre-activations (with bias); ideal: about 1, the same in
            all layers. q_norm: that of what a norm right behind makes of them; ideal: 1. c: mean cosine of the
            pre-activations of two examples; ideal: well below 1. input_share: the share of their mean square that
            differs between examples, 0 to 1; ideal: as in the first layer.
            dead: share of units that are off for the whole batch; ideal: 0, up to 1/2 where c is near 1. saturated:
            share of entries where the nonlinearity is flat and not 0; ideal: near 0. duplicates: share of units equal
            to another; ideal: 0. effective_rank: participation ratio of the singular values of the pre-activations;
            ideal: near rank_limit, the smaller of the examples (times places, up to 128) and the units.
            gradient: root mean square of d loss / d pre-activation, one entry (behind a norm right after the layer,
            which undoes its size); gradient_norm: the length of all of it; ideal: the same in all layers. Without a
            loss, that of a random direction of the outputs. chi: the factor on |gradient|^2 from the next layer back to
            this one; ideal: 1. gradient_to_weight: |d loss / d weight| / |weight|; ideal: similar in all layers.
            update_to_weight: |update| / |weight| in the first step of Adam; ideal: about 0.001. attention_entropy: of
            the attention whose queries this layer makes, 0 (one key) to 1 (uniform); ideal: near, not at 1.
            attention_collision: sum p^2; attention_deviation: of the logits between keys. token_cosine: mean cosine of
            two places of what goes in; ideal: well below 1.
            q_theory, c_theory, chi_theory: what mean-field theory expects. q_band: the standard deviation of q over
            draws that it expects at this width, as a share of q. theory: yes, or why it does not apply.
        whole: numbers about the whole network: measure, value, noise, unit, ideal, what.
        blocks: the averaged partial Jacobian norm of each residual branch with its shortcut, by its first layer:
            E[|J^T u|^2] / outputs; ideal: near 1.
        verdicts: one row per illness, see `signal.verdicts.Verdict`; one that says healthy where there is none.
        scales: depth scales of the layers with each nonlinearity, see `signal.theory.Scales`, for as many layers as
            theory applies to (`layers`), with sigma_w and sigma_b as drawn.
        audit: one row per tensor: what its law promised and what was realised, which tensors no law drew, which were
            changed after it; see `initialize_` for the columns.
        points: the numbers of each layer in each draw, for figures.
        draws: the numbers about the whole network in each draw.
        histograms: densities of the pre-activations / root mean square of each layer: layer, at, density.
        spectrum: singular values of the Jacobian, the largest first, where asked for.
        notes: what a reader should know, in sentences.
    """

    layers: pd.DataFrame
    whole: pd.DataFrame
    blocks: pd.DataFrame
    verdicts: pd.DataFrame
    scales: pd.DataFrame
    audit: pd.DataFrame
    points: pd.DataFrame
    draws: pd.DataFrame
    histograms: pd.DataFrame
    spectrum: pd.DataFrame
    notes: tuple[str, ...] = ()
    subject: str = ""

    @property
    def is_healthy(self) -> bool:
        return list(self.verdicts["verdict"]) == [HEALTHY]

    def to_json(self) -> str:
        """All tables as one JSON object: a list of rows for each; numbers that are not finite are null."""
        tables = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {
            name: plain_rows(value)
            if isinstance(value, pd.DataFrame)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in tables.items()
        }
        return json.dumps({"is_healthy": self.is_healthy, **plain}, indent=1, allow_nan=False)

    def __str__(self) -> str:
        return "\n".join([self.subject, "", *self.sentences(), "", _printed(self._short()), *self._more()])

    __repr__ = __str__

    def sentences(self) -> list[str]:
        """The verdicts, one sentence each, with the depths at which number types give out."""
        return [_sentence(row) for row in _records(self.verdicts)]

    def _short(self) -> pd.DataFrame:
        columns = [name for name in PRINTED if name in self.layers and not _is_empty(self.layers[name])]
        return self.layers[columns]

    def _more(self) -> list[str]:
        lines = ["", _printed(self.whole[["measure", "value", "noise", "ideal", "what"]])]
        if len(self.scales):
            lines += ["", "Mean-field theory of its layers:", _printed(self.scales)]
        return lines + ([""] if self.notes else []) + [f"Note: {note}" for note in self.notes]

    def _repr_html_(self) -> str:
        return self.html()

    def html(self, picture: str = "") -> str:
        """The verdicts in words and as a table, a picture as HTML, then the tables."""
        words = "".join(f"<li>{html.escape(each)}</li>" for each in self.sentences())
        notes = "".join(f"<p>{html.escape(each)}</p>" for each in self.notes)
        tables = [self._short(), self.whole, *([self.scales] if len(self.scales) else [])]
        shown = "".join(map(_html_table, tables))
        illnesses = "" if self.is_healthy else _html_table(self.verdicts[list(NAMES_OF_VERDICTS)])
        return f"<h4>{html.escape(self.subject)}</h4><ul>{words}</ul>{illnesses}{picture}{shown}{notes}"


def _sentence(row: Mapping[str, Any]) -> str:
    name = verdict_name(row["verdict"], row["direction"])
    words = f"{name} from `{row['layer']}`: {row['reason']}" if row["layer"] else f"{name}: {row['reason']}"
    words = words[0].upper() + words[1:]
    depths = {name: row[name] for name in ("float32", "bfloat16", "float16") if not math.isnan(row[name])}
    if depths:
        end = "underflows" if row["rate"] < 1 else "overflows"
        named = ", ".join(f"{name} after {depth:.0f}" for name, depth in depths.items())
        layers = "layer" if f"{list(depths.values())[-1]:.0f}" == "1" else "layers"
        words += f" At this rate it {end} in {named} {layers}."
    return words


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON takes them: numbers that are not finite are None."""
    return [{name: _plain(value) for name, value in row.items()} for row in _records(table)]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_empty(column: pd.Series) -> bool:
    return bool(column.isna().all())


def _number(value: float) -> str:
    return f"{value:z.3g}"


def _html_table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, float_format=_number, na_rep="", max_rows=SHOWN, border=0, justify="left")


def _printed(table: pd.DataFrame) -> str:
    if len(table) > SHOWN:
        half = SHOWN // 2
        gap = pd.DataFrame([dict.fromkeys(table.columns, "")]).assign(
            **{table.columns[0]: f"... {len(table) - SHOWN} more"}
        )
        table = pd.concat([table.head(half).astype(object), gap, table.tail(half).astype(object)])
    return table.to_string(index=False, formatters=dict.fromkeys(table.columns, _cell), na_rep="")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else _number(value)
    return str(value)


def table_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """A table with these columns at least, also without rows."""
    return pd.DataFrame(list(rows), columns=list(columns) if not rows else None)
