import json
import os
import subprocess
import sys
import threading
import time

import pytest

from initsuite.errors import StoreError
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
    assert second.holder("stack") == "nobody"


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


def test_holding_waits_for_the_other(tmp_path) -> None:
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        first.take("planning")
        threading.Timer(0.3, first.release, ["planning"]).start()
        begin = time.monotonic()
        with second.hold("planning"):
            assert time.monotonic() - begin > 0.2
            assert not first.take("planning")
        assert first.take("planning")


def test_a_folder_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "claims").write_text("a file in the way")
    with pytest.raises(StoreError, match="fix the disk and run the command again"), Leases(tmp_path):
        pass
