"""Which searches are one: those over the same values of the same overrides, wherever and however they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from hydra_plugins.initsuite_search.sweeper import SearchSweeper
from initsuite.config.schema import Running, Schema
from initsuite.config.settings import settings_of
from initsuite.errors import ConfigError

Search = Callable[..., list[Sequence[str]]]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """`search(override, ..., study=None)`: what is trained until two combinations have a score."""
    pytest.importorskip("optuna.storages.journal")

    def run(*overrides: str, study: str | None = None) -> list[Sequence[str]]:
        trained: list[Sequence[str]] = []

        def launch(jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[SimpleNamespace]:
            trained.extend(jobs)
            return [SimpleNamespace(return_value=0.5) for _ in jobs]

        sweeper = SearchSweeper(2, 2, "random", 0, None, study, None)
        tree = {"results_dir": str(tmp_path), "cluster": {"name": "local"}, "hydra": {"sweep": {"dir": str(tmp_path)}}}
        sweeper.config = OmegaConf.create(tree)
        sweeper.launcher = SimpleNamespace(launch=launch)  # type: ignore[assignment]
        sweeper.sweep(list(overrides))
        return trained

    return run


def test_a_search_goes_on_and_others_do_not_count_for_it(search: Search) -> None:
    axes = ["init=he,xavier", "optimizer.lr=interval(0.1,0.5)"]
    assert len(search(*axes, "model.depth=2", "workers=1")) == 2
    elsewhere = ["device=cpu", "tracking.mode=disabled", "+cluster.sbatch.account=ml"]
    assert search(*reversed(axes), "model.depth=2", *elsewhere) == []
    assert len(search("init=he,xavier,lecun", axes[1], "model.depth=2")) == 2
    assert len(search(axes[0], "optimizer.lr=interval(0.1,0.6)", "model.depth=2")) == 2
    assert len(search(*axes, "model.depth=3")) == 2


def test_a_name_is_that_of_one_search(search: Search) -> None:
    assert len(search("init=he,xavier", "workers=1", study="mine")) == 2
    assert search("init=he,xavier", study="mine") == []
    with pytest.raises(
        ConfigError, match=r"`hydra.sweeper.study`='mine'\. Expected the name of a search over the same"
    ):
        search("init=he,xavier,lecun", study="mine")


class Watched(dict):
    """A configuration, and which keys of it were read."""

    def __init__(self, tree: Mapping[str, object]) -> None:
        super().__init__(tree)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> object:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: object = None) -> object:
        self.read.add(key)
        return super().get(key, default)


def test_the_keys_of_where_and_how_are_those_that_the_settings_are_made_of() -> None:
    usual = {"device": "cpu", "max_stack": None, "workers": None, "checkpoint_every_s": 60.0, "on_error": "continue"}
    usual |= {
        "dry_run": False,
        "replan": False,
        "diagnostics": False,
        "experiment_name": None,
        "results_dir": "results",
    }
    watched = Watched({**usual, "tracking": {"mode": "disabled"}, "cluster": {"name": "local"}})
    settings_of(watched)
    assert watched.read == Running.__dataclass_fields__.keys() - {"data_dir"}  # read by the data sets
    assert Schema.__dataclass_fields__.keys() > watched.read
