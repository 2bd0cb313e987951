"""The files of conf/claim: what they say can be run and judged; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from initsuite.config.groups import conf_dir
from initsuite.errors import ConfigError
from initsuite.literature.claim import Claim, Sweep, Trials, claim_names, load_claims, read_claim
from initsuite.literature.criteria import NoDifference, Rank, Score, Slope, Speed, Starts
from initsuite.literature.evidence import fits, flat
from initsuite.literature.judging import is_trained
from initsuite.literature.measures import MEASURES
from initsuite.literature.running import composed, launches
from initsuite.literature.theory import PREDICTORS
from initsuite.literature.trained import MEASURES as OF_TRIALS

NAMES = claim_names()


def tree_of(name: str = "he_depth") -> dict[str, Any]:
    return yaml.safe_load(Path(conf_dir() / "claim" / f"{name}.yaml").read_text(encoding="utf-8"))


def arms_of(claim: Claim, *, trained: bool) -> list[dict[str, Any]]:
    """Which cells the criteria choose, of what is trained or of what is measured at the start."""
    kinds = {
        Starts: ("more", "fewer"), Speed: ("faster", "slower"), Score: ("better", "worse"),
        NoDifference: ("first", "second"),
    }  # fmt: skip
    chosen = [each for each in claim.criteria.values() if is_trained(each) == trained]
    names = [(each, kinds.get(type(each), ("where", "against"))) for each in chosen]
    return [dict(arm) for each, keys in names for key in keys if (arm := getattr(each, key, None)) is not None]


def test_enough_claims_ship_and_each_measure_has_a_docstring() -> None:
    assert len(NAMES) >= 25
    for claim in load_claims():
        assert set(claim.starts.measures if claim.starts else ()) <= MEASURES.keys()
        assert set(claim.trials.theory if claim.trials else ()) <= PREDICTORS.keys()
        columns = " ".join(MEASURES[name].__doc__ or "" for name in (claim.starts.measures if claim.starts else ()))
        for name, criterion in claim.criteria.items():
            read = criterion.measures if not is_trained(criterion) else []
            said = [column for column in read if f"{column}:" in columns or f"{column}," in columns]
            assert said == read, name
            assert is_trained(criterion) or claim.starts, name
            assert not is_trained(criterion) or claim.trials, name
            if isinstance(criterion, Rank):
                assert criterion.measure in OF_TRIALS


@pytest.mark.slow  # 20 s of processor time: every sweep is composed
@pytest.mark.parametrize("name", NAMES)
def test_every_arm_that_a_criterion_compares_is_in_the_sweep(name: str) -> None:
    (claim,) = load_claims([name])
    for sweep, is_training in ((claim.starts, False), (claim.trials, True)):
        if sweep is None:
            continue
        jobs = composed(sweep, ("tracking=disabled",))
        assert [job.error for job in jobs if job.error] == []
        facts = [flat(job.tree or {}) for job in jobs]
        for where in arms_of(claim, trained=is_training):
            assert any(fits(each, where) for each in facts), where
        for slope in claim.criteria.values():
            if not isinstance(slope, Slope) or is_trained(slope) != is_training:
                continue
            assert len({each[slope.over] for each in facts if fits(each, slope.where)}) >= 3


def test_the_paper_s_learning_rate_is_a_launch_of_its_own() -> None:
    trials = Trials(("init=he", "protocol=quick", "optimizer.lr_grid=[1,2]"), {"model.depth": "2,8"}, published_lr=0.01)
    first, second = launches(trials)
    assert first == trials
    assert second == Sweep(("init=he", "protocol=fixed", "optimizer.lr=0.01", "seeds=8"), {"model.depth": "2,8"})
    assert [each.base[-1] for each in launches(Trials(("seeds=6", "protocol=quick"), published_lr=1.0))][1] != "seeds=8"
    assert len(list(launches(Trials()))) == 1
    base = ("optimizer=sgd", "optimizer.momentum=0", "seeds=8")
    assert [*launches(Trials(base, published_lr=1e-3, published_optimizer="adamw"))][1] == Sweep(
        ("seeds=8", "optimizer=adamw", "protocol=fixed", "optimizer.lr=0.001")
    )


def changed(**changes: Any) -> dict[str, Any]:
    tree = {**tree_of(), **changes}
    return {key: value for key, value in tree.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"statment": "?"}, "claim he_depth: unknown `key`='statment'.*Did you mean `statement`"),
        ({"prediction": None}, "claim he_depth: missing `prediction`"),
        ({"reference": {"authors": "He"}}, "reference: missing `year`"),
        ({"reference": "He 2015"}, "reference: bad value 'He 2015'. Expected keys and values: authors"),
        ({"name": "she_depth"}, "`name`='she_depth'. Expected the name of the file, he_depth"),
        ({"tier": "slow"}, "unknown `tier`='slow'. Expected one of: fast, full"),
        ({"expected": "true"}, "unknown `expected`='true'. Expected one of: reproduced"),
        ({"starts": None, "trials": None}, "neither `starts` nor `trials`"),
        ({"starts": {"draws": 1}}, "starts: bad value `draws`=1. Expected a whole number from 2"),
        ({"trials": {"axes": {}}}, "trials: unknown `key`='axes'"),
        ({"trials": {"store": "referense"}}, "trials: unknown `store`='referense'.*Did you mean `reference`"),
        ({"criteria": []}, "`criteria`=.*at least one, each with a name of its own"),
        ({"criteria": [{"name": "x", "kind": "closed"}]}, "unknown `kind`='closed'.*closed_form"),
        ({"criteria": [{"name": "x", "kind": "score", "best": 1}]}, "score: unknown `key`='best'"),
        ({"criteria": [{"name": "x", "kind": "score", "better": {}}]}, "score: .*missing.*Expected: better, worse"),
    ],
    ids=str,
)
def test_a_file_that_is_no_claim_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_claim("he_depth", changed(**changes))


def test_an_unknown_claim_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="unknown `claim`='he_dept'"):
        load_claims(["he_dept"])
