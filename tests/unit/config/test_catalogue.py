"""The catalogue that Python callers see, against the files it is read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import initsuite
from initsuite.config import catalogue, groups
from initsuite.errors import ConfigError
from initsuite.init import NormalEverywhere

CONF = Path(__file__).parents[3] / "conf" / "init"
FILES = sorted(path for path in CONF.glob("*.yaml") if path.stem != "custom")


@pytest.fixture(scope="module")
def table() -> Any:
    return initsuite.initializers().set_index("name")


@pytest.fixture
def fake_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """`fake_conf(name, text)` puts a file into a configuration folder that stands for ours."""
    (tmp_path / "init").mkdir()
    monkeypatch.setattr(catalogue, "conf_dir", lambda: tmp_path)
    monkeypatch.setattr(groups, "conf_dir", lambda: tmp_path)
    monkeypatch.setattr(catalogue, "shipped_file", groups.shipped_file.__wrapped__)
    return lambda name, text: (tmp_path / "init" / f"{name}.yaml").write_text(text)


def test_it_has_one_row_for_each_file_but_custom(table: Any) -> None:
    assert list(table.index) == [path.stem for path in FILES]
    assert list(table.columns) == ["formula", "class", "options", "requires", "summary", "references"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_row_says_what_its_file_says(path: Path, table: Any) -> None:
    row, tree = table.loc[path.stem], yaml.safe_load(path.read_text())
    assert f"# {row['formula']}".startswith(path.read_text().splitlines()[0])
    assert tree["_target_"] == f"initsuite.init.{row['class']}"
    assert row["options"].keys() == tree.keys() - {"name", "_target_", "requires"}
    assert row["requires"] == (tree.get("requires") or {})
    assert row["summary"].endswith((".", "…"))


def test_a_published_law_has_its_reference(table: Any) -> None:
    assert table.loc["he", "references"] == "He et al. 2015, Delving Deep into Rectifiers (10), (14), (15)."
    assert table.loc["xavier", "references"].startswith("Glorot & Bengio 2010, Understanding the difficulty")
    assert table.loc["orthogonal", "references"].startswith("Saxe, McClelland & Ganguli 2013, Exact solutions to the")


def test_a_wrapped_reference_is_one_line() -> None:
    doc = "Law.\n\nReferences:\n    Xu 2001, A long\n    title. Journal.\n    Yu & Li 2002, Other.\n\nMore: nothing."
    assert catalogue.references_of(doc, "Xu 2001: 1 / n.") == "Xu 2001, A long title. Journal."
    assert catalogue.references_of(doc, "Zu 2003: 1 / n.") == "Xu 2001, A long title. Journal. Yu & Li 2002, Other."


def test_without_a_docstring_the_source_in_the_file_is_the_reference() -> None:
    assert catalogue.references_of("", "Glorot & Bengio 2010: Var = 1.") == "Glorot & Bengio 2010"
    assert catalogue.references_of("", "What torch draws by default: weights.") == ""


def test_options_go_before_those_of_the_file() -> None:
    assert catalogue.build("normal", {"std": 0.5}) == NormalEverywhere(mean=0.0, std=0.5)


def test_a_file_may_require_a_model(fake_conf: Callable[[str, str], int]) -> None:
    text = "# Fix 2019: of a\n# branch.\nname: fix\n_target_: initsuite.init.Zero\nrequires: {model.norm: none}\n"
    fake_conf("fix", text)
    (row,) = initsuite.initializers().to_dict("records")
    assert row["requires"] == {"model.norm": "none"}
    assert row["formula"] == "Fix 2019: of a branch."
    assert row["options"] == {}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown `initializer`='xaviar'.*he.*Did you mean `xavier`\?"):
        catalogue.build("xaviar", {})


def test_the_custom_file_is_none_of_the_catalogue() -> None:
    with pytest.raises(ConfigError, match="Pass an instance of your own class"):
        catalogue.build("custom", {})


def test_an_unknown_option_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"init=he: unknown `option`='gian'. Expected one of: gain, fan, distr"):
        catalogue.build("he", {"gian": 2})


@pytest.mark.parametrize("option", ["name", "_target_", "requires"])
def test_an_option_that_would_change_nothing_is_unknown(option: str) -> None:
    with pytest.raises(ConfigError, match=rf"init=he: unknown `option`='{option}'. Expected one of: gain, fan"):
        catalogue.build("he", {option: "zero"})


def test_a_value_that_the_class_refuses_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown `fan`='fanin'. Expected one of: fan_in"):
        catalogue.build("he", {"fan": "fanin"})


def test_printed_it_is_each_name_with_its_whole_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    catalogue_table = initsuite.initializers()
    printed = str(catalogue_table)
    assert max(map(len, printed.splitlines())) <= 80
    words = " ".join(printed.split())
    for name, formula in zip(catalogue_table["name"], catalogue_table["formula"], strict=True):
        assert f"{name} {' '.join(formula.split())}" in words
    assert "..." not in printed.splitlines()[0]
    assert words.endswith("requires, summary, references.")
    assert type(catalogue_table[["name", "formula"]]) is type(catalogue_table.head()) is pd.DataFrame
