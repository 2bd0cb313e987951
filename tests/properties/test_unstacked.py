"""Every module trains: what `torch.vmap` cannot map is trained one trial at a time, by the same protocol."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from initsuite.data.base import Dataset, Split
from initsuite.data.order import BatchOrder
from initsuite.engine.loop import Training, train_stack
from initsuite.engine.manner import STACKED, Manner
from initsuite.engine.process import for_training
from initsuite.engine.rehearsal import pace, rehearse
from initsuite.engine.stack import Member, start_of
from initsuite.errors import ConfigError
from initsuite.spec import Stage
from support.resuming import bits, resumed
from support.stubborn import (
    STUBBORN,
    CheckpointedDropout,
    DictOut,
    Dropout,
    DropoutItem,
    Net,
    Recurrent,
    Replaced,
    ReplacedUnmapped,
    TupleOut,
    TwoInputs,
    Uncopied,
    members_of,
    sequences,
    workload_of,
)

FLOAT32_20_STEPS = 2e-4
"""As in test_stack.py: float32 has 6e-8 of rounding a sum, amplified by momentum and curvature."""
FLOAT64_WHOLE_RUN = 1e-9
APART = Manner("asked for", draws=True)
SEEDS, LRS = (0, 1, 0, 1), (0.05, 0.05, 0.02, 0.02)


@pytest.fixture(scope="module")
def jobs(make_job) -> list[Any]:
    return [make_job(f"init={init}") for init in ("he", "he", "xavier", "xavier")]


@pytest.mark.parametrize("name", STUBBORN)
def test_a_model_that_cannot_be_mapped_trains_one_trial_at_a_time(jobs, name: str) -> None:
    """It learns the task, and a stack has the bits of its trials."""
    workload = workload_of(jobs[0], STUBBORN[name], max_steps=120, eval_every=60)
    stack = members_of(jobs, workload, (0.05, 0.05, 0.1, 0.1), SEEDS)
    with pytest.raises(Exception, match=r"(?s).+"):
        train_stack(stack[:1])
    manner = rehearse(stack[:1])
    assert manner.why_unstacked
    assert "\n" not in manner.line()
    results = train_stack(stack, manner=manner)
    for result in results:
        assert result.curve.train_loss[-1] < 0.95 * np.log(3)
        assert result.curve.val_score[-1] > 0.45  # chance is 1/3
    assert np.array_equal(bits(results)[1:2], bits(train_stack(stack[1:2], manner=manner)))
    assert min(pace(stack[:2], manner=manner)) > 0


@pytest.mark.parametrize(
    ("setup", "dtype", "tolerance"),
    [
        (("model=mlp", "model.norm=batch", "optimizer=sgd"), torch.float32, FLOAT32_20_STEPS),
        (("model=rnn", "model.width=16", "activation=tanh", "optimizer=adam"), torch.float32, FLOAT32_20_STEPS),
        (("model=mlp", "optimizer=adamw", "max_steps=120", "eval_every=40"), torch.float64, FLOAT64_WHOLE_RUN),
    ],
    ids=["batch_norm-sgd", "rnn-adam", "float64"],
)
def test_unstacked_equals_stacked(make_job, setup, dtype: torch.dtype, tolerance: float) -> None:
    made = [make_job(f"init={init}", "max_steps=20", "eval_every=5", *setup) for init in ("he", "orthogonal")]
    stack = []
    for job, seed in zip(made, (0, 1), strict=True):
        start = start_of(job.cell.workload, job.cell.initializer, seed)
        stack.append(Member(job.cell, job.cell.trial(1e-3, seed, Stage.SCORE), *start))
    together, apart = (bits(train_stack(stack, dtype=dtype, manner=manner)) for manner in (STACKED, APART))
    losses = 2 * len(together[0]) // 3
    assert together[:, :losses] == pytest.approx(apart[:, :losses], abs=tolerance)


@pytest.mark.parametrize("pair", [(Dropout, DropoutItem), (Replaced, ReplacedUnmapped)], ids=["dropout", "replaced"])
def test_a_network_and_its_twin_that_cannot_be_mapped_agree(jobs, pair) -> None:
    """The same masks, and the same buffers, whether many trials are computed at once or each by itself."""
    found = []
    for build in pair:
        stack = members_of(jobs, workload_of(jobs[0], build), LRS, SEEDS)
        found.append((manner := rehearse(stack[:1]), bits(train_stack(stack, manner=manner))))
    (stacked, together), (unstacked, apart) = found
    assert (stacked.why_unstacked == "") > (unstacked.why_unstacked == "")
    assert together[:, :8] == pytest.approx(apart[:, :8], abs=FLOAT32_20_STEPS)


def test_an_lstm_has_the_numbers_of_a_plain_loop(jobs) -> None:
    """Written by hand in plain torch, with torch's own SGD and the same batches."""
    workload = workload_of(jobs[0], Recurrent)
    (member,) = members_of(jobs[:1], workload, [0.05], [3])
    (result,) = train_stack([member], manner=rehearse([member]))
    model, data = Recurrent(), workload.dataset
    model.load_state_dict(member.start.params)
    order = BatchOrder(len(data.train), workload.batch_size, [3])
    sgd, losses = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), []
    with for_training():
        for step in range(workload.max_steps):
            batch = order[step][0]
            sgd.zero_grad()
            loss = functional.cross_entropy(model(data.train.inputs[batch]), data.train.targets[batch])
            loss.backward()
            sgd.step()
            losses.append(loss.item())
        with torch.no_grad():
            expected = functional.cross_entropy(model(data.validation.inputs), data.validation.targets).item()
    means = np.array(losses).reshape(-1, workload.eval_every).mean(1)
    assert result.curve.train_loss == pytest.approx(means, abs=1e-6)
    assert result.curve.val_loss[-1] == pytest.approx(expected, abs=1e-6)


