"""LSTS with exchanged parts."""

from functools import partial

import jax
import numpy as np
import pytest

from experiments.exchange import exchanges, run
from experiments.fixed_weights import with_fixed_weight
from experiments.suites import CENTRE, FIXED_WEIGHTS, INITIAL
from lsts_jax.errors import UserError
from tests.tiny import random_frames, tiny_config, tiny_detector

CONFIG = tiny_config()


@pytest.fixture(scope="module")
def trained():
    return tiny_detector(CONFIG)


def bundles(detector, variables, first, second):
    """What a second keyframe and a frame after it compute."""

    @partial(jax.jit, static_argnums=0)
    def compute(detector, variables):
        bound = detector.bind(variables)
        memory, _ = bound.start(bound.key(first))
        memory, at_key = bound.on_keyframe(memory, bound.key(second))
        return at_key, bound.on_frame(memory, bound.other(first))

    return compute(detector, variables)


def test_a_weight_is_fixed_in_one_part_alone(trained):
    detector, variables = trained
    frames = random_frames(), random_frames(seed=1)
    plain_key, _ = bundles(detector, variables, *frames)
    key, frame = bundles(with_fixed_weight(detector, "dfa", 0.75), variables, *frames)
    np.testing.assert_array_equal(frame.quality[1], np.float32(0.75))
    np.testing.assert_array_equal(key.quality, plain_key.quality)
    assert not (key.quality == 0.5).all()


def test_exchanges_have_the_names_of_the_suite(trained):
    named = {name: (detector, variables) for name, detector, variables in exchanges(*trained, CONFIG)}
    assert list(named) == [INITIAL, CENTRE, *FIXED_WEIGHTS]
    assert not np.any(named[CENTRE][1]["params"]["offsets"])
    assert named["srfu_weight25"][0].temporal.part == "srfu"
    assert named["srfu_weight25"][0].temporal.memory == 0.25


def test_what_a_user_can_mend(tmp_path):
    arguments = ["--suite", "methods", "--workdir", str(tmp_path)]
    with pytest.raises(UserError, match="no finished training of lsts; train it"):
        run([*arguments, "--only", "dfa_*"])
    with pytest.raises(UserError, match="--only fda: choose from lsts_initial, lsts_centre, srfu_weight5"):
        run([*arguments, "--only", "fda"])
