"""initsuite claims: the table, the evidence of a claim and its figure, from planted stores; a run in miniature."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initsuite.literature import __main__ as door
from initsuite.literature.claim import load_claims
from initsuite.literature.judging import judged
from initsuite.literature.text import change, evidence, table
from initsuite.literature.verdict import Verdict
from initsuite.results.sources import SHIPPED

LAWS = {"he": 3000.0, "lecun 1": 1.0, "lecun 0.75": 0.04}
"""What `selu_fixed_point` predicts for the variance behind 64 layers."""


def planted(results: Path, factor: float = 1.0, draws: int = 20) -> Path:
    """Starts of `selu_fixed_point` as predicted, the variance of the fixed point times `factor`."""
    rng = np.random.default_rng(0)
    for number, (law, variance) in enumerate(LAWS.items()):
        name, _, gain = law.partition(" ")
        init = {"name": name, "gain": float(gain or 1.4142)}
        spread = 1 + 0.05 * rng.standard_normal(draws)
        frame = pd.DataFrame({"cell": law, "seed": range(draws)})
        frame = frame.assign(
            activation_variance=variance * spread * (factor if gain == "1" else 1),
            activation_mean=0.01 * spread, measures="signal", config=json.dumps({"init": init}),
        )  # fmt: skip
        folder = results / "selu_fixed_point" / "starts"
        folder.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(folder / f"{number}.parquet", index=False)
    return results


def test_the_table_has_the_verdict_of_each_claim(tmp_path, capsys) -> None:
    assert door.main([f"results_dir={planted(tmp_path)}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("selu_fixed_point"))
    assert re.split(r" {2,}", line)[1] == "reproduced"
    assert "Klambauer" in line
    (article,) = (line for line in lines if line.startswith("article_rules"))  # of the shipped reference
    assert "not run" not in article
    stores = [SHIPPED[claim.trials.store] for claim in load_claims() if claim.trials and claim.trials.store]
    without = len(load_claims()) - 1 - sum(store.is_dir() for store in stores)
    assert lines[-2].startswith(f"{len(load_claims())} claims: ")
    assert f", {without} not run." in lines[-2]


def test_the_evidence_says_what_was_found_and_what_would_change_it(tmp_path, capsys) -> None:
    planted(tmp_path, factor=2.0)
    assert door.main(["show", "selu_fixed_point", f"results_dir={tmp_path}"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("selu_fixed_point: reproduced in part")
    assert "- variance 1: not reproduced. 2" in text
    assert "claimed: between 0.8 and 1.25" in text
    assert "What would change the verdict: variance 1: an effect that is between 0.8 and 1.25;" in text
    assert "arXiv 1706.02515" in text
    picture = tmp_path / "selu_fixed_point" / "figure.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"Command: initsuite claims run selu_fixed_point results_dir={tmp_path}" in text


def test_names_may_have_hyphens() -> None:
    assert [claim.name for claim in door._chosen(["he-depth", "lsuv"], "show")] == ["he_depth", "lsuv"]


def test_a_surprise_is_counted_and_few_draws_say_how_many_decide(tmp_path) -> None:
    (found,) = judged(load_claims(["selu_fixed_point"]), planted(tmp_path, factor=2.0))
    assert found.is_surprise
    assert "1 verdict came out against the prediction" in table([found])
    (open_,) = judged(load_claims(["selu_fixed_point"]), planted(tmp_path / "few", factor=1.24, draws=3))
    assert open_.verdicts["variance 1"] is Verdict.INCONCLUSIVE
    assert "trials or draws of each arm would decide" in change(open_)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "claims run: no claim. Expected names, `all` or `fast`"),
        (["shwo", "lsuv"], "unknown `action`='shwo'. Expected one of: run, show. Did you mean `show`?"),
        (["show", "selu"], "unknown `claim`='selu'"),
        (["show", "lsuv", "workers=1"], "bad value `workers`='1'. Expected results_dir=DIR alone"),
        (["run", "lsuv", "cluster=slurm"], "claims run: bad value `cluster`='slurm'. Expected local or ray. Start the"),
        (["run", "lsuv", "dry_run=perhaps"], "bad value `dry_run`='perhaps'. Expected true or false"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str, capsys) -> None:
    assert door.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow  # 8 s of processor time: a launch, and the same again
def test_a_claim_runs_once_and_is_then_complete(tmp_path, capsys, monkeypatch) -> None:
    """A claim in miniature, with both parts and a learning rate of the paper."""
    from initsuite.literature.claim import read_claim

    tree = {
        "name": "tiny", "statement": "He is better than zeros.", "prediction": "It is.", "expected": "reproduced",
        "reference": {"authors": "A", "year": 1, "title": "T", "section": "1", "arxiv": ""}, "setting": "Tiny.",
        "tier": "fast", "figure": {"x": "init", "y": "score", "by": "init"},
        "starts": {"base": ["model.width=8"], "params": {"init": "he,zero"}, "measures": ["born_dead"], "draws": 20},
        "trials": {"base": ["model.width=8", "protocol=smoke", "seeds=6", "optimizer.lr_grid=[0.1]", "max_steps=40",
                            "eval_every=20"], "params": {"init": "he,zero"}, "published_lr": 0.003,
                   "published_optimizer": "adamw"},
        "criteria": [
            {"name": "zeros are dead", "kind": "within", "measure": "born_dead", "where": {"init": "zero"}, "low": 0.5,
             "high": 1},
            {"name": "He is better", "kind": "score", "better": {"init": "he"}, "worse": {"init": "zero"},
             "minimum": 0.1},
        ],
    }  # fmt: skip
    claims = {name: read_claim(name, {**tree, "name": name}) for name in ("other", "tiny")}
    monkeypatch.setattr(
        "initsuite.literature.claim.load_claims", lambda names=(): [claims[name] for name in names or claims]
    )
    decided = []
    monkeypatch.setattr(
        "initsuite.literature.judging.false_discoveries", lambda p: decided.append(len(p)) or [True] * len(p)
    )
    assert door.main(["run", "tiny", f"results_dir={tmp_path}", "dry_run=true"]) == 0
    assert not (tmp_path / "tiny" / "trials").exists()
    for _ in range(2):
        capsys.readouterr()
        assert door.main(["run", "tiny", f"results_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "tiny: 0 cells of 2 to measure" in out
    assert "1 claim: 1 reproduced." in out
    assert set(decided) == {len(claims)}  # what stands is decided over all, and those that were run are shown
    (found,) = judged([read_claim("tiny", tree)], tmp_path)
    assert found.verdict is Verdict.REPRODUCED
    assert found.published_verdict is Verdict.REPRODUCED
    assert found.findings["He is better"].num == found.published["He is better"][0].num == 6
    assert "At the one learning rate of the paper, 0.003 with adamw: reproduced" in evidence(found, tmp_path)
