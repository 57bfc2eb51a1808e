"""Latency: the time that frames wait for their detections."""

from collections import deque

import numpy as np

# Number of last frames of every kind in the summary; limited, so that a stream can run for ever.
KEPT = 10_000


class Latencies:
    """Latencies of keyframes and of other frames. The frames of the first two segments, which
    compile, and the frames that wait for them are left out."""

    def __init__(self, interval: int, delay: int = 0):
        """Args:
        interval: frames in a segment.
        delay: frames by which detections lag."""
        self._interval, self._first, self.count = interval, 2 * interval + delay, 0
        self._kinds = {kind: deque(maxlen=KEPT) for kind in ("keyframes", "other frames")}

    def add(self, seconds: float) -> None:
        """Counts the next frame."""
        if self.count >= self._first:
            kind = "other frames" if self.count % self._interval else "keyframes"
            self._kinds[kind].append(seconds)
        self.count += 1

    def summary(self) -> str:
        """Median and 95th percentile by kind of frame."""
        if self.count <= self._first + self._interval:
            return f"latency is measured from frame {self._first} on: the video is too short"
        found = []
        for kind, seconds in self._kinds.items():
            if seconds:
                p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
                found.append(f"{kind} {p50:.1f} ms, 95 % below {p95:.1f}")
        return f"median latency from the decoded picture to its detections: {'; '.join(found)}"
