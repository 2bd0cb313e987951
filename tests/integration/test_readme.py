"""The README, the pages of docs/ and the examples: what they tell to run is run, what they link to is there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import initsuite

REPOSITORY = Path(__file__).parents[2]
CONTENTS = re.findall(r"^[\w-]+$", (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "docs" / "index.md",
    *(path for name in CONTENTS if (path := REPOSITORY / "docs" / f"{name}.md").is_file()),
]
"""In the order of the table of contents: what one page trains is what a later one looks at."""
EXAMPLES = sorted(path.parent for path in (REPOSITORY / "docs" / "examples").glob("*/README.md"))
LINKING = [*PAGES, REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("conf/*/*.md"), *REPOSITORY.glob("docs/*/*/*.md")]
TOP = "conf|docs|notebooks|scripts|src|tests"


def blocks(language: str, *pages: Path) -> list[str]:
    """Fenced code blocks of a language, without the indentation of the list they stand in."""
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def run(command: str, folder: Path, home: Path) -> str:
    """What a command prints, run as it is written; `initsuite` as `python -m initsuite`, which is the same and needs no
    installed script."""
    command = re.sub(r"^initsuite\b", "python -m initsuite", command)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "HYDRA_"))}
    environment |= {"HOME": str(home), "RESULTS": str(home / "quickstart")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def missing_files(page: Path, text: str) -> list[str]:
    """Relative links of a page, and paths of the repository in backticks, that lead to no file."""
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not re.match(r"\w+:", link)]
    paths = [path for path in re.findall(rf"`((?:{TOP})/[\w./-]+)`", text) if "NAME" not in path]
    return [name for name in links if not (page.parent / name).exists()] + [
        name for name in paths if not (REPOSITORY / name).exists()
    ]


def test_every_page_of_docs_is_in_the_table_of_contents() -> None:
    assert set(PAGES[1:]) == set((REPOSITORY / "docs").glob("*.md"))


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second = blocks("bash", *PAGES)[:2]
    assert (first, second) == ("bash scripts/quickstart.sh\n", "bash scripts/test.sh\n")
    assert all((REPOSITORY / command.split()[1]).is_file() for command in (first, second))


@pytest.mark.slow
def test_the_commands_and_the_python_of_the_pages_run(tmp_path: Path) -> None:
    """Each once, in order, in one fresh folder."""
    home, folder = tmp_path / "home", tmp_path / "work"
    folder.mkdir()
    for command in dict.fromkeys("".join(blocks("bash", *PAGES)).splitlines()):
        if command != "bash scripts/test.sh":  # it is what runs this test
            run(command, REPOSITORY if command.startswith("bash scripts/") else folder, home)
    for code in dict.fromkeys(blocks("python", *PAGES)):
        (folder / "block.py").write_text(code)
        printed = run("python block.py", folder, home)
        assert printed
        assert "load_results" not in code or "orthogonal" in printed


@pytest.mark.slow
def test_the_table_of_initialize_fits_a_terminal_and_shows_the_gain(tmp_path: Path) -> None:
    (code,) = (block for block in blocks("python", REPOSITORY / "docs" / "own.md") if "realised_std" in block)
    (tmp_path / "block.py").write_text(code)
    heading, *rows = run("python block.py", tmp_path, tmp_path).rstrip().splitlines()
    assert {"tensor", "fan_in", "nonlinearity", "gain", "expected_std", "realised_std"} == set(heading.split())
    assert len(rows) == 4
    assert "1.414214" in rows[0]
    assert max(map(len, [heading, *rows])) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_commands_of_an_example_run(example: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(example, tmp_path / "copy", ignore=shutil.ignore_patterns("results", "__pycache__"))
    commands = "".join(blocks("bash", folder / "README.md")).splitlines()
    printed = [run(command, folder, tmp_path / "home") for command in commands]
    if example.name == "own_initializer":
        assert "Triangular(gain=1.4)" in printed[-1]
        assert {"he", "torch_default", "triangular"} <= set(initsuite.load_results(folder / "results").trials.init)


def long_commands() -> list[str]:
    """What stands behind `initsuite train` in blocks of text, without comments."""
    text = "".join(blocks("text", *PAGES)).replace("\\\n", " ")
    return [found.partition(" # ")[0].strip(' "') for found in re.findall(r"initsuite train (.*)", text)]


@pytest.mark.parametrize("command", long_commands())
def test_the_commands_that_take_minutes_compose(make_job, command) -> None:
    """Each value of each axis builds, on digits so that no file is needed; of an interval its lower end."""
    given = [re.sub(r"tag\(.*interval\(([^,]*),.*", r"\1", override) for override in shlex.split(command)]
    given = [override for override in given if override != "-m"]
    axes = [override.split("=", 1) for override in given if not override.startswith("hydra/")]
    first = {key: values if "{" in values else values.split(",")[0] for key, values in axes} | {"dataset": "digits"}
    for key, values in axes:
        for value in [values] if "{" in values else values.split(","):
            overrides = first | ({key: value} if key != "dataset" else {})
            assert make_job(*(f"{name}={choice}" for name, choice in overrides.items()))


@pytest.mark.parametrize("page", LINKING, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_a_page_links_to_and_names_is_there(page: Path) -> None:
    assert missing_files(page, page.read_text(encoding="utf-8")) == []


def test_a_planted_dead_link_is_found() -> None:
    text = "[a](docs/own.md) [b](docs/ours.md) ![c](gone.png) [d](https://x.org/y) `conf/init` `conf/inits`"
    assert missing_files(REPOSITORY / "README.md", text) == ["docs/ours.md", "gone.png", "conf/inits"]
