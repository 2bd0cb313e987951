"""The signals of schedulers: at once where nothing is in training, else at the next evaluation."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from initsuite.train.stopping import GRACE_S, SIGNALS, Stop


@pytest.fixture
def stop() -> Iterator[Stop]:
    before = {name: signal.getsignal(getattr(signal, name)) for name in (*SIGNALS, "SIGALRM")}
    made = Stop()
    made.listen()
    yield made
    signal.alarm(0)
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_launch_that_does_not_train_ends_at_once(stop, name) -> None:
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2"])
def test_a_stack_in_training_is_asked_once(stop, name) -> None:
    with stop.heard():
        stop.raise_if_asked()
        os.kill(os.getpid(), getattr(signal, name))
        assert stop.is_asked
        with pytest.raises(KeyboardInterrupt):
            stop.raise_if_asked()
        stop.raise_if_asked()  # results that come after it are taken
        assert 0 < signal.alarm(GRACE_S) <= GRACE_S, "it would wait for an evaluation for ever"
    assert signal.alarm(0) == 0
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), getattr(signal, name))


def test_a_signal_after_the_last_evaluation_is_not_lost(stop) -> None:
    """As while all stacks are trained by other launches: nothing is evaluated here, and it would wait for ever."""
    was_put_off = []

    def wait_for_others() -> None:
        with stop.heard():
            os.kill(os.getpid(), signal.SIGTERM)
            was_put_off.append(stop.is_asked)

    with pytest.raises(KeyboardInterrupt):
        wait_for_others()
    assert was_put_off == [True]
    assert signal.alarm(0) == 0
    with stop.heard():  # it was for that block alone
        stop.raise_if_asked()


def test_an_evaluation_that_does_not_come_is_not_waited_for(stop, monkeypatch) -> None:
    monkeypatch.setattr("initsuite.train.stopping.GRACE_S", 1)
    with stop.heard():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.pause()
