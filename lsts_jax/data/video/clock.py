"""Number and time of a frame, from the container's timestamps and the failed reads."""

from typing import NamedTuple

# Largest deviation of a step at a constant rate, as a share of a frame's duration.
TOLERANCE = 0.25
# Largest number of lost frames that a timestamp may imply; a damaged timestamp may imply any.
MOST_LOST = 10_000


class Tick(NamedTuple):
    """Number and time of a decoded frame, and the state of the timestamps so far."""

    number: int
    time: float  # seconds since the first frame
    origin: float  # timestamp of the first frame
    is_regular: bool  # the rate has been constant so far
    is_damaged: bool  # a read has failed


def next_tick(last: Tick | None, timestamp: float, failed: int, period: float) -> Tick:
    """Tick of the frame after `last`; `last` is None for the first frame.

    A decoder that reorders frames reports a damaged one later or earlier than the frame would have
    come, or silently drops the frames that depend on it. After a failed read, frames of a constant
    rate are therefore numbered by their timestamps, those of a variable rate by counting the failed
    reads. Timestamps that are missing or do not grow are replaced by steps of `period`.

    Args:
      timestamp: seconds from the start of the stream.
      failed: reads that failed since `last`.
      period: seconds per frame, by the header's rate.
    """
    if last is None:
        if not failed:
            return Tick(0, 0.0, timestamp, True, False)
        last = Tick(-1, -period, 0.0, True, False)
    step, counted = timestamp - last.origin - last.time, 1 + failed
    is_damaged = last.is_damaged or failed > 0
    if step <= 0:
        time = last.time + counted * period
        return last._replace(number=last.number + counted, time=time, is_damaged=is_damaged)
    periods = max(1, round(step / period))
    is_whole = abs(step / period - periods) < TOLERANCE and periods <= MOST_LOST
    is_regular = last.is_regular and is_whole and (periods == 1 or is_damaged)
    number = last.number + (periods if is_regular and is_damaged else counted)
    return Tick(number, timestamp - last.origin, last.origin, is_regular, is_damaged)
