"""The door: initsuite prescribe."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from initsuite.apply.advise import main

DEEP = ("model=mlp", "model.depth=12", "--draws", "2")


def test_it_says_what_the_function_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Theory: per layer He keeps the mean square, and Xavier halves it; std 0.01 leaves next to nothing of it."""
    assert main([*DEEP, "init=normal,xavier,he"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Use he: ")
    assert "rank correlation of" in printed
    assert "elsewhere it is a guess" in printed
    assert "To know, train: initsuite train -m model=mlp model.depth=12 init=he" in printed
    assert "dataset digits, model mlp-12x64, activation relu: 64 examples, 2 draws" in printed
    assert re.findall(r"^ *(he|xavier|normal) ", printed, re.M) == ["he", "xavier", "normal"]


def test_several_networks_as_json_and_what_one_initializer_requires(capsys: pytest.CaptureFixture[str]) -> None:
    """`skipinit` requires a scale on the branches of a ResNet, which the others are ranked without."""
    assert main(["activation=relu,tanh", "init=he,zero", "--draws", "2", "--by", "score", "--json"]) == 0
    relu, tanh = json.loads(capsys.readouterr().out)
    assert [row["init"] for row in relu["table"]] == ["he", "zero"]
    assert (relu["by"], relu["initializer"], tanh["initializer"]) == ("score", "he", "he")
    assert "activation tanh" in tanh["subject"]
    arguments = ["model=resnet", "model.depth=8", "model.width=4", "init=skipinit,zero", "--examples", "8"]
    assert main([*arguments, "--draws", "2", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {row["init"] for row in found["table"]} == {"skipinit", "zero"}


def test_options_of_an_initializer_belong_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["init=he", "init.gain=1,2", "--draws", "2", "--examples", "8"]
    assert main([*arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {row["init"] for row in found["table"]} == {"he(gain=1)", "he(gain=2)"}
    assert main(arguments) == 0
    assert "To know, train: initsuite train -m init=he init.gain=1,2.\n" in capsys.readouterr().out
    assert main(["init=lsuv", "init.tol=0.2", *arguments[2:]]) == 0


@pytest.mark.slow
def test_the_whole_catalogue_but_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model.depth=1", "model.width=8", "--draws", "2", "--examples", "8", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {"he", "lsuv", "zero"} <= {row["init"] for row in found["table"]}
    assert "attention" in found["refused"]["mimetic"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=mpl"], "config: unknown .model.='mpl'"),
        (["init=hee"], "config: unknown .init.='hee'"),
        (["foo"], "prescribe: bad value .override.='foo'. Expected KEY=VALUE"),
        (["init=he", "--draws", "1"], ".draws.=1. Expected a whole number from 2"),
        (["init=he", "--by", "size"], "prescribe: unknown .by.='size'. Expected one of: speed, score"),
        (["init=he,mimetic"], "prescribe: cannot build init=mimetic"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert re.search(message, printed)
    assert "Traceback" not in printed


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, contextlib\nfrom initsuite.apply.advise import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
