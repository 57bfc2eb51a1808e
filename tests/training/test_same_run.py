"""A command that would turn a run into another one is refused, and changes nothing."""

from dataclasses import replace

import pytest

from lsts_jax.commands import train as script
from lsts_jax.config import Config
from lsts_jax.config_checks import leaves
from lsts_jax.config_io import load_saved_config, save_config
from lsts_jax.errors import UserError
from lsts_jax.training import loop
from lsts_jax.training.interruption import only_process
from lsts_jax.training.same_run import MAY_CHANGE, OF_THE_WEIGHTS, require_same_run
from tests.tiny import tiny_config
from tests.training.test_run import Batches, evaluate

CONFIG = tiny_config()


def a_run(workdir, step=52):
    (workdir / "checkpoints" / str(step)).mkdir(parents=True)
    save_config(CONFIG, workdir / "config.json")


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def with_data(**fields):
    return replace(CONFIG, data=replace(CONFIG.data, **fields))


OTHERS = [
    (
        with_data(class_names=("square", "disc", "star")),
        r"config\.data\.class_names\[0\] = 'disc', .* 'square'",
    ),
    (with_data(class_names=("disc",)), r"3 values in config\.data\.class_names, this command 1"),
    (tiny_config(feature_channels=24), r"config\.model\.feature_channels = 16, this command 24"),
    (replace(CONFIG, seed=1), r"config\.seed = 0, this command 1; .*train\.pretrained"),
    (replace(CONFIG, train=replace(CONFIG.train, batch_size=4)), r"config\.train\.batch_size = 2"),
]


@pytest.mark.parametrize("config, told", OTHERS)
def test_another_meaning_is_refused(tmp_path, config, told):
    a_run(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=told):
        loop.train(config, tmp_path, Batches(), evaluate)
    assert contents(tmp_path) == before


def test_what_may_change(tmp_path):
    a_run(tmp_path)
    optimizer = replace(CONFIG.optimizer, learning_rate=1.0, drop_epochs=(3.0,))
    train = replace(CONFIG.train, epochs=9.0, evaluate_every=1)
    require_same_run(replace(with_data(root="moved", workers=1), optimizer=optimizer, train=train), tmp_path)


def test_weights_that_were_brought_are_trained_as_one_likes(tmp_path):
    """At step 0 no batch was seen: only what the weights mean is kept."""
    a_run(tmp_path, step=0)
    require_same_run(replace(CONFIG, seed=1), tmp_path)
    with pytest.raises(UserError, match="class_names"):
        require_same_run(OTHERS[0][0], tmp_path)


def test_a_folder_without_a_run_is_free(tmp_path):
    save_config(CONFIG, tmp_path / "config.json")
    require_same_run(replace(CONFIG, seed=1), tmp_path)


def test_the_names_are_those_of_fields():
    names = [f".{name}." for name, _ in leaves(Config())]
    for group in MAY_CHANGE + OF_THE_WEIGHTS:
        assert any(name.startswith(f".{group}.") for name in names), group


def test_a_restore_that_fails_leaves_the_config(tmp_path, monkeypatch):
    def damaged(*_):
        raise UserError("damaged")

    a_run(tmp_path)
    monkeypatch.setattr(loop, "restore_or_init", damaged)
    with pytest.raises(UserError, match="damaged"):
        loop.train(replace(CONFIG, train=replace(CONFIG.train, epochs=9.0)), tmp_path, Batches(), evaluate)
    assert load_saved_config(tmp_path / "config.json") == CONFIG


def test_a_second_process_writes_nothing(tmp_path):
    a_run(tmp_path)
    with only_process(tmp_path):
        before = contents(tmp_path)
        command = ["--config", "configs/tiny.py", "--workdir", str(tmp_path), "--config.seed", "3"]
        with pytest.raises(UserError, match="another process is using this folder"):
            script.run(command)
        assert contents(tmp_path) == before
