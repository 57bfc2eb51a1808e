"""Counts of the annotations that readers and converters used or left out, by reason."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """Numbers of annotations.

    Dropped annotations were not wanted, such as those of other classes; lost annotations were
    wanted but cannot be used.
    """

    read: Counter[str] = field(default_factory=Counter)  # objects by class
    ignored: Counter[str] = field(default_factory=Counter)  # ignored regions, by reason
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    lost: Counter[str] = field(default_factory=Counter)  # by reason
    first: dict[str, str] = field(default_factory=dict)  # the first lost annotation, by reason

    def lose(self, reason: str, where: str, number: int = 1) -> None:
        """Counts annotations that cannot be used; `where` names the first of them."""
        if number:
            self.lost[reason] += number
            self.first.setdefault(reason, where)

    def add(self, other: "Counts") -> None:
        """Adds the counts of another instance."""
        for name in ("read", "ignored", "dropped", "lost"):
            getattr(self, name).update(getattr(other, name))
        for reason, where in other.first.items():
            self.first.setdefault(reason, where)

    @property
    def total(self) -> int:
        return sum(counter.total() for counter in (self.read, self.ignored, self.dropped, self.lost))

    def losses(self) -> str:
        """The lost annotations in one line; empty if there are none."""
        if not self.lost:
            return ""
        reasons = (f"{n} {reason}, first {self.first[reason]}" for reason, n in self.lost.most_common())
        return f"{self.lost.total()} of {self.total} annotations cannot be used: {'; '.join(reasons)}"

    def rows(self) -> list[tuple[str, str, int]]:
        """Rows of a table: outcome of annotations, their class or the reason, and their number."""
        return [
            (name, reason, number)
            for name in ("read", "ignored", "dropped", "lost")
            for reason, number in getattr(self, name).most_common()
        ]
