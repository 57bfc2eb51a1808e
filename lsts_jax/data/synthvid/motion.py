"""Motion of objects: smooth random paths on a fine clock, and bursts of degradation.

Lengths are in short sides of the frame, times in frames. A frame number is the middle of the
frame's exposure, so the clock runs from -1/2 to frames - 1/2.
"""

import numpy as np
from jaxtyping import Float

SUBSTEPS = 16  # steps of the clock per frame
PATH_STEP = 0.01  # distance between points of a path
BEND = 0.3  # length over which the corners of a path are rounded

Series = Float[np.ndarray, "N"]


def clock(frames: int) -> Series:
    """Times of the fine clock: N = frames * SUBSTEPS + 1."""
    return np.arange(frames * SUBSTEPS + 1) / SUBSTEPS - 0.5


def at(values: Float[np.ndarray, "N C"], times: Float[np.ndarray, "S"]) -> Float[np.ndarray, "S C"]:
    """Values on the clock, linearly interpolated at other times."""
    position = np.clip((times + 0.5) * SUBSTEPS, 0, len(values) - 1)
    low = np.minimum(position.astype(int), len(values) - 2)
    weight = (position - low)[:, None]
    return values[low] * (1 - weight) + values[low + 1] * weight


def _smooth(values: Float[np.ndarray, "M"], window: int) -> Series:
    """Running average under a Hann window; the result is `window - 1` shorter."""
    weights = np.hanning(window + 2)[1:-1]
    return np.convolve(values, weights / weights.sum(), "valid")


def wander(rng: np.random.Generator, times: Series, period: float) -> Series:
    """A smooth random curve within -1..1 that turns about every `period` frames."""
    pitch = max(int(period * SUBSTEPS), 2)
    count = len(times) + pitch - 1
    knots = rng.uniform(-1, 1, count // pitch + 3)
    return _smooth(np.interp(np.arange(count) / pitch + rng.random(), np.arange(knots.size), knots), pitch)


def bursts(rng: np.random.Generator, times: Series, *, every: float, length: tuple[float, float]) -> Series:
    """An envelope that is 0 except for plateaus of a half to 1. A plateau is `length` frames long
    with edges of one frame; gaps last `every` frames on average. `every` 0: no plateaus."""
    envelope = np.zeros_like(times)
    start = rng.uniform(0, every)
    while every > 0 and start < times[-1]:
        end = start + rng.uniform(*length)
        ramp = np.clip(np.minimum(times - start + 1, end + 1 - times), 0, 1)
        envelope = np.maximum(envelope, rng.uniform(0.5, 1) * ramp**2 * (3 - 2 * ramp))
        start = end + rng.uniform(0.5, 1.5) * every
    return envelope


def _way_points(
    rng: np.random.Generator, extent: Float[np.ndarray, "2"], length: float, radius: float, leave: float
) -> Float[np.ndarray, "M 2"]:
    """Random way points with distances of at least `length`; some are so far outside the frame that
    the object is not visible there, but never two in a row."""
    inset = np.minimum(0.7 * radius, 0.4 * extent)
    points, total, outside = [rng.uniform(inset, extent - inset)], 0.0, False
    while total < length:
        target = rng.uniform(inset, extent - inset)
        outside = not outside and rng.random() < leave
        if outside:
            axis = rng.integers(2)
            beyond = 1.3 * radius + 0.25 * BEND
            target[axis] = -beyond if rng.random() < 0.5 else extent[axis] + beyond
        step = np.linalg.norm(target - points[-1])
        if step < BEND:  # its corners would be rounded away
            continue
        points.append(target)
        total += step
    return np.array(points)


def path(
    rng: np.random.Generator,
    distance: Series,
    *,
    extent: Float[np.ndarray, "2"],
    radius: float,
    leave: float,
) -> Float[np.ndarray, "N 2"]:
    """Positions (x, y) on a random path with rounded corners after travelling every `distance`
    (rising from 0). The path stays within a frame of `extent` (x, y), except that a way point is
    outside with probability `leave`."""
    window = int(BEND / PATH_STEP)
    points = _way_points(rng, extent, distance[-1] + BEND + PATH_STEP, radius, leave)
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    fine = np.arange(0, along[-1], PATH_STEP)
    smooth = [_smooth(np.interp(fine, along, points[:, i]), window) for i in range(2)]
    start = np.arange(smooth[0].size) * PATH_STEP
    return np.stack([np.interp(distance, start, s) for s in smooth], 1)


def travel(speed: Series) -> Series:
    """Distance (or angle) travelled at every time of the clock, from the speed per frame; 0 at
    first."""
    return np.append(0, np.cumsum((speed[1:] + speed[:-1]) / 2)) / SUBSTEPS
