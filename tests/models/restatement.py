"""The whole detector once more, in plain NumPy: an independent reading of the method, for comparison.

Nothing of the package is used. Arrays are [C h w] as in the authors' code, parameters go by the authors'
names and say how wide and deep the detector is, and everything is the slow, obvious form: sampling by shifts,
suppression and pooling by loops.
"""

import re

import numpy as np

MEAN = np.array([123.15, 115.90, 103.06], np.float32)


class Restatement:
    """The three events on parameters {name: array}; `memory` is the feature of the last keyframe.

    `low_units` units of res4 make the low-level feature (four: res4b3), `normalize` makes weights of the
    similarities [K h w], `scales` are the sides of the anchors in cells.
    """

    def __init__(self, parameters, *, low_units=4, normalize=None, scales=(8, 16, 32)):
        self.p = {name.split(":")[-1]: np.asarray(array) for name, array in parameters.items()}
        self.low_units, self.scales = low_units, scales
        self.normalize = normalize or (lambda similarity: softmax(similarity, axis=0))
        self.memory = None

    def start(self, pixels):
        high = self.high(self.low(pixels))
        self.memory = high
        return self.detect(high, pixels.shape[:2])

    def on_keyframe(self, pixels):
        high = self.high(self.low(pixels))
        self.memory = self.fuse(self.memory, high, "key2key")
        return self.detect(self.memory, pixels.shape[:2])

    def on_frame(self, pixels):
        feature = self.fuse(self.memory, self.low2high(self.low(pixels)), "key2cur")
        return self.detect(feature, pixels.shape[:2])

    # layers

    def conv(self, x, name, stride=1, dilation=1):
        weight, bias = self.p[f"{name}_weight"], self.p.get(f"{name}_bias")
        kernel = weight.shape[2]
        pad = dilation * (kernel // 2)
        height, width = (-(-side // stride) for side in x.shape[1:])
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        out = np.zeros((len(weight), height * width), np.float32)
        for i in range(kernel):
            for j in range(kernel):
                rows, columns = i * dilation, j * dilation
                taps = x[
                    :, rows : rows + stride * height : stride, columns : columns + stride * width : stride
                ]
                out += weight[:, :, i, j] @ taps.reshape(len(x), -1)
        out = out if bias is None else out + bias[:, None]
        return out.reshape(-1, height, width)

    def norm(self, x, name):
        gamma, beta, mean, var = (
            self.p[f"{name}_{part}"][:, None, None] for part in ("gamma", "beta", "moving_mean", "moving_var")
        )
        return (x - mean) / np.sqrt(var + np.float32(1e-5)) * gamma + beta

    def units(self, stage):
        """a, b, c; or a, b1, b2, ... where there are more than letters are good for."""
        found = (re.fullmatch(rf"res{stage}([a-z])(\d*)_branch2a_weight", name) for name in self.p)
        order = sorted((match[1], int(match[2] or 0)) for match in found if match)
        return [letter + (str(number) if number else "") for letter, number in order]

    def unit(self, x, stage, letter):
        """A bottleneck; takes and gives the sum before the ReLU."""
        name = f"{stage}{letter}"
        stride = 2 if letter == "a" and stage in (3, 4) else 1
        x = relu(x)
        y = relu(self.norm(self.conv(x, f"res{name}_branch2a", stride), f"bn{name}_branch2a"))
        dilation = 2 if stage == 5 else 1
        y = self.conv(y, f"res{name}_branch2b", dilation=dilation)
        y = self.conv(relu(self.norm(y, f"bn{name}_branch2b")), f"res{name}_branch2c")
        y = self.norm(y, f"bn{name}_branch2c")
        if letter == "a":
            x = self.norm(self.conv(x, f"res{name}_branch1", stride), f"bn{name}_branch1")
        return x + y

    # features

    def low(self, pixels):
        x = (pixels.astype(np.float32) - MEAN).transpose(2, 0, 1)
        x = relu(self.norm(self.conv(x, "conv1", 2), "bn_conv1"))
        x = max_pool(x)
        for stage in (2, 3):
            for letter in self.units(stage):
                x = self.unit(x, stage, letter)
        for letter in self.units(4)[: self.low_units]:
            x = self.unit(x, 4, letter)
        return x

    def high(self, low):
        x = low
        for letter in self.units(4)[self.low_units :]:
            x = self.unit(x, 4, letter)
        for letter in self.units(5):
            x = self.unit(x, 5, letter)
        return relu(self.conv(relu(x), "feat_conv_3x3", dilation=6))

    def low2high(self, low):
        x = relu(self.conv(low, "low2high_conv1"))
        x = relu(self.conv(x, "low2high_conv2"))
        return self.conv(x, "low2high_conv3")

    def fuse(self, source, target, path):
        """Quality-weighted sum of the target and of the source aggregated at the learned locations."""
        f = self.conv(source, f"embedding_conv_feat_oldkey_{path}")
        g = self.conv(target, f"embedding_conv_feat_newkey_{path}")
        offsets = self.p["init_offset"]
        similarity = np.stack([(g * shift(f, *offset)).sum(axis=0) for offset in offsets])
        affinity = self.normalize(similarity)
        aggregated = sum(a * shift(source, *offset) for a, offset in zip(affinity, offsets, strict=True))
        quality = softmax(np.stack([self.quality(target, path), self.quality(aggregated, path)]), axis=0)
        return quality[0] * target + quality[1] * aggregated

    def quality(self, x, path):
        for i in (1, 2, 3):
            x = self.conv(x, f"quality_conv{i}_{path}")
        return x[0]

    # detection

    def detect(self, feature, size):
        """Feature, proposals [R 4], probabilities [R N+1], detections (class, score, box)."""
        half = len(feature) // 2
        rois = self.propose(feature[:half], size)
        logits = self.pooled(feature[half:], "rfcn_cls", rois)
        deltas = self.pooled(feature[half:], "rfcn_bbox", rois)[:, 4:8]
        probabilities = softmax(logits, axis=1)
        boxes = clip(decode(rois, deltas), size)
        found = []
        for label in range(1, probabilities.shape[1]):
            scores = probabilities[:, label]
            chosen = np.flatnonzero(scores > 1e-4)
            chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
            kept = chosen[suppress(boxes[chosen], 0.3)]
            found += [(label, scores[i], boxes[i]) for i in kept]
        found.sort(key=lambda one: -one[1])
        if len(found) > 300:
            found = [one for one in found if one[1] >= found[299][1]]
        return feature, rois, probabilities, found

    def propose(self, feature, size):
        scores, deltas = self.conv(feature, "rpn_cls_score"), self.conv(feature, "rpn_bbox_pred")
        anchors, (_, height, width) = base_anchors(self.scales), feature.shape
        count = len(anchors)
        objectness = softmax(np.stack([scores[:count], scores[count:]]), axis=0)[1]
        deltas = deltas.reshape(count, 4, height, width)
        deltas = deltas * np.array([0.1, 0.1, 0.4, 0.4], np.float32)[None, :, None, None]
        boxes, flat = [], []
        for y in range(height):
            for x in range(width):
                shifted = anchors + 16 * np.array([x, y, x, y], np.float32)
                boxes.append(decode(shifted, deltas[:, :, y, x]))
                whole = y < size[0] // 16 and x < size[1] // 16
                flat.append(objectness[:, y, x] if whole else np.full(count, -1, np.float32))
        boxes, flat = clip(np.concatenate(boxes), size), np.concatenate(flat)
        order = np.argsort(-flat, kind="stable")[:6000]
        kept = order[suppress(boxes[order], 0.7)][:300]
        return boxes[np.resize(kept, 300)]

    def pooled(self, feature, name, rois):
        """Mean over 7 x 7 bins of position-sensitive RoI pooling."""
        maps = self.conv(feature, name)
        _, height, width = maps.shape
        maps = maps.reshape(-1, 7, 7, height, width)
        out = np.zeros((len(rois), len(maps), 7, 7), np.float32)
        for r, (x1, y1, x2, y2) in enumerate(rois):
            left, top = (np.float32(half_away(v)) / 16 for v in (x1, y1))
            right, bottom = (np.float32(half_away(v) + 1) / 16 for v in (x2, y2))
            wide, tall = (
                np.maximum(b - a, np.float32(0.1)) / np.float32(7) for a, b in ((left, right), (top, bottom))
            )
            for row in range(7):
                first = int(np.clip(np.floor(np.float32(row) * tall + top), 0, height))
                last = int(np.clip(np.ceil(np.float32(row + 1) * tall + top), 0, height))
                for column in range(7):
                    start = int(np.clip(np.floor(np.float32(column) * wide + left), 0, width))
                    end = int(np.clip(np.ceil(np.float32(column + 1) * wide + left), 0, width))
                    if last > first and end > start:
                        bin_ = maps[:, row, column, first:last, start:end]
                        out[r, :, row, column] = bin_.mean(axis=(1, 2))
        return out.mean(axis=(2, 3))


def relu(x):
    return np.maximum(x, 0)


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def max_pool(x):
    height, width = (-(-side // 2) for side in x.shape[1:])
    x = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.max(
        [x[:, i : i + 2 * height : 2, j : j + 2 * width : 2] for i in range(3) for j in range(3)], axis=0
    )


def shift(x, dx, dy):
    """x(p + (dx, dy)) for every position p, bilinear, zero outside."""
    _, height, width = x.shape
    out = np.zeros_like(x)
    for row, vertical in ((int(np.floor(dy)), 1 - dy % 1), (int(np.floor(dy)) + 1, dy % 1)):
        for column, horizontal in ((int(np.floor(dx)), 1 - dx % 1), (int(np.floor(dx)) + 1, dx % 1)):
            to = np.s_[
                :, max(0, -row) : min(height, height - row), max(0, -column) : min(width, width - column)
            ]
            of = np.s_[
                :, max(0, row) : min(height, height + row), max(0, column) : min(width, width + column)
            ]
            out[to] += np.float32(vertical * horizontal) * x[of]
    return out


def base_anchors(scales):
    """Ratios outermost, around a cell of 16 x 16: sides are rounded before they are scaled."""
    anchors = []
    for ratio in (0.5, 1.0, 2.0):
        width = np.round(np.sqrt(256 / ratio))
        height = np.round(width * ratio)
        for scale in scales:
            half = (width * scale - 1) / 2, (height * scale - 1) / 2
            anchors.append([7.5 - half[0], 7.5 - half[1], 7.5 + half[0], 7.5 + half[1]])
    return np.array(anchors, np.float32)


def decode(boxes, deltas):
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    centres = boxes[:, :2] + 0.5 * (sides - 1) + deltas[:, :2] * sides
    half = 0.5 * (np.exp(deltas[:, 2:]) * sides - 1)
    return np.concatenate([centres - half, centres + half], axis=1)


def clip(boxes, size):
    limit = np.array([size[1] - 1, size[0] - 1] * 2, np.float32)
    return np.clip(boxes, 0, limit)


def suppress(boxes, threshold):
    """Places of the boxes that are kept, which come in falling score."""
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    alive, kept = np.ones(len(boxes), bool), []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        low, high = np.maximum(boxes[i, :2], boxes[:, :2]), np.minimum(boxes[i, 2:], boxes[:, 2:])
        common = np.maximum(high - low + 1, 0).prod(axis=1)
        alive &= common / (areas[i] + areas - common) <= threshold
    return kept


def half_away(x):
    """Rounded, halves away from zero."""
    return np.floor(abs(x) + 0.5) * np.sign(x)
