"""What the words of --source name, and how the outputs are called."""

import pytest

from lsts_jax.errors import UserError
from lsts_jax.outputs.names import Origin
from lsts_jax.outputs.sources import sources_of


def origins(*texts):
    return [source.origin for source in sources_of(texts, (2, 2))]


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("0", Origin(("camera0",))),
        ("/dev/video3", Origin(("camera3",))),
        ("-", Origin(("stdin",))),
        ("rtsp://me:secret@cam.local:554/live/1?key=2", Origin(("cam_local_554_live_1",))),
        ("https://host/a/clip.mp4?token=1#t=2", Origin(("host", "a", "clip"), "mp4")),
        ("RTSP://me:sec/ret#@cam/1", Origin(("cam_1",))),
        ("rtsp://cam/user=me_password=secret_channel=1", Origin(("cam_user_me_password__channel_1",))),
    ],
)
def test_sources_that_are_no_files(text, origin):
    assert origins(text) == [origin]
    assert "secret" not in sources_of([text], (2, 2))[0].text


def test_folders_keep_their_dots_and_files_lose_their_endings(tmp_path):
    for name in ("s.v1/0.png", "s.v2/0.png", "s.v2/clip.a.MP4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = origins(str(tmp_path / "s.v1"), str(tmp_path / "s.v2"))
    assert [(origin.parts[-1], origin.ending) for origin in found] == [
        ("s.v1", ""),
        ("s.v2", ""),
        ("clip.a", "MP4"),
    ]
    files = [str(tmp_path / name) for name in ("s.v1/0.png", "s.v2/clip.a.MP4", "s.v2/0.png")]
    sequence, video = sources_of(files)
    assert [str(file) for file in sequence.files] == [files[0], files[2]]
    assert sequence.origin.parts[-1] == tmp_path.name
    assert str(video.files[0]) == files[1]


def test_nothing_there_and_raw_frames_without_a_size():
    with pytest.raises(UserError, match="nothing"):
        origins("nothing")
    with pytest.raises(UserError, match="is empty"):
        origins("")
    for size in (None, (0, 4), (4, -1)):
        with pytest.raises(UserError, match="--raw_size"):
            sources_of(["-"], size)
    with pytest.raises(UserError, match="can be read once"):
        sources_of(["-", "-"], (2, 2))
