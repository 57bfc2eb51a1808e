"""Numbers and times of frames from timestamps and failed reads, worked out by hand."""

import pytest

from lsts_jax.data.video.clock import next_tick


def ticks(reads, period=0.1):
    """(number, time) of every frame of `reads`: timestamps, None where the read fails."""
    last, failed, found = None, 0, []
    for timestamp in reads:
        if timestamp is None:
            failed += 1
            continue
        last, failed = next_tick(last, float(timestamp), failed, period), 0
        found.append((last.number, round(last.time, 6)))
    return found


@pytest.mark.parametrize(
    "reads, numbers, times",
    [
        ([0, 0.1, 0.2, 0.3], [0, 1, 2, 3], [0, 0.1, 0.2, 0.3]),
        ([0, 0.1, None, 0.3], [0, 1, 3], [0, 0.1, 0.3]),
        ([None, 0.1, 0.2], [1, 2], [0.1, 0.2]),
        # reordered: two reads fail, frame 2 is still to come, 3 and 5 are lost
        ([0, 0.1, None, None, 0.2, 0.4, 0.6], [0, 1, 2, 4, 6], [0, 0.1, 0.2, 0.4, 0.6]),
        # one read fails, the frames that depend on it are dropped without a report
        ([0, None, 0.5, 0.6], [0, 5, 6], [0, 0.5, 0.6]),
        # a variable rate, and one whose frames are all there: neighbours in the file are neighbours in number
        ([0, 0.07, 0.2, 0.9, None, 1.1], [0, 1, 2, 3, 5], [0, 0.07, 0.2, 0.9, 1.1]),
        ([0, 0.14, 0.28, None, 0.9], [0, 1, 2, 4], [0, 0.14, 0.28, 0.9]),
        ([0, 0.1, 0.2, 2.5, 2.6], [0, 1, 2, 3, 4], [0, 0.1, 0.2, 2.5, 2.6]),
        # the file begins later, timestamps are missing at its end, or everywhere
        ([0.2, 0.3, 0.4, 0, 0], [0, 1, 2, 3, 4], [0, 0.1, 0.2, 0.3, 0.4]),
        ([0, 0, None, 0, 0], [0, 1, 3, 4], [0, 0.1, 0.3, 0.4]),
    ],
)
def test_numbers_and_times(reads, numbers, times):
    assert ticks(reads) == list(zip(numbers, times, strict=True))


def test_a_damaged_timestamp_does_not_count_frames_without_end():
    assert [number for number, _ in ticks([0, None, 0.2, 1e9, 1e9 + 0.1])] == [0, 2, 3, 4]


def test_a_rate_above_1000():
    assert ticks([0, 0.0005, None, 0.0015], period=1 / 2000) == [(0, 0), (1, 0.0005), (3, 0.0015)]
