"""The import rule of docs/architecture.md, walked; and the shape of the house."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "initsuite"
PLUGINS = PACKAGE.parent / "hydra_plugins"
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = sorted([*PACKAGE.rglob("*.py"), *PLUGINS.rglob("*.py")])
MOST_ROWS, MOST_MODULES, MOST_ROOMS = 22, 11, 15
"""The fourteenth room is `signal`: measuring a model belongs neither to its laws nor to its training. The fifteenth is
`literature`: a claim is about any part of the suite, and none of them is about claims."""


def table(heading: str) -> list[tuple[list[str], str]]:
    """The rows of a table of the page: the names in the first column, and the text of the second."""
    lines = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in lines]
    return [(re.findall(r"`([\w.]+)`", first), second) for first, second in rows]


def rule() -> dict[str, dict[str, str]]:
    """By room: what it may import, and the only file that may, or ""."""
    found: dict[str, dict[str, str]] = {}
    (base, _), *rows = table("room")
    for index, name in enumerate(base):
        found[name] = dict.fromkeys(base[:index], "")
    for rooms, text in rows:
        allowed = dict(re.findall(r"`([\w.]+)`(?: \(in `(\w+)`\))?", text)) | dict.fromkeys(base, "")
        found |= dict.fromkeys(rooms, allowed)
    return found


RULE = rule()
LIBRARIES = {name: re.findall(r"`(\w+)`", rooms) for names, rooms in table("library") for name in names}


def room_of(path: Path) -> str:
    if path.is_relative_to(PLUGINS):
        return "hydra_plugins"
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(source: str) -> Iterator[str]:
    """Dotted names of all modules that a source imports, wherever in the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offences(room: str, source: str, file: str = "file") -> list[str]:
    """What a source imports against the rule."""
    bad = set()
    for name in imports_of(source):
        ours, _, inner = name.partition(".")
        if ours != "initsuite":
            if room not in LIBRARIES.get(ours, [room]):
                bad.add(ours)
            continue
        allowed = [key for key, only in RULE[room].items() if only in ("", file) and f"{inner}.".startswith(f"{key}.")]
        if inner.partition(".")[0] != room and not allowed:
            bad.add(inner)
    return sorted(bad)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_imports_follow_the_rule(path: Path) -> None:
    assert offences(room_of(path), path.read_text(encoding="utf-8"), path.stem) == []


def test_planted_offences_are_found() -> None:
    source = "def f():\n    from initsuite.results.store import Store\n    import wandb"
    assert offences("engine", source) == ["results.store.Store", "wandb"]
    assert offences("stats", "import torch") == ["torch"]
    assert offences("spec", "from initsuite import rng") == ["rng"]
    assert offences("init", "from initsuite.models.mlp import Mlp") == ["models.mlp.Mlp"]
    assert offences("init", "from initsuite.models.describe.layers import x") == []
    assert offences("results", "from initsuite.tracking.labels import x", "store") == ["tracking.labels.x"]
    assert offences("results", "from initsuite.tracking.labels import x", "sources") == []


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    assert {room_of(path) for path in FILES} == RULE.keys()
    assert len(table("room")) <= MOST_ROWS


def test_the_rule_has_no_circle() -> None:
    above = {room: {key.partition(".")[0] for key in allowed} for room, allowed in RULE.items()}
    while ready := [room for room, below in above.items() if not below & above.keys()]:
        for room in ready:
            del above[room]
    assert above == {}


def test_the_top_level_stays_a_table_of_contents() -> None:
    entries = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len([path for path in entries if path.is_file()]) <= MOST_MODULES
    assert len([path for path in entries if path.is_dir()]) <= MOST_ROOMS


def test_no_file_of_the_package_is_ignored() -> None:
    """What git ignores is left out of the wheel, and ruff does not check it."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout")
    paths = [path for folder in ("src", "conf", "tests") for path in (REPOSITORY / folder).rglob("*.*")]
    listed = "\n".join(str(path) for path in paths if path.suffix in (".py", ".yaml", ".parquet"))
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    assert subprocess.run(command, input=listed, capture_output=True, text=True, cwd=REPOSITORY).stdout == ""


def test_the_page_names_every_room() -> None:
    tree = PAGE.split("## The way of a trial")[0]
    rooms = {path.parent.name for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE}
    loose = {path.name for path in PACKAGE.glob("*.py")}
    assert [name for name in [*(f"{room}/" for room in rooms), *loose] if name not in tree] == []


def test_every_file_that_the_page_names_exists() -> None:
    way = PAGE.split("## The way of a trial")[1].split("## The import rule")[0]
    named = [name for name in re.findall(r"`([\w/]+(?:\.py|/))`", way) if "/" in name]
    assert len(named) > 10
    assert [name for name in named if not (PACKAGE / name).exists()] == []


def test_the_unit_tests_mirror_the_package() -> None:
    folders = {path.parent for path in (REPOSITORY / "tests" / "unit").rglob("test_*.py")}
    unit = REPOSITORY / "tests" / "unit"
    assert [str(folder) for folder in folders if not (PACKAGE / folder.relative_to(unit)).is_dir()] == []


@pytest.mark.parametrize(
    "module",
    [
        "initsuite",
        "initsuite.config.catalogue",
        "initsuite.results.store",
        "initsuite.results.sources",
        "initsuite.stats",
        "initsuite.report.__main__",
        "initsuite.report.ask",
        "initsuite.literature.__main__",
        "initsuite.dashboard",
        "initsuite.tracking.read_offline",
    ],
)
def test_readers_of_results_never_import_torch(module: str) -> None:
    unwanted = {"torch", "hydra", "wandb"}
    code = f"import sys, {module}; initsuite.load_results; sys.exit(bool({unwanted} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("plugin", ["initsuite_launcher.launcher", "initsuite_sweeper.sweeper"])
def test_hydra_finds_light_plugins(plugin: str) -> None:
    code = f"import sys, hydra_plugins.{plugin}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
