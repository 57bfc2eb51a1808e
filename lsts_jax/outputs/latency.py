"""How long frames wait for their detections."""

from collections import deque

import numpy as np

# Frames of each kind that the summary is of, the last ones, so that a stream may run for ever.
KEPT = 10_000


class Latencies:
    """Latency of keyframes and of other frames; the first two segments, which compile, are left out."""

    def __init__(self, interval: int):
        self._interval, self.count = interval, 0
        self._kinds = {kind: deque(maxlen=KEPT) for kind in ("keyframes", "other frames")}

    def add(self, seconds: float) -> None:
        """Counts the next frame."""
        if self.count >= 2 * self._interval:
            kind = "other frames" if self.count % self._interval else "keyframes"
            self._kinds[kind].append(seconds)
        self.count += 1

    def summary(self) -> str:
        """Median and 95th percentile by kind of frame."""
        if self.count <= 3 * self._interval:
            return f"latency is measured from frame {2 * self._interval} on: the video is too short"
        found = []
        for kind, seconds in self._kinds.items():
            if seconds:
                p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
                found.append(f"{kind} {p50:.1f} ms, 95 % below {p95:.1f}")
        return f"median latency from the decoded picture to its detections: {'; '.join(found)}"
