"""Files that are whole or not at all, whatever interrupts their writing."""

from pathlib import Path

import pytest

from initsuite.errors import StoreError
from initsuite.files import cache_root, folder_for, lasting, own_place, read_json, write_whole, writing


def half(error: BaseException):
    """Writes the first half of a file, then raises."""

    def write(path: Path) -> None:
        path.write_text("new, but only ha")
        raise error

    return write


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc", "a\\b", "C:", "a\0", "a\n"])
def test_a_name_from_elsewhere_stays_in_its_folder(tmp_path, name: str) -> None:
    with pytest.raises(StoreError, match="bad `name`="):
        folder_for(tmp_path, "host", name)
    assert folder_for(tmp_path, "host-1", "my.entity") == tmp_path / "host-1" / "my.entity"


def test_no_planted_link_is_followed(tmp_path) -> None:
    inside, outside = tmp_path / "report", tmp_path / "home"
    inside.mkdir()
    outside.mkdir()
    (outside / "mine.txt").write_text("kept")
    (inside / "page.html").symlink_to(outside / "mine.txt")
    (inside / "tables").symlink_to(outside)
    own_place(inside / "page.html", inside).write_text("new")
    assert (outside / "mine.txt").read_text() == "kept"
    with pytest.raises(StoreError, match=r"it is, or lies in, a link that leads out, to .*home. Expected a folder"):
        own_place(inside / "tables" / "a.csv", inside)
    linked = tmp_path / "linked"
    linked.symlink_to(inside)  # a folder of the user's own choice may be one
    assert own_place(linked / "other.txt", linked) == linked / "other.txt"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_log_on_a_full_disk_drops_lines_and_goes_on(tmp_path, capfd) -> None:
    with open("/dev/full", "w") as full:
        log = lasting(full)
        for _ in range(10_000):  # more than any buffer holds
            print("a line", file=log)
        log.flush()
    with open(tmp_path / "log", "w", encoding="utf-8") as file:
        print("über", file=lasting(file), flush=True)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "über\n"


def test_a_file_is_written_and_its_folder_made(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "a.txt"
    write_whole(target, lambda path: path.write_text("new"))
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_missing_folder_above_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"store: cannot write `.*a.txt`: No such file"):
        write_whole(tmp_path / "unmounted" / "trials" / "a.txt", lambda path: path.write_text("new"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (OSError(28, "No space left on device"), StoreError),
        (RuntimeError("torch's word for it"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_failure_in_the_middle_of_a_write_leaves_the_old_file_whole(
    tmp_path: Path, raised: BaseException, seen: type[BaseException], is_there: bool
) -> None:
    target = tmp_path / "a.txt"
    if is_there:
        target.write_text("old")
    with pytest.raises(seen):
        write_whole(target, half(raised))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({"a.txt": "old"} if is_there else {})


def test_while_it_is_written_the_old_file_is_seen(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("1")

    def write(path: Path) -> None:
        path.write_text("2")
        assert target.read_text() == "1"
        assert list(tmp_path.glob("*.json")) == [target]
        assert list(tmp_path.glob(".a.json.*.tmp")) == [path]  # which a checkpoint clears after a killed process

    write_whole(target, write)
    assert target.read_text() == "2"


def test_the_reason_and_the_remedy_are_named() -> None:
    message = r"leases: cannot write `a`: full\. Expected room and permission"
    with pytest.raises(StoreError, match=message), writing("leases", Path("a")):
        raise OSError(28, "full")


@pytest.mark.parametrize("content", [None, b"", b'{"half":', b"\xff\xfe\x00"])
def test_json_that_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") is None


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": "é"}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": "é"}


def test_the_cache_is_below_the_home_folder_unless_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_root() == Path.home() / ".cache/initsuite"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_root() == Path.home() / ".cache/initsuite"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "initsuite"
