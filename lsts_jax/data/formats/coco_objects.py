"""Fields of COCO annotations for ignored regions and tracks."""

from typing import Any


def track_of(item: dict[str, Any]) -> tuple[str, Any]:
    """Name and value of the field with the track of an annotation; "" and None if it has no track."""
    for field, value in (
        ("instance_id", item.get("instance_id")),
        ("track_id", item.get("track_id")),
        ("attributes.track_id", _track_of_cvat(item)),
    ):
        if value is not None:
            return field, value
    return "", None


def is_ignored(item: dict[str, Any]) -> bool:
    """True if an annotation is an ignored region: it has `ignore`, or `iscrowd` without a track in
    CVAT's field (CVAT marks every mask as a crowd)."""
    return bool(item.get("ignore") or (item.get("iscrowd") and _track_of_cvat(item) is None))


def _track_of_cvat(item: dict[str, Any]) -> Any:
    attributes = item.get("attributes")
    return attributes.get("track_id") if isinstance(attributes, dict) else None
