"""Step 0 in the report: one row for each arm, and what to try where nothing trains."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from initsuite.report.evidence.context import Arm
from initsuite.report.text.documents import starts_parts
from initsuite.report.verdicts.comparison import compare
from initsuite.report.verdicts.next_step import next_step
from initsuite.report.verdicts.starts import start_of, starts_table
from initsuite.report.verdicts.words import in_words
from support.arms import MISS, arm, context


def stuck(name: str, **columns: Any) -> Arm:
    made = arm(name, [MISS] * 8, accuracy=0.1, loss_auc=2.3)
    return replace(made, trials=made.trials.assign(**columns))


def ill(name: str, verdict: str, layer: str = "", **columns: Any) -> Arm:
    numbers = {f"signal_{each}": 0.5 for each in ("input_share", "dead", "saturated", "loss_ratio", "commonest_class")}
    ratios = {"signal_q_ratio": [1e-4, 1e-2] * 4, "signal_gradient_ratio": 1.0}
    return stuck(name, signal_verdict=verdict, signal_layer=layer, **numbers, **ratios, **columns)


def test_a_row_is_the_commonest_verdict_and_the_means_over_seeds() -> None:
    verdicts = ["dead"] * 3 + ["vanishing forward"] * 5
    found = start_of(ill("a", verdicts, ["x"] * 3 + ["y"] * 5))  # type: ignore[arg-type]
    assert (found["verdict"], found["num_agreeing"], found["layer"], found["num_seeds"]) == (
        "vanishing forward",
        5,
        "y",
        8,
    )
    assert found["q_ratio"] == pytest.approx(1e-3)  # the geometric mean of 1e-4 and 1e-2
    assert found["dead"] == 0.5


def test_the_markdown_has_the_table_with_its_numbers() -> None:
    compared = compare(context(ill("a", "vanishing forward", "y"), ill("b", "healthy")))
    table = starts_table(SimpleNamespace(comparisons=[compared]))  # type: ignore[arg-type]
    title, rows, caption = starts_parts(SimpleNamespace(starts=table))  # type: ignore[arg-type]
    assert title == "## Step 0"
    found = [[cell.strip() for cell in line.split("|")[2:-1]] for line in rows.splitlines()]
    assert found[0][:4] == ["initializer", "at step 0", "seeds", "signal, last / first layer"]
    by_name = {row[0]: row[1:] for row in found[2:]}
    assert by_name["a"][:4] == ["vanishing forward from y", "8 of 8", "0.001", "1"]
    assert by_name["b"][0] == "healthy"
    assert "1 is ideal" in caption
    assert starts_parts(SimpleNamespace(starts=table.iloc[:0])) == []  # type: ignore[arg-type]


def test_half_of_the_seeds_are_no_illness() -> None:
    assert start_of(ill("a", ["biased to one class", "healthy"] * 4))["verdict"] == "healthy"  # type: ignore[arg-type]


def test_a_ratio_of_0_is_0_and_nothing_measured_is_no_row() -> None:
    none = ill("a", "symmetric", "x")
    zero = replace(none, trials=none.trials.assign(signal_q_ratio=0.0, signal_gradient_ratio=math.nan))
    assert start_of(zero)["q_ratio"] == 0.0
    assert math.isnan(start_of(zero)["gradient_ratio"])
    assert start_of(stuck("a")) == {}
    assert start_of(stuck("a", signal_verdict=np.nan)) == {}


def test_what_to_try_where_all_have_one_illness() -> None:
    found = compare(
        context(
            ill("he", "vanishing forward; dead", "layers.linear1"), ill("normal", "vanishing forward", "layers.linear1")
        )
    )
    assert next_step(found) == (
        "At step 0: vanishing forward from layers.linear1 with all. Try init=orthogonal,lsuv, or a norm."
    )
    assert in_words(found).endswith("or a norm.")


def test_what_to_try_where_illnesses_differ() -> None:
    found = compare(context(ill("a", "healthy"), ill("b", "saturated", "l2")))
    step = next_step(found)
    assert step.startswith("At step 0: ")
    assert {"healthy with a", "saturated from l2 with b"} <= set(
        step[len("At step 0: ") :].partition(". ")[0].split("; ")
    )
    assert step.endswith("Try init=he,orthogonal,lsuv, or smaller weights.")


def test_a_healthy_start_points_elsewhere() -> None:
    assert "look at the learning rates" in next_step(compare(context(ill("a", "healthy"), ill("b", "healthy"))))


def test_without_measures_the_command_that_takes_them() -> None:
    cells = [json.dumps({"init": name, "model": "mlp", "model.depth": "30"}) for name in ("he", "zero")]
    found = compare(context(stuck("he", overrides=cells[0]), stuck("zero", overrides=cells[1])))
    said = next_step(found)
    assert said.startswith("See where the signal gets lost: initsuite diagnose model=mlp model.depth=30 init=")
    assert "he" in said
    assert "zero" in said
    own = compare(context(stuck("he", overrides="{}")))
    assert next_step(own) == 'See where the signal gets lost: print(initsuite.diagnose(model, batch, init="he")).'


def test_too_few_seeds_end_with_the_command_that_would_decide() -> None:
    columns = {"protocol": "quick", "lr": 0.1, "stage": "score", "config": "{}"}
    arms = []
    for name, steps in (("a", 100), ("b", 300)):
        made = arm(name, [steps] * 3)
        text = json.dumps({"init": name, "model": "mlp"})
        arms.append(replace(made, trials=made.trials.assign(**columns, seed=range(3), overrides=text)))
    words = in_words(compare(context(*arms)))
    assert "run python -m initsuite.train -m model=mlp init=a,b protocol=quick seeds=6." in words
