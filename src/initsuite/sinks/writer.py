"""The child of `beside.WandbProcess`: reads messages, does the work of `WandbSink`, answers. Not for users."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
from typing import IO, Any

from initsuite.errors import ConfigError
from initsuite.sinks.wandb import WandbSink

NICENESS = 10
"""Training comes first; runs are written in the time it leaves."""


def main() -> None:
    """Serve messages until `close`, or until the parent is gone."""
    # the answers' pipe is kept for them alone: whatever prints to the screen goes to the log
    messages, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    lock = threading.Lock()

    def answer(word: str, content: Any = None) -> None:
        with lock, contextlib.suppress(OSError):  # a parent that is gone asks for nothing
            pickle.dump((word, content), answers)
            answers.flush()

    _, (tracking,) = pickle.load(messages)
    try:
        sink = WandbSink(tracking, on_written=lambda: answer("written"))
    except ConfigError as error:
        answer("refused", str(error))
        return
    answer("started", sink.mode)
    if not _serve(sink, messages):
        # nobody waits any more: what is open is finished, but not for ever
        threading.Timer(tracking.finish_timeout_s, lambda: os._exit(1)).start()
    answer("lines", sink.close())
    os._exit(0)


def _serve(sink: WandbSink, messages: IO[bytes]) -> bool:
    """Act on every message; False if they ended without `close`."""
    while True:
        try:
            word, content = pickle.load(messages)
        except (EOFError, OSError, pickle.UnpicklingError):
            return False
        if word == "close":
            return True
        getattr(sink, word)(*content)


if __name__ == "__main__":
    main()
