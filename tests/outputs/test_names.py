"""Names of outputs: distinct for any sources, and inside the output folder."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsts_jax.outputs.names import Origin, class_folders, places, safe_part

OUT = Path("out")


def names(*origins):
    return [place.folder.relative_to(OUT).as_posix() for place in places(OUT, origins)]


def test_one_source_has_the_folder_to_itself():
    (place,) = places(OUT, [Origin(("home", "clip"), "mp4")])
    assert (place.folder, place.path("video")) == (OUT, OUT / "clip.mp4")
    assert [place.path(kind).name for kind in ("jsonl", "csv", "mot", "coco", "crops")] == [
        "detections.jsonl", "detections.csv", "det.txt", "coco.json", "crops",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        ([Origin(("a", "x"), "mp4"), Origin(("a", "y"), "mp4")], ["x", "y"]),
        ([Origin(("a", "clip"), "mp4"), Origin(("b", "clip"), "mp4")], ["a/clip", "b/clip"]),
        ([Origin(("a", "clip"), "mp4"), Origin(("a", "clip"), "gif")], ["clip_mp4", "clip_gif"]),
        ([Origin(("n", "c", "img1")), Origin(("m", "c", "img1"))], ["n/c/img1", "m/c/img1"]),
        ([Origin(("a", "Clip"), "mp4"), Origin(("a", "clip"), "avi")], ["Clip_mp4", "clip_avi"]),
        ([Origin(("a", "scene.v1")), Origin(("a", "scene.v2"))], ["scene.v1", "scene.v2"]),
        ([Origin(("cam_1",)), Origin(("cam_1",)), Origin(("cam_1-2",))], ["cam_1", "cam_1-3", "cam_1-2"]),
        ([Origin(("a", "clip"), "mp4")] * 2, ["clip", "clip-2"]),
        (
            [Origin(("a", "clip"), "mp4"), Origin(("b", "clip"), "mp4"), Origin(("a",))],
            ["a/clip", "b/clip", "a"],
        ),
    ],
)
def test_sources_of_one_name_are_told_apart(origins, expected):
    assert names(*origins) == expected


PARTS = st.lists(
    st.sampled_from(["a", "A", "b", "..", ".", "", "/etc", "a-2", "é", "e\u0301", "\udcff"]), min_size=1
)


@given(
    st.lists(st.builds(Origin, PARTS.map(tuple), st.sampled_from(["", "mp4", "gif", "/../x"])), min_size=2)
)
def test_any_names_are_distinct_and_inside(origins):
    found = names(*origins)
    assert len({name.casefold() for name in found}) == len(origins)
    for name in found:
        assert not PurePosixPath(name).is_absolute()
        assert not {"..", "."} & set(name.split("/"))


def test_class_names_are_one_visible_part_of_a_path():
    assert class_folders(("cat", "../../etc", "a/b", "a\\b", ".", "", "Cat", "x" * 300)) == (
        "cat", "___.._etc", "a_b", "a_b-2", "_", "_-2", "Cat-2", "x" * 200,
    )  # fmt: skip
    assert safe_part("caf\udce9") == "caf_xe9"
