"""Who trains what: leases on stacks, so that launches of the same sweep share the work.

    <dir>/claims/<name>.json    holds the owner; its modification time is the owner's heartbeat

A lease whose heart has stopped for `EXPIRES_S`, or whose process is gone from here, may be taken over. A process can be
seen only from where it runs: on the same start of the same machine, and in the same PID name space (a container has its
own). In rare cases two launches hold the same lease: the work is then done twice, and readers drop what is repeated.
The folder keeps its former name, so that launches of older and newer versions share work.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from initsuite.errors import StoreError
from initsuite.files import read_sealed, sealed, writing

HEARTBEAT_S = 10.0
EXPIRES_S = 60.0
"""Six missed heartbeats: a busy machine or a slow disk may miss a few."""
POLL_S = 0.2
PATIENCE_S = 1.0
"""Whoever waits longer for a lease is told for whom."""


class Leases:
    """The leases of one launch. Use it as a context manager: on leaving, everything it holds is released.

    Raises:
        StoreError: on entering, or from `take` and `hold`: the results folder cannot be written.
    """

    def __init__(self, results_dir: Path) -> None:
        self.directory = results_dir / "claims"
        self.owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex, "space": _space()}
        self._held: set[str] = set()
        self._watched: dict[Path, tuple[float, float]] = {}
        """The time of a lease that is dated ahead, and the moment when that was first seen."""
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="leases", daemon=True)

    def __enter__(self) -> Leases:
        with writing("leases", self.directory):
            self.directory.mkdir(exist_ok=True)
        self._heart.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._heart.join()
        for name in list(self._held):
            self.release(name)

    def take(self, name: str) -> bool:
        """Take the lease of this name unless somebody else holds it. Returns whether it was taken."""
        path = self._path(name)
        with writing("leases", path):
            if not self._create(path) and not (self._is_dead(path) and self._bury(path) and self._create(path)):
                return False
        self._held.add(name)
        return True

    def release(self, name: str) -> None:
        self._held.discard(name)
        owner = _owner(self._path(name))
        if owner and owner["token"] == self.owner["token"]:  # unless taken over while we slept
            with contextlib.suppress(OSError):
                self._path(name).unlink()

    @contextlib.contextmanager
    def hold(self, name: str, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
        """Wait for a lease and hold it for a `with` block; `say` shows the user a line if that takes long."""
        begin, is_told = time.monotonic(), False
        while not self.take(name):
            if not is_told and time.monotonic() - begin > PATIENCE_S:
                say(f"Waiting for another launch, which is {name} ({self.holder(name)}).")
                is_told = True
            time.sleep(POLL_S)
        try:
            yield
        finally:
            self.release(name)

    def holder(self, name: str) -> str:
        """Who holds a lease, for a message: `host, process 123`."""
        path = self._path(name)
        if owner := _owner(path):
            return f"{owner['host']}, process {owner['pid']}"
        return f"the lease {path} does not say who" if path.exists() else "it has just ended"

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _create(self, path: Path) -> bool:
        """Create a lease whole, unless there is one."""
        mine = self.directory / f".{path.stem}.{self.owner['token']}"
        mine.write_text(sealed(self.owner))
        try:
            os.link(mine, path)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            with contextlib.suppress(FileExistsError), open(path, "x") as file:
                file.write(sealed(self.owner))
                return True
            return False
        finally:
            mine.unlink(missing_ok=True)
        return True

    def _is_dead(self, path: Path) -> bool:
        """Whether the owner's process is gone from here, or its heart has stopped by the clock of the disk.

        A heart that beats ahead of that clock has stopped when it shows the same time for as long.
        """
        owner = _owner(path)
        is_near = owner and [owner["host"], owner.get("space")] == [self.owner["host"], self.owner["space"]]
        if owner and is_near and not _is_running(owner["pid"]):
            return True
        clock = self.directory / f".clock-{self.owner['token']}"
        clock.touch()
        try:
            beat, now = path.stat().st_mtime, clock.stat().st_mtime
        except FileNotFoundError:  # released just now: the next try takes it
            return False
        finally:
            clock.unlink(missing_ok=True)
        if beat <= now:
            return now - beat > EXPIRES_S
        seen, since = self._watched.get(path, (0.0, 0.0))
        if seen != beat:
            self._watched[path] = beat, time.monotonic()
            return False
        return time.monotonic() - since > EXPIRES_S

    def _bury(self, path: Path) -> bool:
        """Move a dead lease away; of several launches that try, one succeeds."""
        grave = path.with_suffix(f".{self.owner['token']}")
        try:
            os.rename(path, grave)
        except FileNotFoundError:
            return False
        grave.unlink(missing_ok=True)
        return True

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            for name in list(self._held):
                with contextlib.suppress(OSError):  # a disk that is away for a moment; the next beat tries again
                    os.utime(self._path(name))


@contextlib.contextmanager
def hold_all(where: str, results_dir: Path) -> Iterator[None]:
    """Hold all leases of a store for a `with` block, so that a launch that starts now waits before it plans.

    Raises:
        StoreError: another command is using the store.
    """
    with Leases(results_dir) as leases:
        for name in sorted({"planning", *(path.stem for path in leases.directory.glob("*.json"))}):
            if not leases.take(name):
                raise StoreError(
                    f"{where}: another command is using `DIR`={str(results_dir)!r} ({leases.holder(name)}). "
                    "Expected a store that nobody is training into. Wait until that command has ended."
                )
        yield


def _owner(path: Path) -> dict[str, Any] | None:
    """Who holds a lease; None where there is none, or one that does not say who."""
    try:
        owner = read_sealed(path)
    except (OSError, ValueError):
        return None
    kinds = {"host": str, "pid": int, "token": str}
    is_whole = isinstance(owner, dict) and all(isinstance(owner.get(name), kind) for name, kind in kinds.items())
    return owner if is_whole else None


def _space() -> str | None:
    """What processes can see each other: the start of this machine, and the PID name space; None if it has neither."""
    with contextlib.suppress(OSError):
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{start} {os.readlink('/proc/self/ns/pid')}"
    return None


def _is_running(pid: int) -> bool:
    """Whether a process of this machine is there, also where other users' processes are hidden from us."""
    if os.name == "nt":  # there os.kill would end it
        return psutil.pid_exists(pid)
    try:
        with contextlib.suppress(PermissionError):  # another user's: it is there
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
