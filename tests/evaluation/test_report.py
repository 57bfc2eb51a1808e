"""The report: what stands in it, that it needs nothing else, and that it shows what was computed."""

import re
import sys
from base64 import b64decode
from functools import partial
from html.parser import HTMLParser

import cv2
import jax
import numpy as np
import pytest

from lsts_jax.data.dataset import Objects, Sample, Video
from lsts_jax.data.loader import read_frame
from lsts_jax.errors import UserError
from lsts_jax.evaluation import memory_weight
from lsts_jax.evaluation.compare import compare
from lsts_jax.evaluation.inside import Example, Learned, look_inside
from lsts_jax.evaluation.matching import match
from lsts_jax.evaluation.memory_weight import memory_weights
from lsts_jax.evaluation.report import Run, clips, numbers, pictures, write_report
from lsts_jax.evaluation.report.learned import panels
from lsts_jax.evaluation.scoring import read_truth, score_all
from lsts_jax.evaluation.vid_map import PrecisionRecall
from lsts_jax.video import on_keyframe, start
from tests.evaluation.test_vid_map import annotate, detect
from tests.tiny import CANVAS, tiny_config, tiny_detector

NAMES = ("disc", "square", "<b>star</b>")
LENGTH = 7


class Memory:
    """Videos of noise in memory; each frame holds a disc that moves a pixel a frame."""

    class_names = NAMES
    counts = None

    def __init__(self, videos=3, size=CANVAS, broken=()):
        self.videos = [Video(f"val/{i}", LENGTH) for i in range(videos)]
        self.samples = [Sample(video, t) for video in range(videos) for t in range(LENGTH)]
        self.size, self.broken = size, broken

    def frame(self, video, t):
        if (video, t) in self.broken:
            raise UserError(f"{self.frame_name(video, t)}: not a picture")
        return np.random.default_rng(100 * video + t).integers(0, 60, (*self.size, 3), np.uint8)

    def objects(self, video, t):
        box = np.array([[5 + t, 10, 49 + t, 49]], np.float32)
        one, none = np.array([1], np.int32), np.zeros(1, bool)
        return Objects(box, one, one, none, self.size)

    def frame_name(self, video, t):
        return f"val/{video}/{t}.png"

    def global_id(self, video, t):
        return video * LENGTH + t + 1


