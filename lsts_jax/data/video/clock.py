"""Number and time of a frame, from the container's timestamps and the reads that failed."""

from typing import NamedTuple

# Part of a frame's duration by which the steps of a constant rate may be off.
TOLERANCE = 0.25
# Most frames that a timestamp may say were lost; a damaged timestamp may say anything.
MOST_LOST = 10_000


class Tick(NamedTuple):
    """Number and time of a decoded frame, and what is known of the timestamps until then."""

    number: int
    time: float  # seconds since the first frame
    origin: float  # timestamp of the first frame
    is_regular: bool  # the rate has been constant so far
    is_damaged: bool  # a read has failed


def next_tick(last: Tick | None, timestamp: float, failed: int, period: float) -> Tick:
    """Tick of the frame after `last` (None: there is none).

    A decoder that reorders frames reports a damaged one later or earlier than the frame would have come, or
    drops the frames that depend on it without a report. Once a read has failed, frames of a constant rate are
    therefore numbered by their timestamps, those of a variable rate by counting the reads that failed.
    Timestamps that are missing or do not grow are replaced by steps of `period`.

    Args:
      timestamp: seconds from the start of the stream.
      failed: reads that failed since `last`.
      period: seconds a frame, by the header's rate.
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
