"""The memory that control groups leave, from planted files and from those of this machine."""

import math
from pathlib import Path

import pytest

from initsuite.engine.container import container_free

GIB = 1 << 30
UNLIMITED = "9223372036854771712"
"""What version 1 writes where there is no limit."""


def group(folder: Path, version: int, limit: str, use: int, cache: int = 0) -> None:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(limit)
    (folder / names[1]).write_text(str(use))
    (folder / "memory.stat").write_text(f"anon 7\n{names[2]} {cache}\n")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


def test_the_least_of_the_groups_above_is_left(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/pod/box\n")
    group(tmp_path / "pod", 2, str(4 * GIB), 3 * GIB, cache=GIB // 2)
    group(tmp_path / "pod" / "box", 2, "max", GIB)
    assert container_free(tmp_path, own) == GIB + GIB // 2
    group(tmp_path / "pod" / "box", 2, str(2 * GIB), GIB)
    assert container_free(tmp_path, own) == GIB
    group(tmp_path / "pod" / "box", 2, str(GIB), 2 * GIB)
    assert container_free(tmp_path, own) == 0


def test_version_1_has_a_tree_for_memory(tmp_path: Path, own: Path) -> None:
    own.write_text("5:cpu:/box\n4:blkio,memory:/box\n0::/\n")
    group(tmp_path / "memory" / "box", 1, str(GIB), GIB // 2)
    group(tmp_path / "memory", 1, UNLIMITED, GIB)
    group(tmp_path / "cpu" / "box", 1, "1", 0)
    assert container_free(tmp_path, own) == GIB // 2


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/docker/0123\n")
    group(tmp_path, 2, str(GIB), 0)
    assert container_free(tmp_path, own) == GIB


@pytest.mark.parametrize("lines", ["", "0::/\n", "3:cpu:/a\n"])
def test_without_a_limit_nothing_is_limited(tmp_path: Path, own: Path, lines: str) -> None:
    own.write_text(lines)
    assert container_free(tmp_path, own) == math.inf


def test_on_another_system_nothing_is_known(tmp_path: Path) -> None:
    assert container_free(tmp_path, tmp_path / "nothing") == math.inf
    assert container_free() > 0
