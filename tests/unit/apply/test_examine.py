"""The door: initsuite diagnose."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from initsuite.apply.examine import main


def test_it_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model=mlp", "model.depth=30", "init=xavier", "--draws", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("dataset digits, model mlp-30x64, activation relu, init xavier: 64 examples, 2 draws")
    assert "Vanishing forward from `layers.linear1`" in printed


def test_several_networks_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init=he,zero", "--draws", "2", "model.depth=1", "--examples", "16", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["is_healthy"]
    assert [row["verdict"] for row in second["verdicts"]] == ["symmetric"]
    assert {row["how"] for row in first["audit"]} == {"drawn"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=mpl"], "config: unknown `model`='mpl'"),
        (["init"], "bad value `override`='init'. Expected KEY=VALUE"),
        (["--draws", "0"], "`draws`=0. Expected a whole number from 1"),
        (["model.depht=3"], "depth"),
        (["model=transformer"], "Tokens|sequence of tokens|input_shape"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    import re

    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert re.search(message.replace("`", "."), printed)
    assert "Traceback" not in printed


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, contextlib\nfrom initsuite.apply.examine import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
