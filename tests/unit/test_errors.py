"""What the doors share: exit codes, the block of an error, the line after Ctrl-C."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable

import pytest

from initsuite.errors import ConfigError, door_parser, run_door

COMMAND = "python -m initsuite.report"


def parser() -> argparse.ArgumentParser:
    found = door_parser(COMMAND, "What it does.", f"examples:\n  {COMMAND} mine   another store\n")
    found.add_argument("stores", nargs="*")
    return found


def fail(error: BaseException) -> Callable[[argparse.Namespace], None]:
    def action(options: argparse.Namespace) -> None:
        raise error

    return action


@pytest.mark.parametrize(("answer", "code"), [(None, 0), (0, 0), (1, 1)])
def test_the_exit_code_is_that_of_the_action(answer: int | None, code: int) -> None:
    assert run_door(parser(), lambda options: answer, []) == code


def test_the_action_gets_the_options() -> None:
    assert run_door(parser(), lambda options: len(options.stores), ["a", "b", "c"]) == 3


def test_an_error_that_a_user_can_fix_is_one_block(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_door(parser(), fail(ConfigError("report: no.")), []) == 2
    assert capsys.readouterr().err == "report: no.\n"


def test_a_defect_of_ours_shows_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_door(parser(), fail(ZeroDivisionError()), [])


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_door(parser(), fail(KeyboardInterrupt()), ["my store"]) == 130
    assert capsys.readouterr().err == "\nInterrupted. To go on: python -m initsuite.report 'my store'\n"
    assert run_door(parser(), fail(KeyboardInterrupt()), [], going_on="All is kept. To go on") == 130
    assert capsys.readouterr().err == "\nInterrupted. All is kept. To go on: python -m initsuite.report\n"


@pytest.mark.parametrize("way", ["initsuite report", "python -m initsuite report"])
def test_a_door_goes_by_the_name_that_was_typed(
    way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [way])
    assert parser().format_help().startswith(f"usage: {way} [-h]")
    assert f"examples:\n  {way} mine   another store\n" in parser().format_help()
    assert run_door(parser(), fail(KeyboardInterrupt()), ["mine"]) == 130
    assert f"To go on: {way} mine\n" in capsys.readouterr().err


def in_a_process(action: str, end: str = "sys.exit") -> subprocess.CompletedProcess[str]:
    code = (
        "import argparse, os, signal, sys, threading, time\n"
        "from initsuite.errors import end_without_threads, run_door\n"
        f"{end}(run_door(argparse.ArgumentParser('door'), {action}))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_a_cluster_that_ends_the_process_is_ctrl_c() -> None:
    done = in_a_process("lambda options: [os.kill(os.getpid(), signal.SIGTERM), time.sleep(10)]")
    assert (done.returncode, done.stderr) == (130, "\nInterrupted. To go on: door\n")


def test_a_thread_that_waits_for_a_server_holds_nobody() -> None:
    waits = "lambda options: [print('done'), threading.Thread(target=time.sleep, args=[600]).start()] and 1"
    done = in_a_process(waits, "end_without_threads")
    assert (done.returncode, done.stdout) == (1, "done\n")
