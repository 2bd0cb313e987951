"""A command as a person types it, in a folder that is not the repository."""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = ("torch", "initsuite.config.sweep", "initsuite.train.launch")
"""What takes seconds to import, and is the same for all commands."""
Done = subprocess.CompletedProcess[str]


def typed(folder: Path, module: str, *arguments: str) -> Done:
    """Run `python -m MODULE ARGUMENTS` in a folder, with no W&B account."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HYDRA_"))}
    (folder / "home").mkdir(exist_ok=True)
    return kept | {"HOME": str(folder / "home"), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}


@contextmanager
def forking(folder: Path) -> Iterator[Callable[..., Done]]:
    """`typed` for commands whose start is not what is tested: each in a fork of one process that has imported torch."""
    parent = subprocess.Popen(
        [sys.executable, __file__],
        env=environment(folder) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    asking, answering = parent.stdin, parent.stdout

    def run(folder: Path, module: str, *arguments: str) -> Done:
        asked = {"folder": str(folder), "module": module, "arguments": arguments, "environment": environment(folder)}
        print(json.dumps(asked), file=asking, flush=True)
        return Done(arguments, **json.loads(answering.readline()))

    with parent:
        yield run
        asking.close()


def serve() -> None:
    """A line of JSON for each command in, and one for each result out."""
    for name in IMPORTED:
        import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        command = json.loads(line)
        streams = [open(Path(command["folder"]) / f"home/{name}", "w+") for name in ("stdout", "stderr")]  # noqa: SIM115
        child = os.fork()
        if child == 0:
            _become(command, *streams)
        _, status = os.waitpid(child, 0)
        texts = dict(zip(("stdout", "stderr"), map(_text, streams), strict=True))
        print(json.dumps({"returncode": os.waitstatus_to_exitcode(status), **texts}), file=answers, flush=True)


def _become(command: Mapping[str, Any], stdout: io.TextIOWrapper, stderr: io.TextIOWrapper) -> None:
    """Run a command in this process, and end it as Python would."""
    for target, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, stdout.fileno()), (2, stderr.fileno())):
        os.dup2(source, target)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.path[0], sys.argv = command["folder"], [command["module"], *command["arguments"]]
    code: object = 0
    try:
        runpy.run_module(command["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


if __name__ == "__main__":
    serve()
