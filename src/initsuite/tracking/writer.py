"""The child of `process.WandbProcess`: reads messages, does the work of `WandbSink`, answers. Not for users."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from typing import IO

from initsuite.errors import ConfigError
from initsuite.spec import Announced, News
from initsuite.tracking.process import Answer, Close, Closed, Ready, Written
from initsuite.tracking.service import keep_back, kill, services, yield_to_others
from initsuite.tracking.settings import Tracking
from initsuite.tracking.sink import WandbSink

END_S = 5.0
"""How long W&B may take to end its own process and to remove its temporary folders, seconds; it takes milliseconds."""


def main() -> None:
    """Serve messages until `close`, or until the parent is gone."""
    # The parent decides when to stop. Ctrl-C reaches its process group alone, but some schedulers signal every process.
    for name in {"SIGINT", "SIGTERM", "SIGUSR2"} & set(signal.__dict__):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    # The pipe is kept for the answers alone: whatever prints to the screen goes to the log.
    messages, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    keep_back()
    lock = threading.Lock()

    def answer(message: Answer) -> None:
        with lock, contextlib.suppress(OSError):  # a parent that is gone needs no answer
            pickle.dump(message, answers)
            answers.flush()

    tracking: Tracking = pickle.load(messages)
    try:
        sink = WandbSink(tracking, on_written=lambda trial_id: answer(Written(trial_id)))
    except ConfigError as error:
        answer(error)
        return
    answer(Ready())
    if not _serve(sink, messages):
        # Nobody waits any more: what is open is finished, but in bounded time.
        _end_after(tracking.finish_timeout_s)
    answer(Closed(sink.close()))
    _end_after(END_S)


def _serve(sink: WandbSink, messages: IO[bytes]) -> bool:
    """Act on every message; False if they ended without `close`."""
    known: list[int] = []
    while True:
        try:
            message: News | Close = pickle.load(messages)
        except (EOFError, OSError, pickle.UnpicklingError):
            return False
        if isinstance(message, Close):
            return True
        sink.take(message)
        # W&B starts its process for the first run, in a session of its own, and perhaps another one later.
        if isinstance(message, Announced) and (running := services()) != known:
            for pid in running:
                yield_to_others(pid)
            known = running


def _end_after(limit_s: float) -> None:
    def end() -> None:
        kill(services())
        os._exit(1)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
