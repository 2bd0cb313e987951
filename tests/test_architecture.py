"""The import table of the design, walked."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "initsuite"
PLUGIN = PACKAGE.parent / "hydra_plugins" / "initsuite_launcher"
LEFT = ("errors", "spec", "rng", "gains")
"""Each may import those before it."""
BASE = set(LEFT)
CONFIG = BASE | {"init", "models", "data", "optim", "activations", "losses", "engine", "tuning", "sinks", "groups"}
DOOR = {"app", "config", "groups", "store", "report", "sinks", "errors", "spec"}
MAY_IMPORT = {
    "__init__": {"store"},
    **{name: set(LEFT[:index]) for index, name in enumerate(LEFT)},
    "activations": BASE,
    "guideline": set(),
    "init": BASE | {"guideline"},
    "models": BASE | {"activations"},
    "data": BASE,
    "optim": BASE,
    "losses": BASE,
    "tuning": {"spec", "errors"},
    "engine": BASE - {"gains"} | {"optim", "data"},
    "stats": set(),
    "store": {"spec", "errors"},
    "report": {"store", "stats", "errors", "spec", "tuning", "guideline"},
    "sinks": {"spec", "errors"},
    "groups": {"errors"},
    "config": CONFIG,
    "progress": {"spec"},
    "provenance": set(),
    "app": {"config", "engine", "store", "sinks", "progress", "provenance", "spec", "errors", "tuning"},
    "train": DOOR,
    "targets": DOOR | {"provenance"},
    "hydra_plugins": DOOR,
}
ONLY = {
    "omegaconf": {"config", "groups", "train", "hydra_plugins"},
    "hydra": {"config", "groups", "train", "targets", "hydra_plugins"},
    "wandb": {"sinks"},
    "rich": {"progress", "report"},
    "sklearn": {"data"},
    "torchvision": {"data"},
    "matplotlib": {"report"},
}
"""Libraries that only some rooms know."""


def room_of(path: Path) -> str:
    if path.is_relative_to(PLUGIN):
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
    bad = ours - MAY_IMPORT[room] - {room}
    return sorted(bad) + sorted(name for name in libraries & ONLY.keys() if room not in ONLY[name])


@pytest.mark.parametrize("path", sorted([*PACKAGE.rglob("*.py"), *PLUGIN.rglob("*.py")]), ids=lambda path: path.stem)
def test_imports_follow_the_map(path: Path) -> None:
    assert offences(room_of(path), path.read_text()) == []


def test_a_planted_offence_is_found() -> None:
    assert offences("engine", "def f():\n    from initsuite.store import Store\n    import wandb") == ["store", "wandb"]
    assert offences("stats", "import initsuite.spec") == ["spec"]


@pytest.mark.parametrize("module", ["initsuite", "initsuite.store", "initsuite.report.__main__", "initsuite.stats"])
def test_readers_of_results_never_import_torch(module: str) -> None:
    code = f"import sys, {module}; initsuite.load_results; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_hydra_finds_a_light_launcher() -> None:
    code = "import sys, hydra_plugins.initsuite_launcher.launcher; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
