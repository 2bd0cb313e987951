"""`initsuite COMMAND ...`: one command over the doors. In a terminal it is the console script of the same function."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from initsuite import __main__ as command
from initsuite.report import ask
from initsuite.results.store import Store
from support.planter import Planter
from support.typed import typed

MAX_START_S = 0.3
"""Processor time of a Python process that shows the page; without torch it takes about 0.1 s."""
MAX_HELP_S = 1.0
"""Processor time of a Python process that shows the help of a command, the least of three; it takes 0.4 to 0.7 s."""
QUICK = ["max_steps=40", "eval_every=20", "protocol=smoke", "optimizer.lr_grid=[0.03,0.1]", "tracking=disabled"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | None:
    """The function behind the console script, in this process."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/initsuite", *arguments])
    return command.main()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=str)
def test_the_page_names_every_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not run(monkeypatch, *arguments)
    shown = capsys.readouterr().out
    listed = [line.split()[0] for line in shown.partition("commands:\n")[2].partition("\n\n")[0].splitlines()]
    assert listed == ["train", "report", "results", "recommend", "diagnose", "prescribe", "claims", "sync", "dashboard"]
    assert shown.count("\n  initsuite ") == 2
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_version(tmp_path: Path) -> None:
    done = typed(tmp_path, "initsuite", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"initsuite {version('initsuite')}\n", "")


@pytest.mark.parametrize(
    ("got", "nearest"),
    [("trian", "train"), ("reprot", "report"), ("dashbord", "dashboard"), ("reccomend", "recommend")],
)
def test_a_misspelt_command_is_answered_with_the_nearest(
    got: str, nearest: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, got, "init=he") == 2
    expected = "Expected one of: train, report, results, recommend, diagnose, prescribe, claims, sync, dashboard."
    assert capsys.readouterr().err == f"initsuite: unknown `command`='{got}'. {expected} Did you mean `{nearest}`?\n"