def test_a_checkpointed_network_has_the_gradients_of_the_plain_one(jobs, monkeypatch) -> None:
    """Its forward pass is repeated in the backward pass, and must meet the same masks there."""
    stack = members_of(jobs, workload_of(jobs[0], CheckpointedDropout), LRS, SEEDS)
    manner = rehearse(stack[:1])
    assert (manner.draws, manner.is_global) == (False, True)
    checkpointed = bits(train_stack(stack, manner=manner))
    monkeypatch.setattr("support.stubborn.checkpoint", lambda module, hidden, use_reentrant: module(hidden))
    assert np.array_equal(bits(train_stack(stack, manner=manner)), checkpointed)
    plain = bits(train_stack(stack, manner=Manner("asked for", draws=True)))
    assert not np.array_equal(plain, checkpointed)  # other masks are seen


def test_a_part_in_float64_computes_in_float64(jobs) -> None:
    stack = members_of(jobs[:1], workload_of(jobs[0], STUBBORN["float64"]), [0.05], [0])
    training = Training(stack, torch.device("cpu"), manner=rehearse(stack))
    training.take_step()
    dtypes = {name: value.dtype for name, value in training.state.params.items()}
    assert dtypes["head.weight"] == torch.float64
    assert dtypes["first.weight"] == torch.float32


def test_a_model_that_cannot_be_copied_is_lent(jobs) -> None:
    """Afterwards it has the parameters that it had: none with values."""
    workload = workload_of(jobs[0], Uncopied)
    before = dict(workload.model.named_parameters())
    stack = members_of(jobs, workload, LRS, SEEDS)
    twin = members_of(jobs, workload_of(jobs[0], STUBBORN["item"]), LRS, SEEDS)
    manner = rehearse(stack[:1])
    assert np.array_equal(bits(train_stack(stack, manner=manner)), bits(train_stack(twin, manner=manner)))
    assert all(value is before[name] and value.is_meta for name, value in workload.model.named_parameters())


@pytest.mark.parametrize("name", ["lstm", "momentum-none", "deep-lstm", "checkpoint-dropout"])
def test_resumed_it_ends_with_the_same_bits(jobs, tmp_path: Path, name: str) -> None:
    stack = members_of(jobs, workload_of(jobs[0], STUBBORN[name]), LRS, SEEDS)
    manner = rehearse(stack[:1])
    whole = bits(train_stack(stack, manner=manner))
    assert np.array_equal(bits(resumed(stack, manner, tmp_path, after=2)), whole)


def masked(kind: type) -> Dataset:
    """Sequences with a mask that leaves all of them; a tuple, or a dictionary that holds the labels, too."""
    plain = sequences()

    def split(each: Split) -> Split:
        mask = torch.ones(each.inputs.shape[:2])
        if kind is tuple:
            return Split((each.inputs, mask), each.targets)
        return Split({"inputs": each.inputs, "mask": mask, "labels": each.targets}, None)

    return replace(plain, **{name: split(getattr(plain, name)) for name in ("train", "validation", "test")})


