"""The child of `beside.WandbProcess`: reads messages, does the work of `WandbSink`, answers. Not for users."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from typing import IO, Any

from initsuite.errors import ConfigError
from initsuite.tracking.service import keep_back, kill, services, yield_to_others
from initsuite.tracking.sink import WandbSink

END_S = 5.0
"""How long W&B may take to end its own process and to remove its temporary folders, seconds; it takes milliseconds."""


def main() -> None:
    """Serve messages until `close`, or until the parent is gone."""
    # Ctrl-C is the parent's to answer. It reaches its process group alone, but some schedulers signal every process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the answers' pipe is kept for them alone: whatever prints to the screen goes to the log
    messages, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    keep_back()
    lock = threading.Lock()

    def answer(word: str, content: Any = None) -> None:
        with lock, contextlib.suppress(OSError):  # a parent that is gone asks for nothing
            pickle.dump((word, content), answers)
            answers.flush()

    _, (tracking,) = pickle.load(messages)
    try:
        sink = WandbSink(tracking, on_written=lambda trial_id: answer("written", trial_id))
    except ConfigError as error:
        answer("refused", str(error))
        return
    answer("started", sink.mode)
    if not _serve(sink, messages):
        # nobody waits any more: what is open is finished, but not for ever
        _end_after(tracking.finish_timeout_s)
    answer("lines", sink.close())
    _end_after(END_S)


def _serve(sink: WandbSink, messages: IO[bytes]) -> bool:
    """Act on every message; False if they ended without `close`."""
    known: list[int] = []
    while True:
        try:
            word, content = pickle.load(messages)
        except (EOFError, OSError, pickle.UnpicklingError):
            return False
        if word == "close":
            return True
        getattr(sink, word)(*content)
        # W&B starts its process for the first run, in a session of its own, and perhaps another one later
        if word == "stack_started" and (running := services()) != known:
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
