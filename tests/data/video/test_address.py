"""How addresses are named in messages, and which end."""

import cv2
import pytest

from lsts_jax.data.video.address import has_end, name_of, request_of, split_account
from lsts_jax.data.video.live_source import LiveFrames
from lsts_jax.data.video.video_file import open_video
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from tests.data.video.clips import damage, serve, write_clip

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nv0.ts\n"


@pytest.mark.parametrize(
    "name, content, finite",
    [
        ("v.ts", "anything with a length", True),
        ("live.m3u8", HEAD, False),
        ("vod.m3u8", HEAD + "#EXT-X-ENDLIST\n", True),
        ("gone", None, False),
    ],
)
def test_what_the_server_says_decides(tmp_path, name, content, finite):
    if content is not None:
        (tmp_path / name).write_text(content)
    with serve(tmp_path) as address:
        assert has_end(f"{address}/{name}") == finite


def test_user_and_password_go_into_a_header(tmp_path):
    (tmp_path / "v.ts").write_text("anything with a length")
    with serve(tmp_path) as address:
        assert has_end(f"{address.replace('//', '//me:secret@')}/v.ts")
    request = request_of("http://me:p%40ss@host:81/v.mp4?a=1")
    assert (request.full_url, request.host) == ("http://host:81/v.mp4?a=1", "host:81")
    assert request.get_header("Authorization") == "Basic bWU6cEBzcw=="  # me:p@ss
    assert not request_of("http://host/v.mp4").has_header("Authorization")


@pytest.mark.parametrize(
    "address, name",
    [
        ("rtsp://cam:554/live/1", "rtsp://cam:554/live/1"),
        ("rtsp://me:secret@cam:554/live/1", "rtsp://***@cam:554/live/1"),
        ("http://secret@host/v.mp4", "http://***@host/v.mp4"),  # a token instead of a user
        ("rtsp://me:se@cret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me:secret#secret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me:se/cret?@cam:554/1", "rtsp://***@cam:554/1"),
        ("http://cam/mjpg?user=me&pwd=secret&channel=1", "http://cam/mjpg?user=***&pwd=***&channel=1"),
        ("http://cam/video?secret", "http://cam/video?***"),
        ("rtsp://cam/user=me_password=secret_channel=1_stream=0.sdp",
         "rtsp://cam/user=me_password=***_channel=1_stream=0.sdp"),
        ("RTSP://me:secret@cam/1", "RTSP://***@cam/1"),
        ("rtmp://me:secret@cam/1", "rtmp://***@cam/1"),
        ("http://[::1]:80/a@b.mp4", "http://[::1]:80/a@b.mp4"),
        ("http://host:80/a@b.mp4", "http://host:80/a@b.mp4"),
        ("a@b.mp4", "a@b.mp4"),
        (3, "camera 3"),
    ],
)  # fmt: skip
def test_messages_do_not_show_passwords(address, name):
    assert name_of(address) == name
    if isinstance(address, str) and "://" in address:
        assert split_account(name_of(address))[1] == name.replace("***@", "")


@pytest.mark.parametrize("scheme", ["rtsp", "RTSP", "http", "rtmp", "file"])
def test_an_address_that_cannot_be_read_is_named_without_its_password(scheme, monkeypatch):
    monkeypatch.setattr("lsts_jax.data.video.video_io.open_capture", lambda _: cv2.VideoCapture())
    with pytest.raises(UserError) as caught:
        open_source(f"{scheme}://me:secret@127.0.0.1:1/live?token=secret")
    message = str(caught.value)
    assert "secret" not in message and "***@127.0.0.1:1/live?token=***" in message
    assert ("addresses of http://" in message) == (scheme in ("rtmp", "file"))


def test_a_stream_and_a_damaged_video_are_named_without_their_passwords(tmp_path, caplog, monkeypatch):
    damage(write_clip(tmp_path / "v.avi", 4, codec="MJPG"), 1)
    write_clip(tmp_path / "none.avi", 1, codec="MJPG")
    damage(tmp_path / "none.avi", 0)
    with serve(tmp_path) as address, caplog.at_level("INFO"):
        secret = address.replace("//", "//me:secret@") + "/v.avi?token=secret"
        source = open_source(secret)
        list(source)
        with pytest.raises(UserError, match="ffmpeg") as caught:
            open_video(secret.replace("v.avi", "none.avi"))
        monkeypatch.setattr("lsts_jax.data.video.live_source.FIRST_WAIT", 0.01)
        live = LiveFrames(secret, cv2.VideoCapture(secret))
        for _ in live:
            if live.reconnections:
                break
    assert [record.name.rpartition(".")[2] for record in caplog.records][:2] == ["video_file", "live_source"]
    told = [source.name, str(caught.value), live.name, caplog.text]
    assert not any("secret" in text for text in told) and all("***@127" in text for text in told)
