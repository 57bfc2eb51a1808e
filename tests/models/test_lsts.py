"""Where sampling locations begin."""

import jax
import numpy as np
import pytest

from lsts_jax.models.temporal.lsts.sampling import initial_offsets

KEY = jax.random.key(0)


def test_the_uniform_grid_is_that_of_the_authors():
    grid = np.asarray(initial_offsets(KEY, "uniform", 9))
    assert grid.tolist() == [[x, y] for x in (-1, 0, 1) for y in (-1, 0, 1)]  # x outermost
    authors = np.asarray(initial_offsets(KEY, "uniform", 81))
    assert (authors.min(), authors.max(), len(np.unique(authors, axis=0))) == (-4, 4, 81)
    with pytest.raises(ValueError, match="square of an odd number, not 16"):
        initial_offsets(KEY, "uniform", 16)


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "random"])
def test_the_spread_multiplies_what_the_sources_have(kind):
    whole, tenth = (np.asarray(initial_offsets(KEY, kind, 25, spread)) for spread in (1.0, 0.1))
    np.testing.assert_allclose(tenth, whole / 10, rtol=1e-6)
    assert np.abs(whole).max() > 1
