"""A flipped byte in a checkpoint is told in a line that names the file, and the older one can be used."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.errors import UserError
from lsts_jax.training.checkpoints import read_variables
from lsts_jax.training.checksums import CHECKSUMS, find_damage, write_checksums
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import TrainState, variables_of

# A file of each kind that Orbax writes, and what the flipped byte is to it.
KINDS = {
    "arrays": "variables/ocdbt.process_0/d/*",
    "index of arrays": "variables/d/*",
    "manifest": "variables/manifest.ocdbt",
    "manifest of a process": "variables/ocdbt.process_0/manifest.ocdbt",
    "metadata": "variables/_METADATA",
    "shardings": "variables/_sharding",
    "metadata of arrays": "variables/array_metadatas/*",
    "arrays of the optimizer": "training/ocdbt.process_0/d/*",
    "checksums": CHECKSUMS,
}


def small_state(step: int) -> TrainState:
    weights = {"w": jnp.arange(600, dtype=jnp.float32) * step, "b": jnp.ones((3, 4)) / 3}
    return TrainState(
        step=jnp.int32(step),
        params=weights,
        batch_stats={"mean": jnp.linspace(0, 1, 50)},
        optimizer=jax.tree.map(jnp.zeros_like, weights),
        key=jax.random.key(3),
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("run")
    with Checkpoints(workdir) as checkpoints:
        for step in (1, 2):
            checkpoints.save(small_state(step))
            checkpoints.save_best(small_state(step), 1 / step)
    return workdir


@pytest.fixture
def workdir(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run"))


def flip(file: Path, at: float = 0.5) -> None:
    data = bytearray(file.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0x10
    file.write_bytes(data)


def largest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_told_and_the_older_one_is_there(workdir, kind):
    file = largest(workdir / "checkpoints" / "2", KINDS[kind])
    flip(file)
    state = small_state(7)
    with Checkpoints(workdir) as checkpoints:
        with pytest.raises(UserError) as told:
            checkpoints.restore(state)
        message = str(told.value)
        assert "damaged" in message and "--checkpoint 1" in message and "\n" not in message
        # Of damaged checksums any file may be the first that does not fit.
        assert str(file if kind != "checksums" else file.parent) in message
    found, step = read_variables(workdir, variables_of(state), "1")
    assert step == 1
    np.testing.assert_array_equal(found["params"]["w"], small_state(1).params["w"])
    shutil.rmtree(workdir / "checkpoints" / "2")  # as the message says
    with Checkpoints(workdir) as checkpoints:
        assert int(checkpoints.restore(state).step) == 1


def test_every_array_file_is_looked_at(workdir):
    files = [path for path in (workdir / "checkpoints" / "2").glob("*/**/*") if path.is_file()]
    assert len(files) > 10
    for file in files:
        if file.stat().st_size:
            flip(file, 1.0)
            assert find_damage(workdir / "checkpoints" / "2", ("variables", "training")) == file
            flip(file, 1.0)
    assert find_damage(workdir / "checkpoints" / "2", ("variables", "training")) is None


def test_only_what_is_asked_for_is_looked_at(workdir):
    """The optimizer's arrays do not matter to whoever detects."""
    flip(largest(workdir / "checkpoints" / "2", "training/ocdbt.process_0/d/*"))
    state = small_state(7)
    found, _ = read_variables(workdir, variables_of(state))
    np.testing.assert_array_equal(found["params"]["w"], small_state(2).params["w"])


@pytest.mark.parametrize("cut", ["removed", "cut short"])
def test_a_copy_that_is_not_whole_is_told(workdir, cut):
    file = largest(workdir / "best" / "1", "variables/ocdbt.process_0/d/*")
    if cut == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=file.name):
        read_variables(workdir, variables_of(small_state(7)), "best")


@pytest.mark.parametrize("damage", [b"", b"{\xff", b"{}", b"[1, 2"])
def test_opening_looks_into_every_step(workdir, damage):
    """A damaged one does not hide the others, or says how to be rid of it."""
    (workdir / "checkpoints" / "2" / "_CHECKPOINT_METADATA").write_bytes(damage)
    with Checkpoints(workdir) as checkpoints:
        assert int(checkpoints.restore(small_state(7)).step) == 2
    file = workdir / "best" / "1" / "metrics" / "metrics"
    file.write_bytes(damage)
    with pytest.raises(UserError, match=f"{file}: damaged.*remove {file.parents[1]}"):
        Checkpoints(workdir)
    shutil.rmtree(file.parents[1])
    with Checkpoints(workdir) as checkpoints:
        assert int(checkpoints.restore(small_state(7)).step) == 2


def test_the_best_is_not_the_last_where_that_was_to_be_removed(workdir):
    """As a kill between naming a checkpoint that is not better and removing it leaves them."""
    best = workdir / "best"
    shutil.copytree(best / "1", best / "9")
    (best / "9" / "metrics" / "metrics").write_text('{"mAP": 0.1}')
    write_checksums(best / "9")
    assert read_variables(workdir, variables_of(small_state(7)), "best")[1] == 1


def test_checkpoints_from_before_there_were_checksums_are_read(workdir):
    (workdir / "checkpoints" / "2" / CHECKSUMS).unlink()
    with Checkpoints(workdir) as checkpoints:
        assert int(checkpoints.restore(small_state(7)).step) == 2


def test_checksums_by_hand(tmp_path):
    (tmp_path / "item").mkdir()
    (tmp_path / "item" / "file").write_bytes(b"123456789")
    write_checksums(tmp_path)
    text = (tmp_path / CHECKSUMS).read_text()
    assert f'"item/file": {0xCBF43926}' in text  # CRC-32's check value
    assert find_damage(tmp_path, ("item",)) is None


def test_what_a_killed_process_left_half_deleted_is_removed_by_the_next_training(workdir):
    """Whether the kill came before or after the file of the scores, and whichever step is the best."""
    remains = [shutil.copytree(workdir / "checkpoints" / "1", workdir / "checkpoints" / "0")]
    (remains[0] / "training" / "_METADATA").unlink()
    for step, lost in (("0", "variables"), ("2", "metrics")):
        remains.append(shutil.copytree(workdir / "best" / "1", workdir / "best" / step))
        shutil.rmtree(remains[-1] / lost)
    with Checkpoints(workdir) as checkpoints:
        assert not any(folder.exists() for folder in remains)
        assert int(checkpoints.restore(small_state(0)).step) == 2
        assert read_variables(workdir, variables_of(small_state(0)), "best")[1] == 1
        assert read_variables(workdir, variables_of(small_state(0)), "1")[1] == 1


def test_a_damaged_checkpoint_is_no_half_deleted_one(workdir):
    """Where there are not too many, a missing file is damage, and nothing is removed."""
    (workdir / "checkpoints" / "2" / "training" / "_METADATA").unlink()
    with (
        Checkpoints(workdir) as checkpoints,
        pytest.raises(UserError, match="_METADATA: damaged"),
    ):
        checkpoints.restore(small_state(0))
    assert (workdir / "checkpoints" / "2").exists()