class Page(HTMLParser):
    """Text, and the tags with their attributes."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def images(self):
        """Pictures by their alternative text."""
        sources = [(of.get("alt"), of.get("src", "")) for tag, of in self.tags if tag == "img"]
        return [(alt, decode(source)) for alt, source in sources]


def decode(source):
    head, data = source.split(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def found_by(dataset, shift, score=0.9):
    """A detection a frame, `shift` pixels beside the object."""
    rows = [
        (dataset.global_id(*s) - 1, 1, score, dataset.objects(*s).boxes[0] + shift) for s in dataset.samples
    ]
    return detect(*rows)


def run_of(name, detections, truth, **metrics):
    return Run(name, detections, score_all(truth, detections, NAMES) | metrics)


@pytest.fixture(scope="module")
def setting():
    config = tiny_config()
    return *tiny_detector(config), config


def test_a_comparison_with_pictures(tmp_path):
    dataset = Memory(broken={(0, 0)})
    truth = read_truth(dataset)
    good = run_of("new & old", found_by(dataset, 0), truth, fps=12.5, measured_frames=21, step=77)
    # One video is lost: there the boxes are 30 of 45 pixels aside, an IoU of 1/5.
    shifts = np.where(np.arange(21)[:, None] < LENGTH, 30, 0) * np.float32([1, 0, 1, 0])
    boxes = found_by(dataset, 0).boxes + shifts
    bad = run_of("before", found_by(dataset, 0)._replace(boxes=boxes.astype(np.float32)), truth)
    path = tmp_path / "report.html"
    names = tuple(video.name for video in dataset.videos)
    both = bad.detections, good.detections
    compared = compare(truth.annotations, *both, NAMES, truth.video_of_frame, names, resamples=20)
    about = {"dataset": dataset, "truth": truth, "run": good, "baseline": bad, "compared": compared}
    write_report(path, title="A <test>", **about)
    page = Page(path)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed"), tag
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
        assert "url(" not in attributes.get("style", "")
    assert "@import" not in path.read_text() and "url(" not in path.read_text()
    assert "A <test>" in page.text and "new & old" in page.text  # escaped, hence text
    assert not any(tag == "b" and "star" in str(attributes) for tag, attributes in page.tags)
    assert "100.0 % mAP" in page.text and "12.5" in page.text and "77" in page.text
    # The baseline: 7 false ones and then 14 true ones of 21, an AP of (14 / 21)^2.
    assert re.search(r"\+55\.6 points against before \( ?44\.4 ?\)", page.text)
    assert re.search(r"location right class, but IoU too low \(.*?\) 0\.0 55\.6 0 7 ", page.text)
    assert "The picture cannot be read: val/0/0.png: not a picture" in page.text
    # Won: the first stretch, of which frame 0 cannot be read; lost: none.
    assert "val/0, frames 0 to 6" in page.text and "Lost against before None." in page.text
    images = dict(page.images())
    assert set(images) == {
        *(f"frame {t}: 1 true, 0 false, 0 not found" for t in (1, 2, 4, 5, 6)),
        *(f"frame {t}: 0 true, 1 false, 1 not found" for t in (1, 2, 4, 5, 6)),
    }
    scale = pictures.SIDE / CANVAS[1]
    left, middle = round((5 + 4) * scale), round(30 * scale)
    green, red = (
        images[f"frame 4: {text}"]
        for text in ("1 true, 0 false, 0 not found", "0 true, 1 false, 1 not found")
    )
    assert green.shape == (320, 480, 3)
    assert np.abs(green[middle, left].astype(int) - pictures.GREEN).max() < 60
    assert np.abs(red[middle, left + round(30 * scale)].astype(int) - pictures.RED).max() < 60
    assert red[middle, left].min() > 180  # what is annotated is white


def test_detections_alone_open_no_picture(tmp_path):
    dataset = Memory(videos=9, broken={(video, t) for video in range(9) for t in range(LENGTH)})
    truth = read_truth(dataset)
    first = truth.annotations._replace(ignored=np.arange(63) == 0)
    truth = truth._replace(annotations=first)
    run = run_of("one", found_by(dataset, 0)._replace(scores=np.full(63, 0.25, np.float32)), truth)
    run.metrics["mAP by weather"] = {"fog": 0.125}
    run.metrics["fps"] = None  # an evaluation whose videos an earlier one had finished
    write_report(tmp_path / "r.html", title="t", dataset=dataset, truth=truth, run=run, pictures=False)
    page = Page(tmp_path / "r.html")
    assert not page.images() and "without opening any" in page.text
    assert "F1 by video" in page.text and "val/8 : 100.0" in page.text
    assert "mAP by weather fog 12.5" in page.text
    assert re.search(r"mAP by size medium 100\.0 of 62 Pixels", page.text)
    assert "What LSTS has learned" not in page.text


def test_best_and_worst_are_told_apart():
    five = [clips.Clip(str(i), np.array([i], np.int32)) for i in range(5)]
    f1 = np.array([0.5, np.nan, 0.9, 0.1, 0.7])
    assert clips.telling_clips(five, [f1]) == {"Best": [(2, 0.9), (4, 0.7)], "Worst": [(3, 0.1), (0, 0.5)]}
    other = np.array([0.6, 0.2, 0.5, 0.1, 0.6])
    assert clips.telling_clips(five, [f1, other]) == {
        "Won": [(2, 0.9, 0.5), (4, 0.7, 0.6)],
        "Lost": [(0, 0.5, 0.6)],
    }


def test_operating_point_by_hand():
    big, far = (0, 0, 99, 99), (500, 500, 599, 599)
    annotations = annotate((0, 1, big), (1, 1, big), (2, 1, big), (3, None, far))
    detections = detect(
        (0, 1, 0.9, big),
        (1, 1, 0.8, big),
        (0, 1, 0.7, far),
        (2, 1, 0.5, far),
        (2, 1, 0.5, big),
        (3, 1, 0.9, far),
    )
    # The last one does not count. F1: 2/4, 4/5, 4/6, and both of score 0.5 together 6/8.
    matches = match(annotations, detections, 1)
    assert numbers.operating_point(annotations, detections, matches) == pytest.approx((0.8, 1, 2 / 3))
    tied, one = detect((0, 1, 0.5, big), (0, 1, 0.5, far)), annotate((0, 1, big))
    assert numbers.operating_point(one, tied, match(one, tied, 1)) == pytest.approx((0.5, 1 / 2, 1))
    none = detect((0, 1, 0.9, far))
    assert numbers.operating_point(annotations, none, match(annotations, none, 1))[1:] == (0, 0)


def test_a_curve_keeps_its_ends():
    recall = np.arange(1, 1001) / 1000
    path = numbers.curve_path(PrecisionRecall(recall, 1 - recall / 2, recall, 1000))
    points = np.array([point.split() for point in path[1:].split("L")], float)
    assert len(points) == numbers.POINTS
    np.testing.assert_allclose(points[[0, -1]], [[0.1, 0.05], [100, 50]], atol=0.051)


def test_pairs_of_classes_and_shares():
    big = (0, 0, 99, 99)
    annotations = annotate(*((frame, 1 + (frame == 4), big) for frame in range(5)))
    # In frame 5 there is nothing: half of the detections of the last class.
    detections = detect(*((frame, number, 0.9, big) for frame, number in enumerate((1, 2, 2, 3, 2, 3))))
    side = numbers.examine(annotations, Run("", detections, {}), NAMES)
    shown = numbers.confusions_shown(annotations, side, NAMES)
    assert shown["pairs"] == [("disc", "square", 2, 0.5), ("disc", NAMES[2], 1, 0.25)]
    assert shown["matrix"][0] == [(1, 0.25), (2, 0.5), (1, 0.25), (0, 0)]
    assert [row[-1] for row in shown["matrix"]] == [(0, 0)] * 4
    assert shown["matrix"][-1] == [(0, 0), (0, 0), (1, 0.5), (0, 0)]


def test_errors_are_counted_from_the_threshold_on_and_missed_objects_all():
    big, far, farther = ((left, 0, left + 99, 99) for left in (0, 500, 900))
    annotations = annotate(*((frame, 1, big) for frame in range(3)))
    detections = detect((0, 1, 0.95, far), (0, 1, 0.9, big), (0, 1, 0.1, farther))
    side = numbers.examine(annotations, Run("", detections, {}), NAMES)
    assert side.threshold == pytest.approx(0.9)  # F1: 0, 2/5, 2/6
    counts = {name: values[0][1] for name, _, values in numbers.kinds_shown([side]) if values[0][1]}
    assert counts == {"background": 1, "missed": 2}


def test_what_is_seen_inside_is_what_the_detector_does(setting):
    detector, variables, config = setting
    dataset = Memory()
    learned = look_inside(
        detector, variables, config, dataset, read_truth(dataset), np.ones((9, 2), np.float32)
    )
    np.testing.assert_array_equal(learned.offsets, variables["params"]["offsets"])
    assert [(one.video, one.t, one.keyframe) for one in learned.examples] == [(0, 5, 3), (1, 5, 3), (2, 5, 3)]
    frame = lambda t: jax.device_put(read_frame(dataset, 1, t, config.data))
    # offline, segments of 3: keyframes 0, 3
    old, _ = jax.jit(partial(start, detector))(variables, frame(0))
    memory, _ = jax.jit(partial(on_keyframe, detector))(variables, old, frame(3))

    @jax.jit
    def inside(variables, old, memory):
        bound = detector.bind(variables)
        lent = bound.on_frame(memory, bound.other(frame(5)))
        return lent, bound.on_keyframe(old, bound.key(frame(3)))[1]

    lent, renewed = inside(variables, old, memory)
    example = learned.examples[1]
    # The middle of the box is (32, 29.5): the cell of 16 pixels in column 2, row 1.
    np.testing.assert_array_equal(example.point, [40, 24])
    np.testing.assert_allclose(example.affinity, lent.affinity[:, 1, 2], atol=1e-5)
    np.testing.assert_allclose(example.frame_memory, lent.quality[1], atol=1e-5)
    np.testing.assert_allclose(example.keyframe_memory, renewed.quality[1], atol=1e-5)
    share = np.asarray(lent.affinity)
    np.testing.assert_allclose(example.effective, np.exp(-(share * np.log(share)).sum(0)).mean(), rtol=1e-4)


def test_memory_weights_of_degraded_and_clean_objects(setting, monkeypatch):
    detector, variables, config = setting
    decided = lambda path, x: 30 * x if "quality" in jax.tree_util.keystr(path) else x
    variables = jax.tree_util.tree_map_with_path(decided, variables)
    dataset = Memory()
    truth = read_truth(dataset)
    arguments = detector, variables, config, dataset
    assert memory_weights(*arguments, truth) == {}  # the annotations do not mark objects

    def marked(video, t, plain=dataset.objects):
        objects = plain(video, t)
        twice = Objects(*(np.concatenate([values, values]) for values in objects[:4]), objects.size)
        return twice._replace(degraded=np.array([t == 5] * 2), ignored=np.array([False, True]))

    dataset.objects = marked
    monkeypatch.setattr(memory_weight, "EVERY", 1)
    found = memory_weights(*arguments, read_truth(dataset))
    # Frame 5, the example's, is degraded; keyframes 3 and 6 are not. The box touches rows and columns 0 to 3.
    examples = look_inside(*arguments, truth, np.ones((9, 2), np.float32)).examples
    degraded = np.mean([one.frame_memory[:4, :4].mean() for one in examples])
    assert found["degraded, other frame"] == pytest.approx(degraded, abs=1e-6)
    assert abs(found["clean, other frame"] - degraded) > 1e-3
    assert list(found) == ["clean, keyframe", "clean, other frame", "degraded, other frame"]
    monkeypatch.setattr(memory_weight, "SEGMENTS", 3 * 2)  # two of each video: without keyframe 6
    found = memory_weights(*arguments, read_truth(dataset))
    clean = np.mean([one.keyframe_memory[:4, :4].mean() for one in examples])
    assert found["clean, keyframe"] == pytest.approx(clean, abs=1e-6)


def test_few_videos_give_later_segments(setting):
    detector, variables, config = setting
    dataset = Memory(videos=1)
    learned = look_inside(
        detector, variables, config, dataset, read_truth(dataset), np.ones((9, 2), np.float32)
    )
    assert [(one.t, one.keyframe) for one in learned.examples] == [
        (5, 3)
    ]  # the third holds its keyframe only
    broken = Memory(videos=1, broken={(0, 3)})
    learned = look_inside(
        detector, variables, config, broken, read_truth(broken), np.ones((9, 2), np.float32)
    )
    assert not learned.examples


def test_an_example_is_drawn_where_it_is():
    """A frame of 8 x 12 cells of 20 pixels; the point's cell is white, and the one to its right red."""

    class Marked(Memory):
        def frame(self, video, t):
            image = np.zeros((160, 240, 3), np.uint8)
            image[60:80, 100:120] = 255
            image[60:80, 120:140] = (255, 0, 0)
            return image

    memory = np.zeros((8, 12), np.float32)
    memory[3, 5] = 1
    box = np.array([90, 50, 139, 89], np.float32)
    offsets = np.array([[1, 0], [0, 1.0], [-1, 0]], np.float32)
    affinity = np.array([0.64, 0.36, 0.0], np.float32)
    example = Example(0, 2, 1, box, np.array([110.0, 70.0]), 20.0, affinity, 1.9, memory, 1 - memory)
    shown = panels(Marked(videos=1), example, offsets)
    cut = decode(shown["cuts"][1])
    x, y = np.rint(shown["point"]).astype(int)
    assert cut[y, x].min() > 230
    x, y, radius, weight = shown["circles"][0]
    assert weight == np.float32(0.64)
    assert (
        cut[round(y), round(x)].tolist()[0] > 200
        and cut[round(y), round(x)].max(initial=0, where=[False, True, True]) < 60
    )
    assert [row[2] / radius for row in shown["circles"][1:]] == pytest.approx([0.75, 0])
    side = cut.shape[1] / (shown["box"][2] / 49)  # of the cut-out, in original pixels
    assert shown["box"][:2] == pytest.approx(shown["point"] - np.array([20, 20]) * cut.shape[1] / side)
    heat = decode(shown["maps"][0][0]).astype(int)
    assert heat.shape == (320, 480, 3)
    yellow = heat[..., 0] - heat[..., 2] > 60
    rows, columns = np.nonzero(yellow)
    assert (rows.min(), rows.max()) == pytest.approx((120, 159), abs=4)
    assert (columns.min(), columns.max()) == pytest.approx((200, 239), abs=4)
    assert shown["maps"][1][1:] == pytest.approx((95 / 96, 0, 1))


