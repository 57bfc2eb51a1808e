"""A second or two of each reader; `python -m tests.fuzz` goes on for as long as one likes."""

import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lsts_jax.errors import UserError
from tests.fuzz import targets
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import MEMORY, Attempts, Broken, Target, all_targets

TARGETS = {name: target for name, target in all_targets().items() if name != "evaluate-options"}
EXAMPLES, COSTLY_EXAMPLES = 40, 1


@pytest.fixture(params=TARGETS)
def target(request) -> Target:
    found = TARGETS[request.param]
    if not found.available():
        pytest.skip(f"{found.name}: pip install {found.needs}")
    return found


def test_valid_input_is_read(target):
    with Attempts(target) as attempt:
        assert [attempt(seed) for seed in target.seeds] == [""] * len(target.seeds)


def test_changed_input_is_read_or_refused_in_a_line(target):
    with Attempts(target) as attempt:

        @settings(
            max_examples=COSTLY_EXAMPLES if target.costly else EXAMPLES,
            deadline=None,
            derandomize=True,  # news is for the long run to find
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=False))
        def hold(random):
            attempt(mutate(target.seeds, random))

        hold()


def hang(_):
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


def two_lines(_):
    raise UserError("first\nsecond")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda _: 1 / 0, "division"),
        (lambda _: bytearray(MEMORY + 1), "MiB"),
        (hang, "seconds"),
        (two_lines, "more than a line"),
    ],
)
def test_what_a_reader_may_not_do_is_seen(wrong, told, monkeypatch):
    if wrong is hang:
        monkeypatch.setattr(targets, "SECONDS", 0.2)
    seen = pytest.raises((Broken, ZeroDivisionError), match=told)
    with Attempts(Target("wrong", (b"",), "x", wrong)) as attempt, seen:
        attempt(b"anything")
