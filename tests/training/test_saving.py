"""Saving, and reading while somebody saves: what is not replaced yet is whole, and the best is never lost."""

import shutil
from types import SimpleNamespace

import pytest

from lsts_jax.errors import UserError
from lsts_jax.training import checkpoints as reading
from lsts_jax.training import saving
from lsts_jax.training.checkpoints import BEST, LATEST, best_step, read_variables, steps_in
from lsts_jax.training.checksums import CHECKSUMS
from lsts_jax.training.saving import REPLACED, UNFINISHED, Checkpoints, set_aside
from lsts_jax.training.state import variables_of
from tests.faults.test_damage import small_state
from tests.training.test_run import LateSaver


def first_weight(workdir, which="best"):
    """Which step's `small_state` is read, from its weights."""
    variables, _ = read_variables(workdir, variables_of(small_state(0)), which)
    return float(variables["params"]["w"][1])


def test_the_best_is_the_highest_score_whenever_it_was_reached(tmp_path):
    """Steps at and below the best one come again where a run goes back and on with a lower rate."""
    tries = [(20, 0.5, 20), (30, 0.4, 20), (10, 0.6, 10), (10, 0.6, 10), (40, 0.6, 40), (40, 0.2, 40)]
    with Checkpoints(tmp_path) as checkpoints:
        for step, score, best in tries:
            checkpoints.save_best(small_state(step), score)
            assert best_step(tmp_path) == best
        checkpoints.save_best(small_state(4)._replace(step=small_state(40).step), 0.9)  # of another course
        assert (best_step(tmp_path), first_weight(tmp_path)) == (40, 4.0)
    assert [path.name for path in (tmp_path / BEST).iterdir()] == ["40"]


def test_the_best_of_a_step_that_was_to_be_replaced_comes_back(tmp_path):
    """A kill after the old one is set aside and before the new one has its name."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(small_state(20), 0.5)
    set_aside(tmp_path / BEST / "20")
    (tmp_path / BEST / f"20{UNFINISHED}").mkdir()
    with Checkpoints(tmp_path):
        assert best_step(tmp_path) == 20
    assert [path.name for path in (tmp_path / BEST).iterdir()] == ["20"]
    assert first_weight(tmp_path) == 20.0


def test_a_step_that_is_being_written_is_not_written_again(tmp_path, monkeypatch):
    """As an evaluation asks right after the save that is due: the first was renamed, and a kill lost it."""
    monkeypatch.setattr(saving, "CheckedSaver", LateSaver)
    monkeypatch.setattr(saving, "set_aside", lambda checkpoint: pytest.fail(f"{checkpoint} is written twice"))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(small_state(4))
        checkpoints.save(small_state(4))
    assert steps_in(tmp_path / LATEST) == [4]


def test_a_checkpoint_that_was_set_aside_comes_back_where_too_few_are_left(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(small_state(step))
    set_aside(tmp_path / LATEST / "2")
    with Checkpoints(tmp_path) as checkpoints:
        assert steps_in(tmp_path / LATEST) == [1, 2]
        assert first_weight(tmp_path, "latest") == 2.0
        checkpoints.save(small_state(3))
        checkpoints.wait()
        set_aside(tmp_path / LATEST / "1")
    with Checkpoints(tmp_path):
        assert [path.name for path in sorted((tmp_path / LATEST).iterdir())] == ["2", "3"]


def test_what_killed_saves_left_is_removed(tmp_path):
    """It would stay for ever, and each save would compute its checksums again."""
    left = [tmp_path / kind / f"{step}{UNFINISHED}" for kind in (LATEST, BEST) for step in (3, 9)]
    left += [tmp_path / LATEST / f"1{REPLACED}"]
    for folder in left:
        (folder / "variables").mkdir(parents=True)
        (folder / "variables" / "half").write_bytes(b"written")
    with Checkpoints(tmp_path) as checkpoints:
        assert not [path for kind in (LATEST, BEST) for path in (tmp_path / kind).iterdir()]
        left[0].mkdir(parents=True)  # as one of another process
        checkpoints.save(small_state(4))
        checkpoints.wait()
        assert (tmp_path / LATEST / "4" / CHECKSUMS).exists()
        assert not (left[0] / CHECKSUMS).exists()


@pytest.mark.parametrize("which", ["best", "latest"])
def test_a_checkpoint_that_is_replaced_while_it_is_read(tmp_path, monkeypatch, which):
    """Between the listing and the reading it is gone; the next one is read."""
    restore_item, tried = reading.restore_item, []
    with Checkpoints(tmp_path) as checkpoints:

        def replacing_it_first(checkpoint, name, wanted):
            tried.append(int(checkpoint.name))
            if len(tried) <= 2:
                state = small_state(tried[-1] + 1)
                checkpoints.save(state)
                checkpoints.save_best(state, tried[-1] + 1.0)
                shutil.rmtree(checkpoint, ignore_errors=True)  # in the middle of it
            return restore_item(checkpoint, name, wanted)

        checkpoints.save(small_state(1))
        checkpoints.save_best(small_state(1), 1.0)
        monkeypatch.setattr(reading, "restore_item", replacing_it_first)
        assert first_weight(tmp_path, which) == 3.0
        assert tried == [1, 2, 3]


def test_the_best_is_waited_for_while_another_of_its_step_is_written(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(small_state(20), 0.5)
    best = tmp_path / BEST / "20"
    set_aside(best)
    written = lambda seconds: best.with_name(f"20{REPLACED}").rename(best)
    monkeypatch.setattr(reading, "time", SimpleNamespace(sleep=written, monotonic=lambda: 0.0))
    assert first_weight(tmp_path) == 20.0


def test_a_checkpoint_that_goes_while_its_score_is_read(tmp_path, monkeypatch):
    """It looks damaged, or is gone between its name and the look at its folder; the next one is read."""
    score_of, find_checkpoint, found = reading.score_of, reading.find_checkpoint, []

    def replaced(checkpoint):
        if checkpoint.name == "1":
            set_aside(checkpoint)
            raise UserError("damaged")
        return score_of(checkpoint)

    def vanishes(workdir, which):
        found.append(find_checkpoint(workdir, which))
        return found[-1] if len(found) > 1 else workdir / BEST / "1"

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save_best(small_state(1), 0.5)
        shutil.copytree(tmp_path / BEST / "1", tmp_path / BEST / "2")
    monkeypatch.setattr(reading, "score_of", replaced)
    assert read_variables(tmp_path, variables_of(small_state(0)), "best")[1] == 2
    monkeypatch.setattr(reading, "find_checkpoint", vanishes)
    assert read_variables(tmp_path, variables_of(small_state(0)), "best")[1] == 2


def test_what_is_written_is_a_copy():
    """The next step overwrites the state's memory while it is written."""
    state = small_state(4)
    saved = saving._items(state)["variables"]["params"]["w"]
    assert saved.unsafe_buffer_pointer() != state.params["w"].unsafe_buffer_pointer()


def test_one_more_is_kept_while_the_next_is_written(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 5):
            checkpoints.save(small_state(step))
        checkpoints.wait()
        assert steps_in(tmp_path / LATEST) == [2, 3, 4]
    assert steps_in(tmp_path / LATEST) == [3, 4]
