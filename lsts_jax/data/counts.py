"""What became of the annotations that were found, by reason: readers and converters count alike."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """Numbers of annotations. What is dropped was not asked for, such as other classes; what is lost was, but
    cannot be used."""

    read: Counter[str] = field(default_factory=Counter)  # objects by class
    ignored: Counter[str] = field(default_factory=Counter)  # regions in which nothing is learned, by reason
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    lost: Counter[str] = field(default_factory=Counter)  # by reason
    first: dict[str, str] = field(default_factory=dict)  # the first that was lost for a reason

    def lose(self, reason: str, where: str, number: int = 1) -> None:
        """Count annotations that cannot be used; `where` names the first of them."""
        if number:
            self.lost[reason] += number
            self.first.setdefault(reason, where)

    def add(self, other: "Counts") -> None:
        """Count all that another has counted."""
        for name in ("read", "ignored", "dropped", "lost"):
            getattr(self, name).update(getattr(other, name))
        for reason, where in other.first.items():
            self.first.setdefault(reason, where)

    @property
    def total(self) -> int:
        return sum(counter.total() for counter in (self.read, self.ignored, self.dropped, self.lost))

    def losses(self) -> str:
        """What is lost, in one line; empty if nothing is."""
        if not self.lost:
            return ""
        reasons = (f"{n} {reason}, first {self.first[reason]}" for reason, n in self.lost.most_common())
        return f"{self.lost.total()} of {self.total} annotations cannot be used: {'; '.join(reasons)}"

    def rows(self) -> list[tuple[str, str, int]]:
        """A table: what became of annotations, their class or the reason, and their number."""
        return [
            (name, reason, number)
            for name in ("read", "ignored", "dropped", "lost")
            for reason, number in getattr(self, name).most_common()
        ]
