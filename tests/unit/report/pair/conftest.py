"""Two stores for every test of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from initsuite.results.store import Store


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return Store(tmp_path / "laptop"), Store(tmp_path / "cluster")
