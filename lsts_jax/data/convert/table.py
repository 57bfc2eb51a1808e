"""The table of a conversion, for the terminal."""

from lsts_jax.data.convert.converted import Converted


def to_text(converted: Converted, there: int) -> str:
    """Text with the numbers of converted boxes and ignored regions, and of boxes that were left
    out, with the reason and the first case.

    Args:
      there: number of pictures below the folder.
    """
    objects = [box for box in converted.boxes if not box.ignored]
    tracks = {(converted.pictures[box.picture].video, box.track) for box in objects if box.track >= 0}
    stills = sum(one.video is None for one in converted.pictures)
    facts = {
        "pictures in the folder": there,
        "videos": len({one.video for one in converted.pictures} - {None}),
        "pictures of videos": len(converted.pictures) - stills,
        "stills": stills,
        "pictures without a box": len(converted.pictures) - len({box.picture for box in converted.boxes}),
        "tracks": len(tracks),
        "objects without a track": sum(box.track < 0 for box in objects),
    }
    lines = [f"{name:<52}{number:>12,}" for name, number in facts.items()]
    counts = converted.all_counts()
    for what, reason, number in counts.rows():
        first = f"   first: {counts.first[reason]}" if what == "lost" else ""
        lines.append(f"{what:<10}{reason:<42}{number:>12,}{first}")
    if empty := [name for name in converted.categories if name not in counts.read]:
        lines.append(f"categories without an object: {', '.join(empty)}")
    return "\n".join(lines + converted.notes)
