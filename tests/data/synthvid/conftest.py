"""A small data set, and one with marks of what is degraded."""

from pathlib import Path

import pytest

from lsts_jax.data.synthvid import (
    render_dataset,
)
from tests.data.synthvid.common import BURSTS, SMALL


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthvid") / "small"
    assert render_dataset(out, SMALL, workers=1, progress=False)
    return out


@pytest.fixture(scope="session")
def marked(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthvid") / "bursts"
    assert render_dataset(out, BURSTS, workers=1, progress=False)
    return out
