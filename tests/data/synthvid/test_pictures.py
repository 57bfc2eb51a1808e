"""Cut-outs and backgrounds of the user's own."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lsts_jax.data.synthvid import (
    class_names,
    render_dataset,
)
from lsts_jax.data.synthvid.sprites import pictures_in
from lsts_jax.errors import UserError
from tests.data.synthvid.common import (
    SMALL,
)


def test_hidden_pictures_are_no_cut_outs(tmp_path):
    for name in ("b/2.png", "a.jpg", "b/._2.png", ".trash/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert pictures_in(tmp_path) == [tmp_path / "a.jpg", tmp_path / "b/2.png"]


def test_boxes_are_tight_in_the_pictures_of_cut_outs(tmp_path):
    """Seen from outside: a red cut-out over grey photos, found again by its colour in the JPEG files."""
    cutout = np.zeros((60, 90, 4), np.uint8)
    cutout[10:50, 15:85] = (0, 0, 255, 255)
    (tmp_path / "cut" / "red & <square>").mkdir(parents=True)
    (tmp_path / "grey").mkdir()
    cv2.imwrite(str(tmp_path / "cut" / "red & <square>" / "a.png"), cutout)
    cv2.imwrite(str(tmp_path / "grey" / "a.jpg"), np.full((50, 70, 3), 128, np.uint8))
    config = replace(
        SMALL,
        height=96,
        width=128,
        quality=100,
        videos=0,
        val_videos=6,
        stills=0,
        frames=4,
        cutouts=str(tmp_path / "cut"),
        backgrounds=str(tmp_path / "grey"),
    )
    assert class_names("easy", config.cutouts) == ("red & <square>",)
    out = tmp_path / "out"
    render_dataset(out, config, workers=1, progress=False)
    compared = 0
    for name, video in json.loads((out / "synthvid.json").read_text())["videos"].items():
        if len(video["tracks"]) > 1 or max(video["tracks"][0]["covered"]) > 0:
            continue
        for frame in range(4):
            root = ElementTree.parse(out / "Annotations" / name / f"{frame:06d}.xml").getroot()
            (thing,) = root.iter("object")
            assert thing.findtext("name") == "red & <square>"
            box = [int(thing.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")]
            picture = cv2.imread(str(out / "Data" / name / f"{frame:06d}.JPEG")).astype(int)
            red = picture[..., 1] < 64
            rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
            assert np.abs(np.array(box) - [columns[0], rows[0], columns[-1], rows[-1]]).max() <= 2
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), "has no alpha channel"),
        (np.zeros((8, 8, 4), np.uint8), "nothing in it is opaque"),
        (None, "cannot be read as a picture"),
    ],
)
def test_bad_cut_outs_are_named(tmp_path, picture, message):
    (tmp_path / "cut" / "thing").mkdir(parents=True)
    path = tmp_path / "cut" / "thing" / "bad.png"
    if picture is None:
        path.write_bytes(b"no picture")
    else:
        cv2.imwrite(str(path), picture)
    config = replace(SMALL, cutouts=str(tmp_path / "cut"))
    with pytest.raises(UserError, match=rf"bad\.png: {message}"):
        render_dataset(tmp_path / "out", config, workers=1, progress=False)