def test_packages_of_the_current_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m` finds them: a console script has its own folder in their place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(command, "_open", lambda name: int(str(tmp_path) not in sys.path))
    assert run(monkeypatch, "train", "init._target_=mypkg.mine.Triangular") == 0


@pytest.mark.parametrize("argument", ["--help", "--version", "trian"])
def test_it_starts_fast(argument: str) -> None:
    code = (
        f"import sys, time; sys.argv = ['initsuite', {argument!r}]\n"
        "from initsuite.__main__ import main\n"
        "main(); heavy = {'torch', 'hydra', 'omegaconf', 'numpy', 'pandas', 'rich', 'wandb'} & sys.modules.keys()\n"
        "print(sorted(heavy)); print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, heavy, seconds = done.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < MAX_START_S


def process(code: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A Python process whose command line is `initsuite ARGUMENTS` for `code`."""
    lines = f"import sys\nsys.argv = {['initsuite', *arguments]!r}\n{code}"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.parametrize("name", command.COMMANDS)
def test_help_imports_nothing_that_works(name: str) -> None:
    """Half a second and more each: what trains, tests, draws or speaks to W&B is not there when a page is shown."""
    code = (
        "import time\nfrom initsuite.__main__ import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(*sys.modules); print(time.process_time())"
    )
    heavy = {"torch", "sklearn", "wandb", "scipy.stats", "scipy.optimize", "matplotlib", "plotly.graph_objects"}
    seconds = MAX_HELP_S
    for _ in range(3):  # beside other work a process takes more of the processor, too
        if seconds >= MAX_HELP_S:
            done = process(code, name, "--help")
            assert done.returncode == 0, done.stderr
            *_, modules, last = done.stdout.splitlines()
            assert heavy.isdisjoint(modules.split())
            seconds = float(last)
    assert seconds < MAX_HELP_S


def test_the_package_alone_imports_nothing_large() -> None:
    code = "import time, initsuite\nprint(*sys.modules); print(time.process_time())"
    modules, seconds = process(code).stdout.splitlines()
    assert {"torch", "numpy", "scipy", "pandas", "hydra", "omegaconf", "rich", "wandb"}.isdisjoint(modules.split())
    assert float(seconds) < MAX_START_S


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Checking digits/mlp/relu/sgd/he before the first step.\n"),
        (["init=zero", "activation=tanh"], "Checking digits/mlp/tanh/sgd/zero before the first step.\n"),
        (["-m", "init=he,zero", "seeds=1"], "Checking 2 combinations before the first step.\n"),
        (["-m", "seeds=1"], "Checking 1 combination before the first step.\n"),
        (["--cfg", "job", "--package", "schedule"], "# @package schedule\nname: constant\n"),
    ],
    ids=str,
)
def test_a_launch_speaks_before_it_imports_torch(arguments: list[str], expected: str, tmp_path: Path) -> None:
    """In a process that cannot import torch, which takes seconds: what the terminal has is said without it."""
    code = "sys.modules['torch'] = None\nfrom initsuite.__main__ import main\nmain()"
    done = process(code, "train", *arguments, folder=tmp_path)
    assert done.stdout.startswith(expected), done.stderr
    is_launch = "--cfg" not in arguments
    assert (done.returncode != 0) is is_launch
    assert ("No module named 'torch" in done.stderr or "import of torch" in done.stderr) is is_launch


@pytest.mark.parametrize("name", [name for name in command.COMMANDS if name != "train"])
def test_help_reaches_the_door_and_shows_what_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, name, "--help")
    shown = capsys.readouterr().out
    assert raised.value.code == 0
    assert shown.startswith(f"usage: initsuite {name} [-h]")
    assert f"examples:\n  initsuite {name} " in shown
    assert "python -m initsuite" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["results", "sync", "dashboard"])  # train and report: test_command_line, test_report
def test_the_modules_stay(name: str, tmp_path: Path) -> None:
    done = typed(tmp_path, f"initsuite.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m initsuite.{name} " in done.stdout
    assert "python -m initsuite train" not in done.stdout


BAD = {
    "train": (["init=foo"], "config: unknown `init`='foo'. Expected one of: "),
    "report": (["nowhere"], "Make one with: python -m initsuite.train"),
    "results": (["show", "nowhere"], "nowhere"),
    "recommend": (
        ["--model", "mpl"],
        "recommend: unknown `model`='mpl'. Expected one of: cnn, mlp, resnet, rnn, transformer, vit. Did you mean `mlp",
    ),
    "claims": (["show", "he_dept"], "claims: unknown `claim`='he_dept'."),
    "sync": (["nowhere"], "Make one with: python -m initsuite.train"),
    "dashboard": (["nowhere"], "Make one with: python -m initsuite.train"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_block_and_exit_code_2(name: str, tmp_path: Path) -> None:
    arguments, expected = BAD[name]
    done = typed(tmp_path, "initsuite", name, *arguments)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


@pytest.mark.slow
def test_from_an_empty_folder_to_an_answer(tmp_path: Path) -> None:
    for arguments, expected in [
        (["train", "--help"], "python -m initsuite train -m init="),
        (["train", *QUICK], "3 trials"),
        (["train", "-m", "init=he,zero", "workers=2", "max_stack=1", *QUICK], "each in a process of its own"),
        (["results", "show"], "he, zero"),
        (["recommend", "--results", "results"], "Use he. Fastest and most accurate: he."),
    ]:
        done = typed(tmp_path, "initsuite", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout
        assert not done.stderr


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A store with results of two initializers for one network."""
    planter = Planter(Store(tmp_path / "mine"))
    planter.arm("he", [100.0 + 20 * seed for seed in range(6)])
    planter.arm("xavier", [300.0 + 20 * seed for seed in range(6)])
    return str(tmp_path / "mine")


def test_a_question_gets_an_answer(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    question = ["--model", "mlp", "--depth", "3", "--activation", "relu", "--dataset", "digits", "--results", source]
    assert ask.main(question) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith(
        "3 hidden layers were not tried; the nearest depth is 2. At 2: This rests on one context. Use he."
    )
    assert "Over 1 context it has the best mean rank by speed." in shown
    assert "reference" not in shown


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (["--activation", "rleu"], r"recommend: unknown `activation`='rleu'\. Expected .* Did you mean `relu`\?"),
        (["--depth", "0"], r"recommend: bad `depth`=0\. Expected a number of hidden layers, from 1\."),
        (["--results", "nowhere"], "load_results: no results store at .*nowhere.*"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    question: list[str], message: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask.main(["--results", source, *question]) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(message, shown.err.strip())
    assert not shown.out


def test_a_depth_that_is_no_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        ask.main(["--depth", "deep"])
    assert raised.value.code == 2
    assert "argument --depth: invalid int value: 'deep'" in capsys.readouterr().err
