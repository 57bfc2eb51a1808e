"""Record of the training samples that cannot be read."""

import logging
from collections.abc import Iterable

from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)


class BadSamples:
    """Set of the samples that could not be read, with a limit on their share.

    A sample counts once, whatever is wrong with it and however often reading fails.
    """

    def __init__(self, total: int, max_share: float):
        self.total, self.max_share = total, max_share
        self.samples: set[int] = set()
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self.samples)

    def tell(self, problem: str) -> None:
        """Warns once about something that is left out."""
        if problem not in self._told:
            self._told.add(problem)
            logger.warning("skipped: %s", problem)

    def add(self, sample: int, problem: str) -> None:
        """Counts a sample and warns about its problem. Raises `UserError` if there are now too
        many."""
        self.tell(problem)
        self.samples.add(sample)
        self._require_few(problem)

    def merge(self, samples: Iterable[int]) -> None:
        """Adds the samples that other processes of the run could not read. Raises as `add`."""
        before = len(self)
        self.samples.update(samples)
        if len(self) > before:
            self._require_few("another or an earlier process could not read it")

    def forgive(self, samples: Iterable[int]) -> None:
        """Removes samples that can be read now, after an earlier process could not."""
        self.samples.difference_update(samples)

    def _require_few(self, last: str) -> None:
        if len(self) > self.max_share * self.total:
            raise UserError(
                f"{len(self)} of {self.total} samples cannot be read, more than config.data.max_bad_share = "
                f"{self.max_share}; python -m lsts_jax.data.check lists them; the last: {last}"
            )
