"""Assignment of a file of detections to a video, by the name of the file or of its folder."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

from lsts_jax.errors import UserError


def named_after(file: Path, names: Sequence[str]) -> int | None:
    """Index in `names` of the video whose name ends the path of a file: out/day/clip.jsonl and
    out/day/clip/detections.jsonl belong to day/clip.

    Among several names, the one with the longest common ending is chosen; a complete name is
    preferred to the ending of another. None if no name fits. Raises `UserError` if several names
    fit equally well.
    """
    path = file.resolve()
    ends = path.parent.parts, path.with_suffix("").parts
    found: dict[tuple[int, bool], list[int]] = {}
    for number, name in enumerate(names):
        parts = PurePosixPath(name).parts
        common = max(_common_end(parts, end) for end in ends)
        found.setdefault((common, common == len(parts)), []).append(number)
    best = max(found)
    if best[0] == 0:
        return None
    if len(found[best]) > 1:
        several = " or ".join(names[number] for number in found[best][:2])
        raise UserError(
            f"{file}: belongs to {several}? Put it into a folder with the whole name of its video"
        )
    return found[best][0]


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    """Number of equal parts at the ends of two paths."""
    same = (x == y for x, y in zip(reversed(a), reversed(b), strict=False))
    return sum(1 for _ in takewhile(bool, same))