def test_the_learned_part_of_the_page(tmp_path, setting):
    detector, variables, config = setting
    dataset = Memory(videos=1, broken={(0, 1)})
    truth = read_truth(dataset)
    run = run_of("one", found_by(dataset, 0), truth)
    initial = np.asarray(variables["params"]["offsets"])
    seen = look_inside(detector, variables, config, dataset, truth, initial)
    moved = initial + np.float32([0.3, 0.4])
    learned = Learned(initial, moved, seen.examples, "")
    write_report(tmp_path / "r.html", title="t", dataset=dataset, truth=truth, run=run, learned=learned)
    text = (tmp_path / "r.html").read_text()
    assert "They moved by 0.50 on average, 0.50 at most." in text
    assert "val/0, frame 5, keyframe 3" in text
    assert text.count("<image href=") == 2 and text.count('alt="weight of the memory"') == 2
    learned = learned._replace(examples=[seen.examples[0]._replace(keyframe=1)])
    write_report(tmp_path / "r.html", title="t", dataset=dataset, truth=truth, run=run, learned=learned)
    assert "No example: val/0/1.png: not a picture" in (tmp_path / "r.html").read_text()


def test_what_a_user_can_mend(tmp_path, monkeypatch):
    dataset = Memory(videos=1)
    truth = read_truth(dataset)
    arguments = dict(title="t", dataset=dataset, truth=truth, run=run_of("one", found_by(dataset, 0), truth))
    with pytest.raises(UserError, match=r"no/r\.html: No such file"):
        write_report(tmp_path / "no/r.html", pictures=False, **arguments)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match="pip install jinja2"):
        write_report(tmp_path / "r.html", **arguments)
