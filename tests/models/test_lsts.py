"""Where sampling locations begin."""

import jax
import numpy as np
import pytest

from lsts_jax.config import LSTSConfig, ModelConfig
from lsts_jax.errors import UserError
from lsts_jax.models.temporal import build_temporal
from lsts_jax.models.temporal.lsts.sampling import initial_offsets

KEY = jax.random.key(0)


def test_the_uniform_grid_is_that_of_the_authors():
    grid = np.asarray(initial_offsets(KEY, "uniform", 9))
    assert grid.tolist() == [[x, y] for x in (-1, 0, 1) for y in (-1, 0, 1)]  # x outermost
    authors = np.asarray(initial_offsets(KEY, "uniform", 81))
    assert (authors.min(), authors.max(), len(np.unique(authors, axis=0))) == (-4, 4, 81)
    with pytest.raises(UserError, match="is 16, but a uniform grid has the square of an odd number"):
        initial_offsets(KEY, "uniform", 16)


@pytest.mark.parametrize(
    "lsts, told",
    [
        (LSTSConfig(window=3), "grid of 81 offsets reaches 4, .*; give 5 or more"),
        (LSTSConfig(window=8, initial_spread=2.0), "reaches 8, .*; give 9 or more"),
        (LSTSConfig(num_offsets=40), "square of an odd number"),
        (LSTSConfig(num_offsets=16), "square of an odd number"),
    ],
)
def test_a_method_that_would_sample_nothing_is_not_built(lsts, told):
    for temporal in ("lsts", "srfu", "dfa"):
        with pytest.raises(UserError, match=told):
            build_temporal(ModelConfig(temporal=temporal, lsts=lsts))
    for temporal in ("none", "copy"):
        build_temporal(ModelConfig(temporal=temporal, lsts=lsts))


def test_a_grid_within_the_window_is_built():
    for lsts in (LSTSConfig(window=5), LSTSConfig(offsets="gaussian", num_offsets=40)):
        build_temporal(ModelConfig(lsts=lsts))


def test_what_a_sample_reads_and_what_a_method_has_to_show():
    build = lambda name: build_temporal(ModelConfig(temporal=name))
    names = ("lsts", "srfu", "dfa", "copy", "dff", "fgfa", "thp", "none")
    assert [build(name).trained_keyframes for name in names] == [2, 2, 1, 1, 1, 2, 1, 0]
    params = {"offsets": np.ones((81, 2), np.float32)}
    shown = [build(name).learned_offsets(params) for name in names]
    assert [offsets is params["offsets"] for offsets in shown] == [True] * 3 + [False] * 5
    assert shown[3:] == [None] * 5


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "random"])
def test_the_spread_multiplies_what_the_sources_have(kind):
    whole, tenth = (np.asarray(initial_offsets(KEY, kind, 25, spread)) for spread in (1.0, 0.1))
    np.testing.assert_allclose(tenth, whole / 10, rtol=1e-6)
    assert np.abs(whole).max() > 1
