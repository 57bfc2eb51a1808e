"""An export replaces an earlier one, and no file of anybody else."""

import hashlib
import json

import pytest

from lsts_jax.errors import UserError
from lsts_jax.export.folder import DESCRIPTION, FORMAT, earlier_export, replace_export


def export(folder, **files):
    contents = {f"{name}.bin": text.encode() for name, text in files.items()}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    about = json.dumps({"format": FORMAT, "sha256": sums})
    replace_export(folder, contents | {DESCRIPTION: about.encode()})


def test_only_what_an_export_wrote_is_removed(tmp_path):
    export(tmp_path, a="1", b="1")
    (tmp_path / "mine.bin").write_text("mine")
    export(tmp_path, b="2")
    assert {file.name for file in tmp_path.iterdir()} == {DESCRIPTION, "b.bin", "mine.bin"}
    with pytest.raises(UserError, match=r"mine\.bin: exists but does not belong to an earlier export"):
        export(tmp_path, mine="3")
    assert (tmp_path / "b.bin").read_text() == "2"
    (tmp_path / "mine.bin").unlink()
    (tmp_path / "mine.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"mine\.bin"):
        export(tmp_path, mine="3")


def test_a_file_that_somebody_changed_stays(tmp_path):
    export(tmp_path, a="1")
    (tmp_path / "a.bin").write_text("mine")
    with pytest.raises(UserError, match=r"a\.bin: was changed since"):
        earlier_export(tmp_path)
