"""Files that are there whole or not at all, where somebody else may write too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from storage_admin.atomic import part_of, write_whole
from storage_admin.errors import NotWrittenToFile
from storage_admin.sessions.archive import Archive
from storage_admin.sessions.growing import GrowingArchive


def archived(path: Path) -> None:
    with Archive(path):
        pytest.fail("a file of somebody else was opened")


def grown(path: Path) -> None:
    with GrowingArchive(path):
        pytest.fail("a file of somebody else was opened")


@pytest.mark.parametrize("write", [lambda path: write_whole(path, "new"), archived, grown])
def test_a_link_that_somebody_laid_under_the_name_of_a_part_is_not_followed(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_text("not mine")
    for part in (part_of(path), tmp_path / "file.partial"):
        part.symlink_to(other)
    with pytest.raises((OSError, NotWrittenToFile), match="symbolic links"):
        write(path)
    assert other.read_text() == "not mine"
    assert not path.exists()


def test_a_name_that_is_taken_meanwhile_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    with pytest.raises(FileExistsError):
        write_whole(path, "second", replace=False)
    assert path.read_text() == "first"
    write_whole(path, "third")
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    path.chmod(mode)
    write_whole(path, "second")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("second", mode)
