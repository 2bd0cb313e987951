"""The commands of the README, run in order as they stand there, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Fenced code blocks of a language, without the indentation of the list they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", README, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second = blocks("bash")[:2]
    assert (first, second) == ("bash scripts/quickstart.sh\n", "bash scripts/test.sh\n")
    assert all((REPOSITORY / command.split()[1]).is_file() for command in (first, second))


@pytest.mark.slow
def test_the_commands_run(tmp_path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HYDRA_"))}
    environment |= {"HOME": str(tmp_path / "home"), "RESULTS": str(tmp_path / "quickstart")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for text in [*blocks("python"), *blocks("yaml")]:
        if named := re.match(r"# (mypkg/\S+)\n", text):
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for command in "".join(blocks("bash")).splitlines():
        if command == "bash scripts/test.sh":  # it is what runs this test
            continue
        folder = REPOSITORY if command.startswith("bash scripts/") else tmp_path
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    code = next(text for text in blocks("python") if "load_results" in text)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "orthogonal" in done.stdout
    assert "Triangular" in done.stdout
    assert "triangular" in done.stdout


@pytest.mark.parametrize("command", re.findall(r"python -m initsuite\.train (.*)", "".join(blocks("text"))))
def test_the_commands_that_take_minutes_compose(make_job, command) -> None:
    """Each value of each axis builds, on digits so that no file is needed."""
    axes = [override.split("=", 1) for override in command.split() if override != "-m"]
    first = {key: values.split(",")[0] for key, values in axes} | {"dataset": "digits"}
    for key, values in axes:
        for value in values.split(","):
            overrides = first | ({key: value} if key != "dataset" else {})
            assert make_job(*(f"{name}={choice}" for name, choice in overrides.items()))
