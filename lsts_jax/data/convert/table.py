"""The table of a conversion, for the terminal."""

from collections import Counter

from lsts_jax.data.convert.converted import Converted


def to_text(converted: Converted) -> str:
    """A table: what was read, what became an ignored region, what was dropped and why."""
    videos = len({one.video for one in converted.pictures} - {None})
    stills = sum(one.video is None for one in converted.pictures)
    objects = Counter(box.category for box in converted.boxes if not box.ignored)
    tracks = {
        (converted.pictures[box.picture].video, box.track)
        for box in converted.boxes
        if box.track >= 0 and not box.ignored
    }
    rows = {
        "videos": videos,
        "pictures of videos": len(converted.pictures) - stills,
        "stills": stills,
        "pictures without a box": len(converted.pictures) - len({box.picture for box in converted.boxes}),
        "objects": objects.total(),
        **{f"    {name}": objects[name] for name in converted.categories},
        "objects without a track": sum(not box.ignored and box.track < 0 for box in converted.boxes),
        "tracks": len(tracks),
        "ignored regions": converted.ignored.total(),
        **{f"    {reason}": number for reason, number in (+converted.ignored).most_common()},
        "dropped": converted.dropped.total(),
        **{f"    {reason}": number for reason, number in (+converted.dropped).most_common()},
    }
    lines = [f"{name:<44}{number:>12,}" for name, number in rows.items()]
    return "\n".join(lines + converted.notes)
