import errno
import os

import pytest

from lsts_jax.errors import UserError
from lsts_jax.files import write_whole


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    return path


def test_the_name_shows_the_old_file_until_the_new_one_is_whole(file):
    with write_whole(file) as part:
        part.write_text("ne")
        assert file.read_text() == "old"
        part.write_text("new")
    assert file.read_text() == "new"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("failure", [ValueError("damaged"), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file_and_nothing_else(file, failure):
    with pytest.raises(type(failure)), write_whole(file) as part:
        part.write_text("half")
        raise failure
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_that_names_the_file(file, monkeypatch, call):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r"scores\.json: No space left on device"), write_whole(file) as part:
        part.write_text("new")
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("there", ["nothing", "a file for a folder", "a folder"])
def test_what_cannot_be_written_is_one_line(tmp_path, there):
    path = tmp_path / "run" / "config.json"
    if there == "a folder":
        path.mkdir(parents=True)
    elif there == "a file for a folder":
        path.parent.touch()
    with pytest.raises(UserError, match=r"run/config\.json: "), write_whole(path) as part:
        part.write_text("new")


def test_two_writers_at_once_do_not_mix(file):
    with write_whole(file) as first:
        with write_whole(file) as second:
            first.write_text("first")
            second.write_text("second")
        assert file.read_text() == "second"
    assert file.read_text() == "first"


def test_a_link_stays_a_link(file, tmp_path):
    link = tmp_path / "elsewhere" / "latest.json"
    link.parent.mkdir()
    link.symlink_to(file)
    with write_whole(link) as part:
        part.write_text("new")
    assert link.is_symlink() and file.read_text() == "new"


def test_permissions_are_those_of_the_old_file_or_of_any_new_one(file, tmp_path):
    file.chmod(0o604)
    new, plain = tmp_path / "new", tmp_path / "plain"
    plain.touch()
    for path in (file, new):
        with write_whole(path) as part:
            part.touch()
    assert file.stat().st_mode & 0o777 == 0o604
    assert new.stat().st_mode == plain.stat().st_mode
