"""The import table of the design, walked."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "initsuite"
PLUGINS = PACKAGE.parent / "hydra_plugins"
LEFT = ("errors", "spec", "rng", "gains")
"""Each may import those before it."""
BASE = set(LEFT)
ROOMS = {"init", "models", "data", "optim", "activations", "losses", "engine", "tuning", "sinks", "groups", "settings"}
CONFIG = BASE | ROOMS | {"schedules", "yardstick"}
COMPOSERS = {"config", "groups", "composer", "composing", "resolving", "sweep"}
DOOR = {"app", "config", "groups", "store", "report", "sinks", "errors", "spec"}
MAY_IMPORT = {
    "__init__": {"app", "catalogue", "initialize", "reference", "sources"},
    **{name: set(LEFT[:index]) for index, name in enumerate(LEFT)},
    "activations": BASE,
    "guideline": set(),
    "yardstick": {"errors"},
    "edge_of_chaos": BASE,
    "init": BASE | {"guideline", "edge_of_chaos"},
    "models": BASE | {"activations", "data"},
    "data": BASE,
    "optim": BASE,
    "schedules": {"spec", "errors"},
    "losses": BASE | {"data"},
    "tuning": {"spec", "errors", "yardstick"},
    "engine": BASE - {"gains"} | {"optim", "schedules", "data", "yardstick"},
    "stats": set(),
    "schema": set(),
    "store": {"spec", "errors", "schema"},
    "sources": {"sinks", "spec", "store"},
    "report": {
        "groups",
        "provenance",
        "sources",
        "store",
        "stats",
        "errors",
        "spec",
        "tuning",
        "guideline",
        "yardstick",
    },
    "reference": {"errors", "report", "sources", "stats", "store"},
    "sinks": {"spec", "errors"},
    "groups": {"errors", "trees"},
    "config": CONFIG,
    "settings": {"errors", "groups", "sinks"},
    "catalogue": {"errors", "groups", "trees"},
    "account": {"errors", "gains", "init", "spec"},
    "inplace": {"errors", "spec"},
    "initialize": {"account", "catalogue", "errors", "init", "inplace", "models", "spec"},
    "trees": set(),
    "composer": {"trees"},
    "composing": {"composer", "trees"},
    "resolving": {"composer", "composing", "trees"},
    "sweep": {"composer", "composing", "resolving", "config", "errors", "groups"},
    "progress": {"spec", "yardstick"},
    "provenance": set(),
    "claims": {"errors"},
    "parts": {"claims", "errors", "schema", "spec", "store"},
    "results": {"provenance", "errors", "parts", "spec", "store"},
    "plans": {"spec", "store"},
    "speeds": {"engine", "spec"},
    "executor": {"engine", "plans", "provenance", "spec"},
    "pool": {"engine", "executor"},
    "planning": {"config", "engine", "executor", "plans", "pool", "spec", "speeds"},
    "stages": {"config", "engine", "planning", "spec", "tuning"},
    "recording": {"protocol"} | {"config", "engine", "executor", "plans", "progress", "provenance", "spec", "store"},
    "runner": {"claims", "engine", "executor", "planning", "pool", "recording", "spec", "store"},
    "dry_run": {"config", "engine", "planning", "plans", "spec", "stages", "store"},
    "app": {
        *("config", "store", "sinks", "progress", "spec", "errors"),
        *("claims", "plans", "executor", "pool", "planning", "stages", "recording", "runner", "dry_run", "sweep"),
    },
    "train": DOOR,
    "sync": DOOR | {"claims"},
    "dashboard": DOOR | {"sources"},
    "targets": DOOR | {"provenance", "yardstick"},
    "benchmark": DOOR | {"provenance", "engine", "data"},
    "hydra_plugins": DOOR | {"composer", "composing", "resolving", "sweep"},
}
"""Where the modules of the table live now."""
MOVED: dict[str, str] = {
    "guideline": "protocol",
    "yardstick": "protocol",
    "tuning": "protocol",
    "schedules": "optim",
    "losses": "data",
    "schema": "results",
    "store": "results",
    "sources": "results",
    "parts": "results",
    "claims": "results",
    "sinks": "tracking",
    "groups": "config",
    "settings": "config",
    "sweep": "config",
    "catalogue": "config",
    "trees": "config",
    "composer": "config",
    "composing": "config",
    "resolving": "config",
    "app": "train",
    "stages": "train",
    "runner": "train",
    "executor": "train",
    "pool": "train",
    "recording": "train",
    "progress": "train",
    "planning": "train",
    "speeds": "train",
    "plans": "train",
    "dry_run": "train",
    "gains": "init",
    "edge_of_chaos": "init",
    "initialize": "apply",
    "inplace": "apply",
    "account": "apply",
    "reference": "report",
}
"""Where the modules of the table live now."""
ONLY = {
    "omegaconf": COMPOSERS | {"catalogue", "train", "hydra_plugins", "benchmark"},
    "hydra": COMPOSERS | {"train", "targets", "hydra_plugins", "benchmark"},
    "wandb": {"sinks", "benchmark"},
    "wandb_workspaces": {"sinks"},
    "rich": {"progress", "report", "dry_run", "sync", "results"},
    "sklearn": {"data"},
    "torchvision": {"data", "benchmark"},
    "matplotlib": {"report"},
}
"""Libraries that only some rooms know."""


def moved(rooms: set[str]) -> set[str]:
    return rooms | {MOVED[room] for room in rooms & MOVED.keys()}


def table() -> dict[str, set[str]]:
    """The table, with the rows of what has moved into one room put together."""
    found: dict[str, set[str]] = {}
    for room, allowed in MAY_IMPORT.items():
        found.setdefault(MOVED.get(room, room), set()).update(moved(allowed))
    return found


def room_of(path: Path) -> str:
    if path.is_relative_to(PLUGINS):
        return "hydra_plugins"
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(source: str) -> set[str]:
    """Dotted names of all modules that a source imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def offences(room: str, source: str) -> list[str]:
    names = imports_of(source)
    ours = {name.split(".")[1] for name in names if name.startswith("initsuite.")}
    libraries = {name.split(".")[0] for name in names}
    bad = ours - table()[room] - {room}
    return sorted(bad) + sorted(name for name in libraries & ONLY.keys() if room not in moved(ONLY[name]))


@pytest.mark.parametrize("path", sorted([*PACKAGE.rglob("*.py"), *PLUGINS.rglob("*.py")]), ids=lambda path: path.stem)
def test_imports_follow_the_map(path: Path) -> None:
    assert offences(room_of(path), path.read_text()) == []


def test_a_planted_offence_is_found() -> None:
    assert offences("engine", "def f():\n    import initsuite.results.store\n    import wandb") == ["results", "wandb"]
    assert offences("stats", "import initsuite.spec") == ["spec"]


@pytest.mark.parametrize(
    "module",
    [
        *("initsuite", "initsuite.config.catalogue", "initsuite.results.store", "initsuite.results.sources"),
        "initsuite.stats",
        *("initsuite.report.__main__", "initsuite.dashboard", "initsuite.tracking.read_offline"),
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