def own_loss(outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    return outputs["loss"]


def own_score(outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    return (outputs["logits"].argmax(-1) == batch["labels"]).float().mean()


@pytest.mark.parametrize("manner", [STACKED, APART], ids=["stacked", "unstacked"])
def test_batches_and_outputs_may_be_trees(jobs, manner: Manner) -> None:
    """A tuple, a dictionary, and labels in the batch for a loss that the model computes, which is one number."""
    expected = bits(train_stack(members_of(jobs, workload_of(jobs[0], Net), LRS, SEEDS), manner=manner))
    own = {"loss": own_loss, "score": own_score, "eval_batch_size": 16}
    for build, kind, options in (
        (TwoInputs, tuple, {}),
        (TupleOut, tuple, {"output": 0}),
        (DictOut, tuple, {"output": "logits"}),
        (TwoInputs, dict, own),
    ):
        workload = workload_of(jobs[0], build, masked(kind), **options)
        assert workload.steps_per_epoch == 6
        found = bits(train_stack(members_of(jobs, workload, LRS, SEEDS), manner=manner))
        assert found == pytest.approx(expected, abs=FLOAT32_20_STEPS), (build, kind)


def test_an_output_that_is_not_there_is_named(jobs) -> None:
    for output, said in (("logit", "a dictionary of logits"), (3, "a dictionary of logits")):
        workload = workload_of(jobs[0], DictOut, masked(tuple), output=output)
        with pytest.raises(ConfigError, match=f"`output`='?{output}'?.*{said}"):
            rehearse(members_of(jobs[:1], workload, [0.1], [0]))
    with pytest.raises(ConfigError, match=r"`output`=2.*a tuple of 2"):
        rehearse(members_of(jobs[:1], workload_of(jobs[0], TupleOut, masked(tuple), output=2), [0.1], [0]))


@pytest.mark.parametrize("build", [Net, Recurrent], ids=["stacked", "unstacked"])
def test_bfloat16_is_of_the_forward_pass(jobs, build) -> None:
    """Near the numbers of float32 (2^-8 of rounding an operation), not equal; what is trained stays float32."""
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        stack = members_of(jobs, workload_of(jobs[0], build, dtype=dtype), LRS, SEEDS)
        manner = rehearse(stack[:1])
        training = Training(stack, torch.device("cpu"), manner=manner)
        training.take_step()
        assert {value.dtype for value in training.state.params.values()} == {torch.float32}
        found.append(bits(train_stack(stack, manner=manner)))
    assert found[0][:, :8] == pytest.approx(found[1][:, :8], abs=0.03)
    assert np.abs(found[0][:, :8] - found[1][:, :8]).max() > 1e-5


def test_the_reason_says_where(jobs) -> None:
    (member,) = members_of(jobs[:1], workload_of(jobs[0], STUBBORN["item"]), [0.1], [0])
    line = rehearse([member]).line()
    assert "torch.vmap cannot map the model: " in line
    assert "calling .item() on a Tensor (stubborn.py, line " in line


def test_a_module_that_keeps_what_it_saw_keeps_it_for_one_trial(jobs) -> None:
    """A counter, for example: with one module for all trials it would count the steps of all of them."""

    class Counting(Recurrent):
        seen = 0

        def forward(self, inputs: Tensor) -> Tensor:
            self.seen += self.training
            return super().forward(inputs) / (1 + 0.1 * self.seen)

    stack = members_of(jobs, workload_of(jobs[0], Counting), LRS, SEEDS)
    manner = rehearse(stack[:1])
    assert np.array_equal(bits(train_stack(stack[:1], manner=manner))[0], bits(train_stack(stack, manner=manner))[0])


def test_what_nothing_depends_on_does_not_move(jobs) -> None:
    class Idle(Recurrent):
        def __init__(self) -> None:
            super().__init__()
            self.idle = nn.Linear(2, 2)

    stack = members_of(jobs[:1], workload_of(jobs[0], Idle), [0.1], [0])
    training = Training(stack, torch.device("cpu"), manner=rehearse(stack))
    training.advance()
    assert torch.equal(training.state.params["idle.weight"][0], stack[0].start.params["idle.weight"])
