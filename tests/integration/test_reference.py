"""`initsuite.recommend`: answers from planted stores and from the shipped reference."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from readme_tables import verdicts_block, winners_block, worth_block

import initsuite
from initsuite.errors import ConfigError
from initsuite.report.answer import Answer, derive, recommend
from initsuite.report.derived import FOLDER, questions, read_derived
from initsuite.report.verdicts.across import RESULTS
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.views import Views
from initsuite.results.sources import REFERENCE_STORE, SHIPPED, load_shipped
from initsuite.results.store import Results, Store, load_results, store_hash
from initsuite.spec import PROTOCOL_VERSION
from support.planter import MISS, STUCK, Planter

FAST = [100.0 + 20 * seed for seed in range(10)]
SLOW = [steps + 200 for steps in FAST]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store(tmp_path_factory.mktemp("planted"))
    for depth in (2, 10):
        for activation in ("relu", "tanh"):
            planter = Planter(store, activation=activation, depth=depth, model=f"mlp-{depth}x64")
            good, bad = ("he", "xavier") if activation == "relu" else ("xavier", "he")
            planter.arm(good, FAST)
            planter.arm(bad, SLOW)
            planter.arm("orthogonal", FAST)
            planter.arm("zero", [MISS] * 10, tune=STUCK, easy=False)
    return load_results(store.directory)


def test_the_best_arm_is_named_with_what_it_ties_with_and_beats(results: Results) -> None:
    answer = recommend(model="mlp", depth=10, activation="relu", results=results)
    assert answer.recommended in ("he", "orthogonal")
    assert answer.tied_with == tuple({"he", "orthogonal"} - {answer.recommended})
    assert answer.confidence == "moderate"
    against = answer.against.set_index("init")
    assert against.improvement["xavier"] == against.improvement["zero"] == 1.0
    assert against.p_value["xavier"] == pytest.approx(3 * 2 / 2**10)
    assert len(answer.evidence) == 1
    assert f"Use {answer.recommended}." in str(answer)
    assert "It is better than xavier (P(better) 1.000" in str(answer)


def test_contexts_that_fit_are_taken_together(results: Results) -> None:
    answer = recommend(activation="tanh", results=results)
    assert len(answer.evidence) == 2
    assert "Over 2 contexts" in answer.sentences
    assert answer.against.set_index("init").p_value["he"] < 3 * 2 / 2**10


def test_a_depth_beyond_what_was_tried_is_answered_by_the_nearest(results: Results) -> None:
    answer = recommend(model="mlp", depth=30, activation="relu", results=results)
    assert answer.sentences.startswith("30 hidden layers were not tried; the nearest depth is 10. At 10: ")
    assert answer.sentences.endswith("Confidence at 30: low, as it lies outside what was tried.")
    assert (answer.confidence, answer.neighbours[10].confidence) == ("low", "moderate")
    assert recommend(depth=10, results=results).limits[0].startswith("It is based on 2 contexts")


def test_a_depth_between_two_tried_ones_is_answered_by_both(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for depth, good, bad in ((2, "he", "orthogonal"), (30, "orthogonal", "he")):
        planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
        planter.arm(good, FAST)
        planter.arm(bad, SLOW)
    answer = recommend(model="mlp", depth=12, results=load_results(store.directory))
    assert {layers: found.recommended for layers, found in answer.neighbours.items()} == {2: "he", 30: "orthogonal"}
    assert {found.confidence for found in answer.neighbours.values()} == {"high"}
    assert answer.confidence == "low"
    assert answer.recommended == "orthogonal"  # 30/12 is a smaller ratio than 12/2
    assert answer.evidence.recommended.tolist() == ["orthogonal", "he"]
    for part in (
        "12 hidden layers were not tried; the nearest depths are 2 and 30.",
        "At 2: This rests on one context. Use he.",
        "At 30: This rests on one context. Use orthogonal.",
        "They disagree: what holds between them is not known.",
        "Confidence at 12: low, as it lies outside what was tried.",
    ):
        assert part in answer.sentences


def test_a_pair_that_depends_names_where(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for depth in (2, 4, 8):
        planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
        planter.arm("he", FAST if depth < 8 else SLOW)
        planter.arm("xavier", SLOW if depth < 8 else FAST)
    answer = recommend(results=load_results(store.directory))
    assert answer.recommended == "he"
    assert answer.against.verdict.tolist() == ["depends"]
    assert (
        "Against xavier it depends: it is better at digits / mlp-2x64 / relu / sgd, digits / mlp-4x64 / relu / sgd; "
        "worse at digits / mlp-8x64 / relu / sgd."
    ) in answer.sentences
    assert (answer.confidence, answer.tied_with) == ("low", ("xavier",))


def test_norm_and_optimizer_narrow_the_contexts(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    best = {("none", "sgd"): "he", ("batch", "sgd"): "xavier", ("none", "adamw"): "lsuv", ("batch", "adamw"): "lecun"}
    for (norm, optimizer), good in best.items():
        planter = Planter(store, norm=norm, optimizer=optimizer)
        for init in best.values():
            planter.arm(init, FAST if init == good else SLOW)
    found = load_results(store.directory)
    for (norm, optimizer), good in best.items():
        assert recommend(model="mlp", norm=norm, optimizer=optimizer, results=found).recommended == good
    assert len(recommend(norm="batch", results=found).evidence) == 2
    with pytest.raises(ConfigError, match=r"unknown `norm`='layer'. Expected one of: batch, none"):
        recommend(norm="layer", results=found)


def test_a_model_without_a_norm_option_has_none(results: Results) -> None:
    assert len(recommend(norm="none", results=results).evidence) == 4


def test_two_leaders_are_both_named_and_by_ranks(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for depth in (2, 4):
        planter = Planter(store, depth=depth, model=f"mlp-{depth}x64")
        planter.arm("he", FAST, scores=[0.86 + 0.001 * (seed % 3) for seed in range(10)])
        planter.arm("orthogonal", SLOW, scores=[0.865 + 0.001 * (seed % 3) for seed in range(10)])
    found = load_results(store.directory)
    fastest, accurate = (recommend(by=by, results=found) for by in ("speed", "score"))
    assert (fastest.recommended, accurate.recommended) == ("he", "orthogonal")
    both = "Fastest: he; most accurate: orthogonal, +0.5 points [0.5, 0.5], p < 0.001."
    for answer, by in ((fastest, "speed"), (accurate, "final score")):
        assert both in answer.sentences
        assert f"it has the best mean rank by {by}." in answer.sentences
        assert (answer.fastest, answer.most_accurate) == ("he", "orthogonal")
        assert answer.score_gain.estimate == pytest.approx(0.005)
        assert answer.against.improvement.tolist() == [1.0] if by == "speed" else [0.99]
    with pytest.raises(ConfigError, match=r"recommend: unknown `by`='sped'. Expected one of: speed, score. Did you"):
        recommend(by="sped", results=found)


def test_no_confidence_where_nobody_reaches_the_easy_level(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for depth in (2, 3):
        planter = Planter(store, depth=depth, levels={"easy": 0.9, "primary": 0.95, "hard": 0.99})
        planter.arm("he", FAST)
        planter.arm("xavier", SLOW)
    answer = recommend(results=load_results(store.directory))
    assert answer.against.low[0] > 0.5  # what would be high otherwise
    assert answer.sentences.endswith("Confidence: low, as nobody reaches the easy level.")


def test_what_little_can_be_concluded_from_comes_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    Planter(store).arm("he", FAST[:1])
    answer = recommend(results=load_results(store.directory))
    assert answer.sentences.startswith("This rests on one initializer, one seed and one context. Use he.")


def test_nothing_is_recommended_where_nothing_trains(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    planter = Planter(store)
    for init in ("zero", "normal"):
        planter.arm(init, [MISS] * 6, tune=STUCK, easy=False)
    answer = recommend(results=load_results(store.directory))
    assert (answer.recommended, answer.confidence, answer.tied_with) == (None, "none", ())
    assert answer.sentences == "No initializer trains in the 1 context tried."


def test_a_single_arm_has_nothing_to_be_better_than(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    Planter(store).arm("he", FAST)
    answer = recommend(results=load_results(store.directory))
    assert answer.recommended == "he"
    assert answer.confidence == "none"


@functools.cache
def reference() -> Report:
    """Of both parts: seconds."""
    return build_report(load_shipped())


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"model": "mlpp"}, r"recommend: unknown `model`='mlpp'. Expected one of: mlp. Did you mean `mlp`\?"),
        ({"activation": "gelu"}, r"recommend: unknown `activation`='gelu'. Expected one of: relu, tanh"),
        ({"dataset": "mnist"}, r"recommend: unknown `dataset`='mnist'. Expected one of: digits"),
        ({"depth": 0}, r"recommend: bad `depth`=0. Expected a number of hidden layers, from 1"),
        ({"depth": 2.5}, r"recommend: bad `depth`=2.5. Expected a number of hidden layers, from 1"),
        ({"depth": True}, r"recommend: bad `depth`=True. Expected"),
    ],
)
def test_a_question_without_evidence_lists_what_was_tried(
    question: dict[str, object], message: str, results: Results
) -> None:
    with pytest.raises(ConfigError, match=message):
        recommend(results=results, **question)  # type: ignore[arg-type]


def test_a_depth_is_refused_where_no_depth_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    Planter(store, depth=None).arm("he", FAST)
    with pytest.raises(ConfigError, match=r"recommend: bad `depth`=3. Expected none: the number of hidden layers"):
        recommend(depth=3, results=load_results(store.directory))


def test_the_shipped_reference_answers_for_every_recommendation_of_the_article() -> None:
    report = reference()
    assert set(report.trials.experiment) == {"article", "interaction"}
    assert set(report.trials.protocol_version) == {PROTOCOL_VERSION}
    assert not report.trials.dirty.any()
    activations = {found.context.axes["activation"] for found in report.comparisons}
    assert activations == {"relu", "leaky_relu", "gelu", "tanh", "sigmoid"}
    assert {found.context.config["model"]["name"] for found in report.comparisons} == {
        *("mlp", "cnn", "rnn", "resnet", "vit", "transformer")
    }
    answer = initsuite.recommend(model="mlp", depth=30, activation="relu")
    assert answer.recommended == answer.evidence.recommended[0]
    assert "small networks and data sets" in str(answer)
    assert initsuite.recommend(depth=12).confidence == "low"  # between 2 and 30


SAMPLED = 8
QUESTIONS = (
    {"model": "resnet", "optimizer": "sgd", "by": "score"},
    {"depth": 12, "dataset": "digits"},
)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_what_was_worked_out_beforehand_is_what_the_trials_say(question: dict[str, Any]) -> None:
    stored, fresh = recommend(**question), recommend(**question, results=reference().results)
    _check_equal(replace(stored, limits=stored.limits[:-1]), fresh)  # the last limit speaks of the reference


@pytest.mark.slow
def test_the_answers_that_were_worked_out_beforehand_are_what_the_trials_say() -> None:
    """A sample: all of them take two minutes, and what changes one changes many."""
    stored = read_derived(tuple(SHIPPED.values()))
    assert stored is not None
    fresh = derive(reference(), every=SAMPLED)
    assert len(stored.answers) == len(RESULTS) * len(questions(stored.tried))
    assert stored.tried == fresh.tried
    assert {key: stored.answers.get(key) for key in fresh.answers} == fresh.answers
    pd.testing.assert_frame_equal(stored.evidence, fresh.evidence)


def test_the_derived_tables_name_the_trials_they_come_from() -> None:
    origin = json.loads((REFERENCE_STORE / FOLDER / "origin.json").read_text())
    assert origin["store_hash"] == store_hash(reference().results.trials)
    assert origin["protocol_version"] == PROTOCOL_VERSION
    assert origin["dirty"] is False
    assert sum(origin["trials"].values()) == len(reference().results.trials)


def _check_equal(one: Answer, other: Answer) -> None:
    for name in (field.name for field in fields(Answer)):
        ours, theirs = getattr(one, name), getattr(other, name)
        if isinstance(ours, pd.DataFrame):
            pd.testing.assert_frame_equal(ours, theirs)
        elif name == "neighbours":
            assert ours.keys() == theirs.keys()
            for layers in ours:
                _check_equal(ours[layers], theirs[layers])
        else:
            assert repr(ours) == repr(theirs), name  # NaN equals NaN


@pytest.mark.slow
def test_the_reference_is_asked_in_less_than_a_second() -> None:
    """Of processor time, imports included: the best of three, on a machine that others use."""
    code = "import initsuite, time; str(initsuite.recommend()); print(time.process_time())"
    taken = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3)]
    assert min(taken) < 1.0


@pytest.mark.slow
def test_the_reference_is_asked_without_torch() -> None:
    code = (
        "import sys, initsuite; print(initsuite.recommend(model='mlp', depth=30, activation='relu')); "
        "sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Use ")


def test_the_pages_show_the_shipped_reference() -> None:
    views, repository = Views(build_report(load_results(REFERENCE_STORE))), Path(__file__).parents[2]
    readme, which = (
        repository.joinpath(*names).read_text(encoding="utf-8") for names in (["README.md"], ["docs", "which.md"])
    )
    assert verdicts_block(views) in readme
    assert verdicts_block(views) in which
    assert winners_block(views) in which
    assert worth_block(Views(build_report(load_results(SHIPPED["interaction"])))) in which
