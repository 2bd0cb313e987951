import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from initsuite.errors import StoreError
from initsuite.files import sealed
from initsuite.results import leases
from initsuite.results.leases import Leases


def test_one_launch_holds_a_name_until_it_lets_go(tmp_path) -> None:
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        assert first.take("stack")
        assert not second.take("stack")
        assert second.take("another")
        assert second.holder("stack").endswith(f"process {os.getpid()}")
        first.release("stack")
        assert second.take("stack")
    assert not list((tmp_path / "claims").iterdir())
    assert second.holder("stack") == "it has just ended"


def test_of_many_launches_exactly_one_gets_it(tmp_path) -> None:
    launches = [Leases(tmp_path) for _ in range(8)]
    with launches[0]:
        got = []
        threads = [threading.Thread(target=lambda c=c: got.append(c.take("stack"))) for c in launches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got) == [False] * 7 + [True]


def test_the_claim_of_a_process_that_is_gone_is_taken_over_at_once(tmp_path) -> None:
    code = "import os; from pathlib import Path; from initsuite.results.leases import Leases; "
    code += f"c = Leases(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", f"{code}; c.__enter__(); c.take('stack'); os._exit(9)"], check=False)
    assert (tmp_path / "claims" / "stack.json").exists()
    with Leases(tmp_path) as after:
        assert after.take("stack")


def test_a_claim_without_a_heartbeat_expires_and_one_with_does_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.05)
    with Leases(tmp_path) as ours:
        for name in ("beats", "stopped", "half-written"):
            ours.take(name)
        elsewhere = {"host": "another-machine", "pid": 1, "token": "theirs"}
        ours._held -= {"stopped", "half-written"}
        ours._path("stopped").write_text(json.dumps(elsewhere))
        ours._path("half-written").write_text("")
        long_ago = time.time() - 2 * leases.EXPIRES_S
        for name in ("beats", "stopped", "half-written"):
            os.utime(ours._path(name), (long_ago, long_ago))
        time.sleep(0.3)
        with Leases(tmp_path) as other:
            assert [other.take(name) for name in ("beats", "stopped", "half-written")] == [False, True, True]
        assert ours._path("beats").exists()


@pytest.mark.parametrize(("error", "is_taken"), [(PermissionError, False), (ProcessLookupError, True)])
def test_a_process_of_another_user_is_alive(tmp_path, monkeypatch, error: type[OSError], is_taken: bool) -> None:
    """Also where /proc hides it, as on shared machines."""

    def kill(pid: int, signal: int) -> None:
        raise error

    monkeypatch.setattr(os, "kill", kill)
    with Leases(tmp_path) as theirs, Leases(tmp_path) as ours:
        theirs.take("stack")
        assert ours.take("stack") is is_taken


def test_a_lease_that_was_taken_over_is_not_released_by_its_first_owner(tmp_path) -> None:
    with Leases(tmp_path) as sleeper:
        sleeper.take("stack")
        sleeper._path("stack").write_text(json.dumps({"host": "another-machine", "pid": 1, "token": "theirs"}))
        sleeper.release("stack")
        assert sleeper._path("stack").exists()


@pytest.mark.parametrize(
    "content",
    ["", '{"a": 1}', '{"host": "x", "pid": "7", "token": "y"}', "[]", "\x00", '{"content": {}, "sha256": ""}'],
)
def test_a_lease_that_does_not_say_who_holds_it_expires(tmp_path, content: str) -> None:
    with Leases(tmp_path) as ours:
        path = ours._path("stack")
        path.write_text(content)
        assert not ours.take("stack")
        assert ours.holder("stack") == f"the lease {path} does not say who"
        ours.release("stack")
        long_ago = time.time() - leases.EXPIRES_S - 1
        os.utime(path, (long_ago, long_ago))
        assert ours.take("stack")


def test_every_flipped_bit_of_a_lease_is_noticed(tmp_path) -> None:
    with Leases(tmp_path) as ours:
        ours.take("stack")
        path = ours._path("stack")
        content = path.read_bytes()
        for place, bit in itertools.product(range(len(content)), range(8)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(bytes(flipped))
            assert leases._owner(path) is None


def test_a_lease_that_is_dated_ahead_expires_when_its_heart_has_stopped(tmp_path, monkeypatch) -> None:
    with Leases(tmp_path) as ours:
        path = ours._path("stack")
        path.write_text(json.dumps({"host": "another-machine", "pid": 1, "token": "theirs"}))
        ahead = time.time() + 3600
        os.utime(path, (ahead, ahead))
        assert not ours.take("stack")
        monkeypatch.setattr(leases, "EXPIRES_S", 0.1)
        os.utime(path, (ahead + 1, ahead + 1))  # it beats
        time.sleep(0.2)
        assert not ours.take("stack")
        time.sleep(0.2)
        assert ours.take("stack")


def test_a_process_in_another_name_space_cannot_be_seen_and_keeps_its_lease(tmp_path, monkeypatch) -> None:
    """Two containers of one host name: the process of one is not there for the other."""
    with Leases(tmp_path) as ours:
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
        theirs = {"host": ours.owner["host"], "pid": int(gone.stdout), "token": "theirs", "space": "another"}
        ours._path("stack").write_text(sealed(theirs))
        assert not ours.take("stack")
        ours._path("stack").write_text(sealed({**theirs, "space": ours.owner["space"]}))
        assert ours.take("stack")


def test_a_disk_without_hard_links(tmp_path, monkeypatch) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        assert [first.take("stack"), second.take("stack")] == [True, False]
        assert second.holder("stack").endswith(f"process {os.getpid()}")


def test_holding_waits_for_the_other_and_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(leases, "PATIENCE_S", 0.0)
    said: list[str] = []
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        first.take("planning")
        threading.Timer(0.3, first.release, ["planning"]).start()
        begin = time.monotonic()
        with second.hold("planning", said.append):
            assert time.monotonic() - begin > 0.2
            assert said == [
                f"Waiting for another launch, which is planning ({first.owner['host']}, process {os.getpid()})."
            ]
            assert not first.take("planning")
        assert first.take("planning")


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "claims").write_text("a file in the way")
    with pytest.raises(StoreError, match="fix the disk and run the command again"), Leases(tmp_path):
        pass
