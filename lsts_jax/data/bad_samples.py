"""The samples of a training run that cannot be read."""

import logging
from collections.abc import Iterable

from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)


class BadSamples:
    """Which of a data set's samples cannot be read, and whether they are too many.

    A sample counts once, whatever is wrong with it and however often it fails.
    """

    def __init__(self, total: int, max_share: float):
        self.total, self.max_share = total, max_share
        self.samples: set[int] = set()
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self.samples)

    def tell(self, problem: str) -> None:
        """Warn of something that is left out, once."""
        if problem not in self._told:
            self._told.add(problem)
            logger.warning("skipped: %s", problem)

    def add(self, sample: int, problem: str) -> None:
        """Count a sample, told by its problem. Raises `UserError` if there are now too many."""
        self.tell(problem)
        self.samples.add(sample)
        self._require_few(problem)

    def merge(self, samples: Iterable[int]) -> None:
        """Count what other processes of the run have found. Raises as `add`."""
        before = len(self)
        self.samples.update(samples)
        if len(self) > before:
            self._require_few("another process, or an earlier one, found it")

    def forgive(self, samples: Iterable[int]) -> None:
        """Samples that could be read: what an earlier process found was mended."""
        self.samples.difference_update(samples)

    def _require_few(self, last: str) -> None:
        if len(self) > self.max_share * self.total:
            raise UserError(
                f"{len(self)} of {self.total} samples cannot be read, more than config.data.max_bad_share = "
                f"{self.max_share}; python -m lsts_jax.data.check lists them; the last: {last}"
            )
