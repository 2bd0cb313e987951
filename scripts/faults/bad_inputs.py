"""Bad arguments on every command and function: what each of them does."""

from __future__ import annotations

import csv
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faults.forks import Done

TABLE = Path(__file__).parent / "bad_inputs.tsv"
LIMIT_S = 600
"""A command of seconds that takes longer hangs, however busy the machine is."""
LIMIT_BYTES = 6 << 30
"""Of address space that a command may take beyond what torch takes."""
SMALL = ("protocol=smoke", "max_steps=2", "eval_every=1", "tracking=disabled")
"""What a launch is given besides, unless its arguments say otherwise."""
READERS = ("report", "results", "sync", "dashboard", "recommend", "load_results")
"""Groups of inputs in which DIR is a store."""
COMMANDS = ("report", "results", "sync", "dashboard", "diagnose", "prescribe", "recommend", "claims", "train")
OUR_ERRORS = re.compile(r"^(initsuite|hydra)\.errors\.\w+: ", re.MULTILINE)
"""What a function of Python may raise: Hydra's errors are about overrides, and documented."""
Runner = Callable[[Sequence[str], Path, Mapping[str, str], float, int], Done]


@dataclass(frozen=True)
class Input:
    """Arguments of a command, or a line of Python.

    Attributes:
        group: what they are about; `SMALL` commands are named here, all else goes to `train`.
        expected: refused or accepted.
    """

    group: str
    arguments: str
    expected: str


@dataclass(frozen=True)
class Outcome:
    """What became of an input: refused, accepted, traceback, hang, memory, or an exit code; what was shown, and how
    long it took."""

    input: Input
    kind: str
    shown: str
    took_s: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.kind == self.input.expected


def inputs(table: Path = TABLE) -> list[Input]:
    with open(table, encoding="utf-8", newline="") as file:
        return [Input(*row) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]


def outcomes(chosen: Sequence[Input], folder: Path, at_once: int, run: Runner) -> Iterator[Outcome]:
    """Try each input in a folder of its own, several at once, in their order; commands that read a store find one.

    Args:
        run: `run_forked`, which is cheap, or `run_alone`.
    """
    trained = folder / "trained"
    train = [sys.executable, "-m", "initsuite.train", "-m", "init=he,xavier", *SMALL, f"results_dir={trained}"]
    subprocess.run(train, check=True, capture_output=True)
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda pair: _tried(pair[1], folder / str(pair[0]), trained, run), enumerate(chosen))


def command_of(chosen: Input, store: Path) -> list[str]:
    """What Python is given for an input, with DIR as a folder that is a store where the command reads one."""
    if chosen.arguments.startswith("import "):
        return ["-c", chosen.arguments.replace(" ; ", "\n").replace("DIR", str(store))]
    words = [word.encode().decode("unicode_escape") if "\\" in word else word for word in _split(chosen.arguments)]
    words = [word.replace("DIR", str(store)) for word in words]
    if words and words[0] in COMMANDS:
        return ["-m", "initsuite", *words]
    keys = {word.lstrip("+~").partition("=")[0] for word in words}
    small = [word for word in SMALL if word.partition("=")[0] not in keys]
    swept = ["-m"] if chosen.group == "sweep" else []
    return ["-m", "initsuite.train", *swept, *small, *words]


def _split(text: str) -> list[str]:
    """The words of a command line, quotes kept: they are Hydra's. One that is empty or begins with a space is one."""
    if not text or text[0].isspace():
        return [text]
    return re.findall(r"""(?:[^\s'"]|'[^']*'|"[^"]*"|['"])+""", text)


def _tried(chosen: Input, folder: Path, trained: Path, run: Runner) -> Outcome:
    folder.mkdir(parents=True)
    if chosen.group in READERS:
        shutil.copytree(trained, folder / "results")
    environment = {"XDG_CACHE_HOME": str(folder.parent / "cache"), "WANDB_MODE": "disabled"}
    begin = time.monotonic()
    try:
        done = run(command_of(chosen, folder / "results"), folder, environment, LIMIT_S, LIMIT_BYTES)
    except ValueError as error:  # a zero byte, which no command line can hold
        return Outcome(chosen, "refused", str(error))
    took_s = time.monotonic() - begin
    if done.code is None:
        return Outcome(chosen, "hang", f"no end after {LIMIT_S} s", took_s)
    return Outcome(chosen, kind_of(done.code, done.stderr), done.stdout[-2000:] + done.stderr[-2000:], took_s)


def run_alone(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float, limit_bytes: int
) -> Done:
    """`run_forked` in an interpreter of its own, as a person starts it."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes)),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Done(None, "", "")
    return Done(done.returncode, done.stdout, done.stderr)


def kind_of(code: int, errors: str) -> str:
    """What an exit code and the error output say."""
    if "Traceback (most recent call last)" in errors:
        if "MemoryError" in errors or "allocate" in errors:
            return "memory"
        return "refused" if OUR_ERRORS.search(errors) and code == 1 else "traceback"
    if code < 0:
        return f"killed by signal {-code}"
    return {0: "accepted", 2: "refused"}.get(code, f"exit code {code}")
